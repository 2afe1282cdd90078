"""How good predicted click rates are: ranking, sharpness and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def auc(click: NDArray[np.uint8], score: NDArray[np.floating]) -> float:
    """Chance that a clicked row outranks one that was not; ties count half."""
    order = np.argsort(score, kind="stable")
    ordered = np.asarray(score)[order]
    edge = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
    middle = (edge[:-1] + edge[1:] + 1) / 2
    rank = np.empty(len(order))
    rank[order] = np.repeat(middle, np.diff(edge))
    hit = click.astype(bool)
    clicks, rest = int(hit.sum()), int((~hit).sum())
    if clicks == 0 or rest == 0:
        return float("nan")
    return float((rank[hit].sum() - clicks * (clicks + 1) / 2) / (clicks * rest))


def logloss(click: NDArray[np.uint8], probability: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood, in nats."""
    p = np.clip(np.asarray(probability, np.float64), 1e-9, 1 - 1e-9)
    return float(-np.mean(np.where(click.astype(bool), np.log(p), np.log1p(-p))))


def ece(click: NDArray[np.uint8], probability: NDArray[np.floating], bins: int = 20) -> float:
    """Mean absolute gap between predicted and seen rate over bins of equal mass."""
    order = np.argsort(probability, kind="stable")
    gap = np.asarray(probability, np.float64)[order] - click[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gap, bins)) / len(gap))


def measure(click: NDArray[np.uint8], probability: NDArray[np.floating]) -> Metrics:
    """All of them."""
    p = np.asarray(probability, np.float64)
    loss, base = logloss(click, p), float(np.mean(click))
    always = logloss(click, np.full(len(click), base))
    return Metrics(
        auc=auc(click, p),
        logloss=loss,
        normalised_entropy=loss / always,
        ece=ece(click, p),
        copc=float(click.sum() / p.sum()),
    )
