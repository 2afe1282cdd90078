"""By what a person's history is found: keyed hashes, never the identifier itself.

In order: the publisher's user key, else the page view. Nobody without the secret can tell whose
history a hash belongs to, and the tokens of one person cannot be linked with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from adserver.request import AdRequest
from adserver.state.store import StateStore, Values

SECRET_KEY = b"h1!secret"
SECRET_BYTES = 32
_PAGE = 1 << 63
"""Set in the identity of somebody known by the page view only."""


class NoIdentity(StrEnum):
    """What caps mean for a person without a key."""

    PAGE_ONLY = "page_only"  # they are counted within the page view
    SERVE = "serve"  # they are ignored
    SKIP = "skip"  # ads with caps are not shown


@dataclass(frozen=True, slots=True)
class Callers:
    """Of each request [B] of a batch: whose history counts, on which page, and under what rule."""

    person: list[int]
    """0: nobody's."""
    page: list[int]
    """0: no page view was named."""
    counted: NDArray[np.bool_]
    """Caps apply."""
    skipped: NDArray[np.bool_]
    """Ads with caps are refused."""


class Identities:
    """Hashes under one secret, which lives in the store with the histories.

    64 bits: among ten million people two share a history with a chance of one in 200 000.
    """

    def __init__(self, secret: bytes, no_identity: NoIdentity) -> None:
        self._secret, self._no_identity = secret, no_identity

    def of(self, requests: Sequence[AdRequest]) -> Callers:
        known = np.array([bool(request.user) for request in requests], np.bool_)
        rule = self._no_identity
        anonymous = ~known
        return Callers(
            person=[self._person(request) for request in requests],
            page=[self._page(request) for request in requests],
            counted=known | (rule is NoIdentity.PAGE_ONLY),
            skipped=anonymous & (rule is NoIdentity.SKIP),
        )

    def veil(self, identity: int, number: int) -> int:
        """The identity as a token carries it, and back again: masked by the sale's own number.

        Pages can read tokens; unmasked, they would carry one name for a person everywhere.
        """
        if identity == 0:
            return 0
        return identity ^ self._hash(b"veil", number.to_bytes(8, "little")) or identity

    def _person(self, request: AdRequest) -> int:
        if request.user:
            return (self._hash(b"user", request.user.encode()) & ~_PAGE) or 1
        if self._no_identity is NoIdentity.PAGE_ONLY and request.page_view:
            return self._page(request) | _PAGE
        return 0

    def _page(self, request: AdRequest) -> int:
        """Publishers name their page views themselves, so two may use the same name."""
        if not request.page_view:
            return 0
        return self._hash(b"page", f"{request.publisher}\0{request.page_view}".encode())

    def _hash(self, purpose: bytes, text: bytes) -> int:
        digest = blake2b(text, digest_size=8, key=self._secret, person=purpose).digest()
        return int.from_bytes(digest, "big")


def is_page(identity: int) -> bool:
    return identity >= _PAGE


def secret_of(store: StateStore, fresh: bytes) -> bytes:
    """The secret that all workers share: the first one's `fresh` random bytes."""

    def change(found: Values) -> tuple[Values, bytes]:
        secret = found[0] or fresh
        return [secret], secret

    secret = store.update([SECRET_KEY], change)
    store.sync()
    return secret
