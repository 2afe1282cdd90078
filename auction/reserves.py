"""Personal reserves: the least price worth asking of each kind of bidder, learnt from its bids.

The revenue from one bidder whose values have distribution F is greatest at the reserve r with

    r − (1 − F(r)) / F'(r) = 0                                    (Myerson 1981, seller's cost 0)

F is a log-normal fit to what the bidders of a key (say advertiser and placement) have offered per
thousand impressions, lost bids as well as won ones, as our auction sees both. With z the standard
score of log r, the equation reads φ(z) / (1 − Φ(z)) = σ: the hazard of a standard normal, which
rises, so that there is one solution and bisection finds it.

Theory wants r; practice asks for part of it (`damping`), because a fit is never exact and a reserve
too high loses the whole sale while one too low loses the difference (Ostrovsky and Schwarz 2011,
who raised revenue in the field that way). It is fitted outside the auction, in floats; what the
auction takes is whole micros (`Bids.reserve_micros`), below which a row does not bid at all.
A bid moves its own reserve, if ever, only through the next fit: fit over days, not minutes, and
over keys of several advertisers where each is so large that it would notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE

_WIDEST = 38.0
"""Standard scores beyond which a double holds no probability."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class ReserveSettings:
    damping: float = 0.6
    """Part of the theoretical reserve that is asked: 0.5 to 0.7 where bids are what they were; less
    where the market moves. 0 asks for none."""

    minimum_bids: int = 200
    """Bids below which a key has no reserve: the standard error of its scale is then about 5 %."""

    def problems(self) -> Iterator[str]:
        if not 0 <= self.damping <= 1:
            yield f"reserves.damping ({self.damping}) must be 0 to 1"
        if self.minimum_bids < 2:
            yield f"reserves.minimum_bids ({self.minimum_bids}) must be at least 2"


@dataclass(frozen=True, slots=True)
class Fits:
    """Log-normal distributions of what is offered per thousand impressions, [K] by key."""

    key: NDArray[np.int64]
    """Ascending."""
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    """Of the logarithm of micros."""
    deviation: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reserves:
    """[K] by key, ascending; keys that are not named have none."""

    key: NDArray[np.int64]
    micros: NDArray[np.int64]
    """Per thousand impressions, a multiple of MILLE; 0: none."""

    def of(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """[R] `Bids.reserve_micros` of rows by key."""
        if not len(self.key):
            return np.zeros(len(key), np.int64)
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[at] == key, self.micros[at], 0)


def fit(key: NDArray[np.int64], cpm_micros: NDArray[np.int64]) -> Fits:
    """The likeliest log-normal of each key's bids [R], per thousand impressions; none below 1."""
    offered = cpm_micros > 0
    names, group = np.unique(key[offered], return_inverse=True)
    logarithm = np.log(cpm_micros[offered])
    count = np.bincount(group, minlength=len(names))
    mean = np.bincount(group, logarithm, len(names)) / np.maximum(count, 1)
    spread = np.bincount(group, (logarithm - mean[group]) ** 2, len(names))
    return Fits(names, count, mean, np.sqrt(spread / np.maximum(count, 1)))


def reserves(fits: Fits, settings: ReserveSettings) -> Reserves:
    """What to ask of each key: `damping` of the Myerson reserve; 0 below `minimum_bids`."""
    asked = [
        settings.damping * myerson(mean, deviation) if count >= settings.minimum_bids else 0.0
        for count, mean, deviation in zip(fits.count, fits.mean, fits.deviation, strict=True)
    ]
    return Reserves(fits.key, np.array(asked).astype(np.int64) // MILLE * MILLE)


def myerson(mean: float, deviation: float) -> float:
    """The reserve of greatest revenue for a log-normal value; its median when it does not vary."""
    if deviation <= 0:
        return math.exp(mean)
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if hazard(middle) < deviation else (low, middle)
    return math.exp(mean + deviation * low)


def hazard(z: float) -> float:
    """φ(z) / (1 − Φ(z)) of the standard normal; its asymptote where the tail is too thin."""
    tail = math.erfc(z / math.sqrt(2)) / 2
    if tail < 1e-300:
        return z + 1 / z
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / tail
