"""From the model's log-odds to click rates that are met on average.

Isotonic regression (pool adjacent violators; Barlow et al. 1972) on the newest slice of data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranking import kernels
from ranking.metrics import Mass, bin_sums, masses

KNOTS = 256
BINS = 100
"""Equal-mass bins that are pooled; each should hold some tens of clicks."""
LOWEST, HIGHEST = -16.0, 4.0
"""Log-odds that the knots span: beyond, a rate is below a millionth or no click rate."""
DOUBT = 20.0
"""Clicks that a bin must have had for its own rate to count as much as the line through all."""
FEWEST_CLICKS = 0.5
"""Clicks that a slice without any is taken to have had."""
NEWTON = 12
SLOPES = 0.1, 3.0
"""Of the line; beyond lies what no model deserves to be believed."""
TILT = 0.02
"""Share of the raw score in the map, so that rows within one pooled block keep their order."""


def pool_adjacent_violators(
    value: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The non-decreasing sequence nearest to `value` in weighted squares."""
    mean: list[float] = []
    mass: list[float] = []
    size: list[int] = []
    for one, heavy in zip(value.tolist(), weight.tolist(), strict=True):
        mean.append(one)
        mass.append(heavy)
        size.append(1)
        while len(mean) > 1 and mean[-2] >= mean[-1]:
            total = mass[-2] + mass[-1]
            mean[-2:] = [(mean[-2] * mass[-2] + mean[-1] * mass[-1]) / total]
            mass[-2:] = [total]
            size[-2:] = [size[-2] + size[-1]]
    return np.repeat(mean, size)


def straight(
    score: NDArray[np.float64], shown: NDArray[np.float64], clicks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The log-odds a + b · score that fit bins best (Platt 1999), b drawn to 1 and kept positive.

    Newton's method from the line through the overall rate.
    """
    centre = np.average(score, weights=shown)
    base = min(max(clicks.sum(), FEWEST_CLICKS) / shown.sum(), 0.5)
    clicks = clicks if clicks.sum() > 0 else shown * base
    a, b = float(np.log(base / (1.0 - base))), 1.0
    x = score - centre
    for _ in range(NEWTON):
        p = _sigmoid(a + b * x)
        gap, mass = clicks - shown * p, shown * p * (1.0 - p)
        slope = np.array([gap.sum(), (gap * x).sum() - (b - 1.0)])
        curve = np.array(
            [[mass.sum() + 1e-9, (mass * x).sum()], [(mass * x).sum(), (mass * x**2).sum() + 1.0]]
        )
        move = np.linalg.solve(curve, slope)
        a, b = a + float(move[0]), float(np.clip(b + move[1], *SLOPES))
    line: NDArray[np.float64] = a + b * x
    return line


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A strictly rising map from log-odds to click rate: linear between evenly spaced knots."""

    first: float
    step: float
    probability: NDArray[np.float64]
    """[K] at log-odds first, first + step, …; K ≤ 256."""

    @classmethod
    def plain(cls) -> Calibration:
        """The logistic function itself."""
        knots = np.linspace(LOWEST, HIGHEST, KNOTS)
        return cls(LOWEST, float(knots[1] - knots[0]), _sigmoid(knots))

    @classmethod
    def fit(
        cls, logit: NDArray[np.float32], click: NDArray[np.uint8], weight: Mass = None
    ) -> Calibration:
        """By isotonic regression; outside the scores seen, it goes on parallel to the raw scores.

        Each bin's rate is drawn towards a straight line in log-odds by `DOUBT` clicks' worth of
        it: a few clicks would otherwise cut the scores into a few flat steps, whose ads only
        their bids tell apart. Of no rows, the logistic function.
        """
        if len(logit) == 0:
            return cls.plain()
        order, mass = np.argsort(logit, kind="stable"), masses(len(logit), weight)
        shown, score, clicks = (
            bin_sums(column, order, mass, BINS) for column in (mass, mass * logit, mass * click)
        )
        filled = shown > 0
        shown, clicks = shown[filled], clicks[filled]
        score = score[filled] / shown
        line = _sigmoid(straight(score, shown, clicks))
        rate = pool_adjacent_violators((clicks + DOUBT) / (shown + DOUBT / line), shown)
        return cls.plain().remapped(score, np.log(rate / (1.0 - rate)))

    def remapped(self, score: NDArray[np.float64], target: NDArray[np.float64]) -> Calibration:
        """This map with raw `score`s moved to log-odds `target` (both rising)."""
        knots = self.first + self.step * np.arange(len(self.probability))
        inside = np.interp(knots, score, target)
        beyond = np.minimum(knots - score[0], 0.0) + np.maximum(knots - score[-1], 0.0)
        moved = (1.0 - TILT) * (inside + beyond) + TILT * knots
        return Calibration(self.first, self.step, _sigmoid(moved))

    def __call__(self, logit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Click rates of log-odds of any shape; level beyond the first and last knot."""
        knots = self.first + self.step * np.arange(len(self.probability))
        return np.interp(logit, knots, self.probability).astype(np.float32)

    def ppm(self, odds: NDArray[np.float32]) -> NDArray[np.int64]:
        """Click rates of log-odds of any shape, in whole millionths, 1 to 999 999."""
        ppm: NDArray[np.int64] = kernels.calibrate_ppm(
            odds.ravel(), self.first, self.step, self.probability
        )
        return ppm.reshape(odds.shape)

    def save(self, path: Path) -> None:
        np.savez(path, first=self.first, step=self.step, probability=self.probability)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        stored = np.load(path)
        return cls(float(stored["first"]), float(stored["step"]), stored["probability"])
