"""Weights of ids that are seen too rarely to be trained: clicks counted against clicks expected.

Empirical Bayes: clicks of an id are Poisson around what the model expects times a factor of its
own, and factors are gamma distributed with mean 1. The best guess of an id's factor is then
(clicks + k) / (expected + k); k, the same for all ids of a field, is the likeliest
(DuMouchel 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from ranking import reference
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, Field, bag_starts
from ranking.training.settings import TrainSettings

Floats = NDArray[np.float64]
STRENGTHS = np.geomspace(1.0, 10_000.0, 33)
"""Candidates for k: at the least factors vary twofold and more, at the most by a percent."""


def count_ids(
    weights: dict[str, NDArray[np.float32]], table: Impressions, settings: TrainSettings
) -> None:
    """Move the weights of all counted fields, one field after the other, in place.

    `table` has all clicks and a share of the rest, each of which stands for many, as many times as
    it weighs; in a stream a click is no impression of its own.
    """
    clicked = 0.0 if settings.stream else 1.0
    stands_for = np.where(table.click > 0, clicked, table.weight / settings.negatives)
    expected = reference.sigmoid(reference.score(weights, table).full) * stands_for
    shown = {"request": table.request[table.of], "ad": table.catalogue[table.ad]}
    for side, fields in (("request", REQUEST_FIELDS), ("ad", AD_FIELDS)):
        wide = weights[f"{side}.wide"]
        for column in _counted_columns(fields):
            ids = shown[side][:, column]
            shift = shifts(ids, table.click, expected, len(wide))
            wide += shift
            expected *= np.exp(shift[ids])


def _counted_columns(fields: Sequence[Field]) -> list[int]:
    starts = bag_starts(fields)
    return [int(starts[at]) for at, field in enumerate(fields) if not field.embedded]


def shifts(
    ids: NDArray[np.int32], clicks: NDArray[np.uint8], expected: Floats, rows: int
) -> NDArray[np.float32]:
    """[rows] log factor of each id; 0 for id 0 and for those never shown."""
    seen = np.bincount(ids, clicks.astype(np.float64), rows).astype(np.float64)
    due = np.bincount(ids, expected, rows).astype(np.float64)
    shown = due > 0
    shown[0] = False
    if not shown.any():
        return np.zeros(rows, np.float32)
    k = _likeliest(seen[shown], due[shown])
    return np.where(shown, np.log((seen + k) / (due + k)), 0.0).astype(np.float32)


def _likeliest(seen: Floats, due: Floats) -> float:
    return float(max(STRENGTHS, key=lambda k: _log_likelihood(seen, due, float(k))))


def _log_likelihood(seen: Floats, due: Floats, k: float) -> float:
    """Of a gamma-Poisson mixture, up to what does not depend on k."""
    counts, times = np.unique(seen.astype(np.int64), return_counts=True)
    rising = sum(
        n * (lgamma(count + k) - lgamma(k)) for count, n in zip(counts, times, strict=True)
    )
    return float(rising - np.sum((seen + k) * np.log1p(due / k)) - np.sum(seen) * np.log(k))
