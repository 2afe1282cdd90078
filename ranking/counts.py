"""Running counts as features: how an ad, its advertiser, its place and its audience did lately.

One definition for training and serving: from decayed impressions and clicks to the numbers that
the model reads. Nothing known gives zeros everywhere. Knows neither where counts are kept nor time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEYS: Final = ("ad", "advertiser", "ad_placement", "user_topic")
WINDOWS_S: Final = (3_600, 86_400, 604_800)
"""What decays to 1/e in each: an hour, a day, a week."""
PRIOR: Final = 0.01
"""Click rate that counts are drawn towards."""
STRENGTH: Final = 20.0
"""Impressions that the prior is worth: (clicks + a p) / (impressions + a), He et al. 2014."""
EACH: Final = len(WINDOWS_S) + 1
COUNTS: Final = len(KEYS) * EACH
COUNTED: Final = (KEYS, WINDOWS_S, PRIOR, STRENGTH)
"""Part of the feature schema."""
HIDDEN: Final = 16
"""Width of the count head's layer."""
PLACES: Final = 1 << 18
"""Cells that pairs of an ad and a placement are hashed to."""
SPREAD_AD, SPREAD_PLACE = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
"""Odd, so that multiplying by them in 64 bits loses nothing."""

Floats = NDArray[np.float32]


def key_features(shown: Floats, clicked: Floats) -> Floats:
    """[…, EACH] features of one key's decayed counts f32[…, WINDOWS].

    By window, the logarithm of the smoothed click rate over the prior, then
    log(1 + impressions) of the longest window: how far the rates may be believed.
    """
    prior, strength = np.float32(PRIOR), np.float32(STRENGTH)
    rate = np.log((clicked + strength * prior) / ((shown + strength) * prior))
    known = np.log1p(shown[..., -1:])
    return np.concatenate([rate, known], axis=-1).astype(np.float32)


def place_cell(ad: int, place: int) -> int:
    """Under which of `PLACES` an ad is counted in the placement of this hash, of 32 bits."""
    word = (1 << 64) - 1
    mixed = (ad * SPREAD_AD + place * SPREAD_PLACE) & word
    return (mixed * SPREAD_AD & word) >> 46


@dataclass(frozen=True, slots=True)
class CountHead:
    """What counts add to the log-odds of a click: one small hidden layer, in float."""

    w1: Floats
    """[COUNTS, HIDDEN]"""
    b1: Floats
    w2: Floats
    """[HIDDEN]"""

    @classmethod
    def of(cls, weights: Mapping[str, Floats]) -> CountHead:
        """From arrays named "count.w1", "count.b1" and "count.w2"."""
        return cls(*(np.ascontiguousarray(weights[f"count.{name}"]) for name in ("w1", "b1", "w2")))

    def __call__(self, counts: Floats) -> Floats:
        """[R] log-odds of counts f32[R, COUNTS]."""
        hidden = np.maximum(counts @ self.w1 + self.b1, 0.0)
        added: Floats = hidden @ self.w2
        return added
