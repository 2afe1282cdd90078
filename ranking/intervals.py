"""How far the figures of a model, or of two on the same rows, could differ by chance.

A bootstrap of blocks (Künsch 1989) with Poisson weights: rows of one request, and of one hour, are
alike, so they are drawn together. Every figure is a ratio of sums over blocks, so that a thousand
resamples of any number of rows are one product of two small matrices. For the AUC the summed
columns are DeLong's structural components, whose ratio is the AUC's first-order expansion; two
models are drawn together, which keeps the difference of twins sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.metrics import LEAST, Floats, Mass, losses, masses, placements

BLOCKS = 1_000
"""Blocks of neighbouring requests; their spread is then known within 2 %."""
RESAMPLES = 1_000
TAIL = 0.025
"""Left out at either end: intervals hold 95 %."""
FIGURES = ("auc", "logloss", "normalised_entropy", "copc")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where 95 % of resamples have it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sample:
    """R rows that predictions are judged on."""

    click: NDArray[np.uint8]
    of: NDArray[np.integer]
    """[R] the request of each row, never falling."""
    weight: Mass = None

    @property
    def block(self) -> NDArray[np.int64]:
        """[R] blocks of whole requests, of about as many each."""
        requests = int(self.of[-1]) + 1 if len(self.of) else 1
        return self.of.astype(np.int64) * min(BLOCKS, requests) // requests


def intervals(
    sample: Sample, probability: NDArray[np.floating], rng: np.random.Generator
) -> dict[str, Interval]:
    """Each of FIGURES of one model."""
    once, drawn = _resampled(sample, [probability], rng)
    return {name: _interval(once[0][name][0], drawn[0][name]) for name in FIGURES}


def differences(
    sample: Sample,
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Of each of FIGURES, `after` less `before` on the same rows."""
    once, drawn = _resampled(sample, [before, after], rng)
    return {
        name: _interval(once[1][name][0] - once[0][name][0], drawn[1][name] - drawn[0][name])
        for name in FIGURES
    }


def _interval(value: float, drawn: Floats) -> Interval:
    """Of the resamples that have clicks: the others tell nothing of a figure."""
    low, high = np.nanquantile(drawn, [TAIL, 1 - TAIL]).tolist()
    return Interval(float(value), low, high)


Figures = dict[str, Floats]


def _resampled(
    sample: Sample, predictions: list[NDArray[np.floating]], rng: np.random.Generator
) -> tuple[list[Figures], list[Figures]]:
    """Of each prediction the figures [1] of all blocks and [RESAMPLES] of drawn ones."""
    blocks = int(sample.block[-1]) + 1
    chance = rng.poisson(1.0, (RESAMPLES, blocks)).astype(np.float64)
    once, drawn = [], []
    for probability in predictions:
        sums = _sums(sample, probability)
        whole = sums.sum(axis=0, keepdims=True)
        both = whole[:, 1] / whole[:, 0]
        once.append(_figures(whole, both))
        drawn.append(_figures(chance @ sums, both))
    return once, drawn


def _sums(sample: Sample, probability: NDArray[np.floating]) -> Floats:
    """[blocks, 6] clicks and their placements, rest and its placements, loss, predicted clicks."""
    p, mass = np.asarray(probability, np.float64), masses(len(sample.click), sample.weight)
    place, hit = placements(sample.click, p, sample.weight), sample.click.astype(bool)
    yes, no = np.where(hit, mass, 0.0), np.where(hit, 0.0, mass)
    columns = (yes, yes * place, no, no * place, mass * losses(sample.click, p), mass * p)
    block = sample.block
    return np.stack([np.bincount(block, column) for column in columns], axis=1)


def _figures(sums: Floats, auc: Floats) -> Figures:
    clicks, placed, rest, placed_rest, loss, predicted = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = clicks + rest
        base = np.clip(clicks / shown, LEAST, 1 - LEAST)
        entropy = -(base * np.log(base) + (1 - base) * np.log1p(-base))
        return {
            "auc": placed / clicks + placed_rest / rest - auc,
            "logloss": loss / shown,
            "normalised_entropy": loss / shown / entropy,
            "copc": clicks / predicted,
        }
