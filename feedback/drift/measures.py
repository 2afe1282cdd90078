"""How far two histograms are apart, and how far chance alone would put them.

All functions take many features at once: their bins lie end to end, feature f's from `start[f]` to
`start[f + 1]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feedback.chance import chi2_above, chi2_beyond

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def shares(count: NDArray[np.floating], start: Ints) -> Floats:
    """[bins] each bin's share of its feature, half an observation added to every bin so that none
    is empty."""
    width = np.diff(start)
    total = np.add.reduceat(count + 0.5, start[:-1])
    share: Floats = (count + 0.5) / np.repeat(total, width)
    return share


def psi(share: Floats, expected: Floats, start: Ints) -> Floats:
    """[F] population stability index, Σ (p - q) ln(p / q): 0 for equal shares."""
    found: Floats = np.add.reduceat((share - expected) * np.log(share / expected), start[:-1])
    return found


def greatest_gap(share: Floats, expected: Floats, start: Ints) -> Floats:
    """[F] Kolmogorov-Smirnov distance: the largest gap of the cumulated shares, at bin edges."""
    gap = np.cumsum(share - expected)  # whole features add up to zero, so none begins off it
    found: Floats = np.maximum.reduceat(np.abs(gap), start[:-1])
    return found


def psi_chance(found: Floats, bins: Ints, noise: Floats) -> Floats:
    """[F] chance of a PSI at least this large without drift.

    Without drift it is `noise` = 1/N + 1/M times chi-squared with bins - 1 degrees of freedom, for
    N and M independent observations (Yurdakul and Naranjo 2020); dependent ones have more noise.
    """
    pairs = zip((found / noise).tolist(), (bins - 1).tolist(), strict=True)
    return np.array([chi2_above(value, freedom) for value, freedom in pairs])


def critical_values(bins: Ints, noise: Floats, significance: float) -> tuple[Floats, Floats]:
    """[F] the PSI, and the gap, that one feature exceeds with this chance without drift; NaN where
    the noise is. Of m features, the first of Holm's steps takes `significance` / m."""
    reach = np.array([chi2_beyond(significance, freedom) for freedom in (bins - 1).tolist()])
    gap: Floats = np.sqrt(noise * np.log(2 / significance) / 2)
    return noise * reach, gap


def gap_chance(found: Floats, noise: Floats) -> Floats:
    """[F] chance of a gap at least this large without drift: 2 exp(-2 d² / noise), Kolmogorov's
    first term, which is 0.001 at 1.95 √noise."""
    chance: Floats = np.minimum(1.0, 2 * np.exp(-2 * found**2 / noise))
    return chance


def holm(chance: Floats, significance: float) -> NDArray[np.bool_]:
    """[F] which of the hypotheses fall, so that any true one falls with at most this chance (Holm
    1979). NaN never falls, and does not count."""
    order = np.argsort(np.where(np.isnan(chance), np.inf, chance))
    tested = int((~np.isnan(chance)).sum())
    bound = significance / np.maximum(tested - np.arange(len(chance)), 1)
    stands = ~(chance[order] <= bound)
    first = int(np.argmax(stands)) if stands.any() else len(order)
    falls = np.zeros(len(chance), np.bool_)
    falls[order[:first]] = True
    return falls
