"""Whether clicks still come as predicted: sums of what was too much and of what was too little.

Page's two-sided cumulative sums (1954). |z| itself must not be summed: its mean is 0.8 where
nothing is wrong, above any useful slack, so that such a sum alarms with certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_CLICKS = 10.0
"""Expected clicks of a window below which it is left out: so few are far from normal, and three
instead of one would count as two deviations. Longer windows tell of them."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """[W] windows."""

    click: Floats
    expected: Floats
    """Sum of the predicted rates."""
    variance: Floats
    """Of the clicks, were the predictions right: sum of p (1 - p), times the dispersion."""


@dataclass(frozen=True, slots=True)
class Sums:
    """[W] after each window; 0 where a sum was never above its slack."""

    above: Floats
    """Clicks beyond what the predictions tolerate."""
    below: Floats


def sums(found: Calibration, tolerance: float, slack: float) -> Sums:
    """Standardised clicks beyond the tolerated ones, less the slack of each window, never below 0.

    Within the tolerance z is negative in the mean, so a model that is only a little off alarms far
    more seldom than `run_length` says, which holds at the tolerance's edge.
    """
    deviation = np.sqrt(np.maximum(found.variance, 1e-12))
    excess = (found.click - (1 + tolerance) * found.expected) / deviation
    shortfall = ((1 - tolerance) * found.expected - found.click) / deviation
    told = found.expected >= FEWEST_CLICKS
    return Sums(
        _summed(np.where(told, excess - slack, 0.0)),
        _summed(np.where(told, shortfall - slack, 0.0)),
    )


def _summed(step: Floats) -> Floats:
    """max(0, S + step) from 0 on: the sum so far less its lowest, which may be the 0 before it."""
    total = np.cumsum(step)
    return total - np.minimum(np.minimum.accumulate(total), 0.0)


def run_length(threshold: float, slack: float) -> float:
    """Mean windows to a false alarm of one of the two sums, by Siegmund's approximation (1985).

    One sum takes (exp(2kb) - 2kb - 1) / 2k² windows, with b = threshold + 1.166; two alarm twice as
    often.
    """
    reach = 2 * slack * (threshold + 1.166)
    return (exp(reach) - reach - 1) / (2 * slack**2) / 2


def delay(copc: float, clicks: float, tolerance: float, slack: float, threshold: float) -> float:
    """Windows, about, until an alarm once clicks are `copc` times the predicted, where a window has
    `clicks` predicted ones; infinite for what is tolerated."""
    drift = (abs(copc - 1) - tolerance) * clicks**0.5 - slack
    return threshold / drift if drift > 0 else float("inf")
