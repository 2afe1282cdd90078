"""Tails of the distributions that tests of drift and of experiments are judged by."""

from __future__ import annotations

from math import erfc, exp, lgamma, log, sqrt

NORMAL_95 = 1.959964
"""Standard deviations to either side of a normal mean that hold 95 %."""


def chi2_above(value: float, freedom: int) -> float:
    """Upper tail of chi-squared; 1 without freedom.

    In closed form: Q(k + 2) = Q(k) + (x/2)^(k/2) e^(-x/2) / Γ(k/2 + 1), from Q(1) or Q(2) on.
    """
    if freedom < 1 or value <= 0:
        return 1.0
    half = value / 2
    tail, k = (erfc(sqrt(half)), 1) if freedom % 2 else (exp(-half), 2)
    while k < freedom:
        tail += exp(k / 2 * log(half) - half - lgamma(k / 2 + 1))
        k += 2
    return min(1.0, tail)


def chi2_beyond(chance: float, freedom: int) -> float:
    """The value that chi-squared exceeds with this chance, to a billionth; 0 without freedom."""
    low, high = 0.0, 0.0 if freedom < 1 else freedom + 1e3
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if chi2_above(middle, freedom) > chance else (low, middle)
    return low


def normal_beyond(z: float) -> float:
    """Chance of a normal deviation at least this far from 0, on either side."""
    return erfc(abs(z) / sqrt(2))
