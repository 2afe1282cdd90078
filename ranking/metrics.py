"""How good predicted click rates are: ranking, sharpness and calibration.

Every figure takes optional weights f32[R] of its rows; all rows weigh the same without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mass = NDArray[np.floating] | None
BINS = 20
LEAST = 1e-9
"""A predicted rate is taken to be at least this far from 0 and 1: one row cannot cost infinity."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of one set of predictions against what was clicked."""

    auc: float
    logloss: float
    normalised_entropy: float
    """Logloss as a share of what always predicting the average rate would give."""
    ece: float
    """Mean gap between predicted and seen rate over 20 bins of equal mass."""
    copc: float
    """Clicks over predicted clicks."""


def masses(rows: int, weight: Mass) -> Floats:
    """[R] the weights, ones where there are none."""
    return np.ones(rows) if weight is None else np.asarray(weight, np.float64)


def placements(
    click: NDArray[np.uint8], score: NDArray[np.floating], weight: Mass = None
) -> Floats:
    """[R] of each row, the share of rows of the other kind that it stands on the right side of.

    Ties count half. The mean over the clicked rows is the AUC, and so is that over the others: the
    structural components of DeLong et al. 1988. NaN where there is no other kind.
    """
    order = np.argsort(score, kind="stable")
    ordered, hit = np.asarray(score)[order], click[order].astype(bool)
    tie = np.cumsum(np.concatenate(([False], ordered[1:] != ordered[:-1])))
    mass, share = masses(len(click), weight)[order], np.empty(len(click))
    for kind in (True, False):
        other = np.bincount(tie, np.where(hit == kind, 0.0, mass))
        with np.errstate(invalid="ignore"):
            below = (np.cumsum(other) - other / 2) / other.sum()
        share[hit == kind] = (below if kind else 1.0 - below)[tie[hit == kind]]
    place = np.empty(len(click))
    place[order] = share
    return place


def auc(click: NDArray[np.uint8], score: NDArray[np.floating], weight: Mass = None) -> float:
    """Chance that a clicked row outranks one that was not; ties count half. NaN of one kind."""
    hit = click.astype(bool)
    mass = masses(len(click), weight)[hit]
    if hit.all() or not hit.any():
        return float("nan")
    return float(placements(click, score, weight)[hit] @ mass / mass.sum())


def losses(click: NDArray[np.uint8], probability: NDArray[np.floating]) -> Floats:
    """[R] negative log-likelihood, in nats."""
    p = np.clip(np.asarray(probability, np.float64), LEAST, 1 - LEAST)
    return -np.where(click.astype(bool), np.log(p), np.log1p(-p))


def logloss(
    click: NDArray[np.uint8], probability: NDArray[np.floating], weight: Mass = None
) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(np.average(losses(click, probability), weights=weight))


def _bin_edges(mass: Floats, bins: int) -> NDArray[np.int64]:
    """[bins + 1] where rows, in order, are cut into bins of equal mass."""
    reached = np.cumsum(mass)
    inner = np.searchsorted(reached, reached[-1] * np.arange(1, bins) / bins)
    return np.concatenate(([0], inner, [len(mass)]))


def bin_sums(column: Floats, order: NDArray[np.int64], mass: Floats, bins: int) -> Floats:
    """[bins] sums of a column over bins of equal mass."""
    edge = _bin_edges(mass[order], bins)
    total = np.concatenate(([0.0], np.cumsum(column[order])))
    return np.diff(total[edge])


def ece(
    click: NDArray[np.uint8],
    probability: NDArray[np.floating],
    weight: Mass = None,
    bins: int = BINS,
) -> float:
    """Mean absolute gap between predicted and seen rate over bins of equal mass."""
    p, mass = np.asarray(probability, np.float64), masses(len(click), weight)
    gap = bin_sums(mass * (p - click), np.argsort(p, kind="stable"), mass, bins)
    return float(np.abs(gap).sum() / mass.sum())


def ece_by_chance(
    probability: NDArray[np.floating], weight: Mass = None, bins: int = BINS
) -> float:
    """What `ece` would be on average if every predicted rate were the true one.

    A bin's gap is then near normal with the variance of its clicks, and the mean of |x| is
    √(2/π) of its deviation. On few clicks the ECE of the best model is of this size.
    """
    p = np.asarray(probability, np.float64)
    mass = masses(len(p), weight)
    variance = bin_sums(mass**2 * p * (1 - p), np.argsort(p, kind="stable"), mass, bins)
    return float(np.sqrt(2 / np.pi * variance).sum() / mass.sum())


def measure(
    click: NDArray[np.uint8], probability: NDArray[np.floating], weight: Mass = None
) -> Metrics:
    """All of them."""
    p, mass = np.asarray(probability, np.float64), masses(len(click), weight)
    loss, base = logloss(click, p, weight), float(click @ mass / mass.sum())
    always = logloss(click, np.full(len(click), base), weight)
    return Metrics(
        auc=auc(click, p, weight),
        logloss=loss,
        normalised_entropy=loss / always,
        ece=ece(click, p, weight),
        copc=float(click @ mass / (p @ mass)),
    )
