"""Which arm a user belongs to: a hash, so that nobody has to remember it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

MILLION = 1_000_000


def arm_of(user: str, salt: str, shares: Mapping[str, float]) -> str:
    """The same arm for the same user and salt, everywhere; another salt draws anew.

    `shares` is in proportion; an arm that grows at its neighbour's cost keeps the users it has.
    """
    digest = blake2b(f"{salt}:{user}".encode(errors="replace"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") % MILLION / MILLION * sum(shares.values())
    for arm, share in shares.items():
        place -= share
        if place < 0:
            return arm
    return list(shares)[-1]
