"""Whether request vectors still lie where they lay: their means and spreads along fixed axes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from feedback.drift.expected import alike, blocks, matched
from feedback.drift.hours import Hours

Floats = NDArray[np.float64]
DRAWS = 4000
FEWEST_BLOCKS = 5
"""Windows of the reference below which nothing is said of what is usual."""


def moved(window: Hours, reference: Hours) -> Floats | None:
    """[2P] by how much the mean and the deviation along each axis differ from the same hours of
    the reference, in deviations of the reference; None without vectors or without such hours."""
    pair = alike(window.hour, reference.hour).astype(np.float64)
    known = pair @ reference.request
    if not window.vector.shape[1] or not len(window) or (known == 0).any():
        return None
    scale = (window.request / known)[:, None]
    requests = float(window.request.sum())
    like = (pair @ reference.vector * scale, pair @ reference.square * scale)
    expected = _moments(like[0], like[1], requests)
    found = _moments(window.vector, window.square, requests)
    spread = np.maximum(expected[1], 1e-9)
    return np.concatenate([(found[0] - expected[0]) / spread, (found[1] - expected[1]) / spread])


def _moments(vector: Floats, square: Floats, requests: float) -> tuple[Floats, Floats]:
    """Means and deviations [P] of hours' sums [T, P]."""
    mean = vector.sum(axis=0) / requests
    return mean, np.sqrt(np.maximum(square.sum(axis=0) / requests - mean**2, 0.0))


def distance(difference: Floats) -> float:
    """Squared Fréchet distance of two normal distributions with these axes (Dowson and Landau
    1982), in variances of the reference: 0.02 is one axis' mean moved by 0.14 deviations."""
    return float(difference @ difference)


def critical(reference: Hours, size: int, chance: float, rng: np.random.Generator) -> float:
    """Distance, per 1/N + 1/M, that a window without drift exceeds with this chance; infinite where
    there are too few windows.

    A bootstrap: the reference's own windows against its other days say how far each axis moves by
    itself; axes are drawn apart, as they are uncorrelated.
    """
    day = reference.hour // 24
    usual = []
    for block in blocks(reference, size):
        others = reference.where(~np.isin(day, block.hour // 24))
        difference, expected = moved(block, others), matched(block, others)
        if difference is not None and expected is not None:
            usual.append(difference / np.sqrt(expected.noise))
    if len(usual) < FEWEST_BLOCKS:
        return float("inf")
    own = np.array(usual)
    drawn = own[rng.integers(0, len(own), (DRAWS, own.shape[1])), np.arange(own.shape[1])]
    most = float(np.quantile((drawn**2).sum(axis=1), 1 - chance))
    return most * (1 + 2 / math.sqrt(len(own)))  # few windows know little of the largest ones
