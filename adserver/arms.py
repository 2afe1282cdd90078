"""Who decides which request while a model is on trial, and who hears of it.

A person's arm is a hash: the same in every worker, on every day, and in both states of a canary,
whose tenth holds its hundredth. It knows no clock, no model and no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from adserver.edition import Edition
from adserver.releases.statistics import Scored

if TYPE_CHECKING:
    from adserver.decision import Decision
    from adserver.verdict import Verdict

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Arm:
    """What a model does in one phase of its release."""

    name: str
    """production, canary or shadow."""
    phase: int = 0
    """Of the releases (`Traffic.phase`): statistics of two phases are never mixed."""


PRODUCTION: Final = Arm("production")


@dataclass(frozen=True, slots=True)
class Trial:
    """What serves beside production: at most one model is on trial, in one of two ways."""

    canary: Edition | None = None
    """Decides for its share of the people."""
    shadow: Edition | None = None
    """Scores what others decide, and decides nothing."""
    share_ppm: int = 0
    salt: str = ""
    phase: int = 0

    def arm(self, name: str) -> Arm:
        return Arm(name, self.phase)

    def deals(self, keys: Sequence[int]) -> NDArray[np.bool_]:
        """[B] whether the canary decides, by the keys of the people who ask."""
        if self.canary is None:
            return np.zeros(len(keys), np.bool_)
        shares = (is_in_share(self.salt, key, self.share_ppm) for key in keys)
        return np.fromiter(shares, np.bool_, len(keys))


NO_TRIAL: Final = Trial()


def is_in_share(salt: str, key: int, share_ppm: int) -> bool:
    """Whether an unsigned 64-bit key is among `share_ppm` of a million; larger shares hold smaller
    ones of the same salt."""
    text = key.to_bytes(8, "little") + salt.encode()
    digest = blake2b(text, digest_size=8, person=b"arm").digest()
    return int.from_bytes(digest, "little") % PPM < share_ppm


def keys_of(people: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """[B] by what a request's arm is drawn: who asks, or where nobody is known (0) its number."""
    return [person or number for person, number in zip(people, numbers, strict=True)]


class Observer(Protocol):
    """Hears what every model does; must not raise, must not change anything, must be quick."""

    def decided(self, verdict: Verdict, decisions: Sequence[Decision], took_s: float) -> None:
        """One batch of one arm, `took_s` from its start to its decisions; tests are in it."""
        ...

    def failed(self, arm: Arm, model: int, requests: int) -> None:
        """A model could not decide at all; production's decided in its place."""
        ...

    def shadowed(self, arm: Arm, model: int, scored: Scored) -> None:
        """A shadow's scores of what the model in production decided; `skipped` ones among it."""
        ...


class Nobody:
    """The observer where none is wanted."""

    def decided(self, verdict: Verdict, decisions: Sequence[Decision], took_s: float) -> None: ...

    def failed(self, arm: Arm, model: int, requests: int) -> None: ...

    def shadowed(self, arm: Arm, model: int, scored: Scored) -> None: ...
