"""Who decides which request while a model is on trial, and who hears of it.

A person's arm is a hash: the same in every worker, on every day, and in both states of a canary,
whose tenth holds its hundredth. It knows no clock, no model and no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from adserver.edition import Edition
from adserver.releases.statistics import Scored

if TYPE_CHECKING:
    from adserver.decision import Decision
    from adserver.verdict import Verdict

PPM: Final = 1_000_000
T = TypeVar("T")


PRODUCTION, CANARY, SHADOW = "production", "canary", "shadow"


@dataclass(frozen=True, slots=True)
class Arm:
    """What a model does in one phase of its release."""

    name: str
    """production, canary or shadow."""
    phase: int = 0
    """Of the releases (`Traffic.phase`): statistics of two phases are never mixed."""


DECIDES: Final = Arm(PRODUCTION)
"""Where nobody counts phases."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The editions of models on trial, which serve beside production."""

    canary: Edition | None = None
    """Decides for its share of the people."""
    shadow: Edition | None = None
    """Scores what others decide, and decides nothing."""
    share_ppm: int = 0
    salt: str = ""
    phase: int = 0

    def arm(self, name: str) -> Arm:
        return Arm(name, self.phase)

    def editions(self) -> dict[str, Edition]:
        """Those that there are, by arm."""
        both = {CANARY: self.canary, SHADOW: self.shadow}
        return {arm: edition for arm, edition in both.items() if edition is not None}

    def deals(self, keys: Sequence[int]) -> NDArray[np.bool_]:
        """[B] whether the canary decides, by the keys of the people who ask."""
        if self.canary is None:
            return np.zeros(len(keys), np.bool_)
        shares = (is_in_share(self.salt, key, self.share_ppm) for key in keys)
        return np.fromiter(shares, np.bool_, len(keys))


ALONE: Final = Beside()


def is_in_share(salt: str, key: int, share_ppm: int) -> bool:
    """Whether an unsigned 64-bit key is among `share_ppm` of a million; larger shares hold smaller
    ones of the same salt."""
    text = key.to_bytes(8, "little") + salt.encode()
    digest = blake2b(text, digest_size=8, person=b"arm").digest()
    return int.from_bytes(digest, "little") % PPM < share_ppm


def keys_of(people: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """[B] by what a request's arm is drawn: who asks, or where nobody is known (0) its number."""
    return [person or number for person, number in zip(people, numbers, strict=True)]


def among(asks: Sequence[T], mask: NDArray[np.bool_]) -> list[T]:
    """Those in the mask."""
    return [asks[at] for at in np.flatnonzero(mask).tolist()]


def in_order(mask: NDArray[np.bool_], others: Sequence[T], chosen: Sequence[T]) -> list[T]:
    """What `among` took apart, together again: `chosen` are those in the mask."""
    parts = iter(others), iter(chosen)
    return [next(parts[inside]) for inside in mask.tolist()]


class Observer(Protocol):
    """Hears what every model does; must not raise, must not change anything, must be quick."""

    def decided(self, verdict: Verdict, decisions: Sequence[Decision], took_s: float) -> None:
        """One batch of one arm, `took_s` from its start to its decisions; tests are in it."""
        ...

    def failed(self, arm: Arm, model: int, requests: int) -> None:
        """A model could not decide at all: production's did, unless it was that; or a shadow gave
        no scores."""
        ...

    def shadowed(self, arm: Arm, model: int, scored: Scored) -> None:
        """A shadow's scores of what another model decided; requests that it skipped among it."""
        ...
