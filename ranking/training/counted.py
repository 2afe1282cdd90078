"""Weights of ids that are seen too rarely to be trained: clicks counted against clicks expected.

Empirical Bayes: clicks of an id are Poisson around what the model expects times a factor of its
own, and factors are gamma distributed with mean 1. The best guess of an id's factor is then
(clicks + k) / (expected + k); k, the same for all ids of a field, is the likeliest
(DuMouchel 1999). What few impressions that stand for many expect is itself a guess, and interests
pass: so of each field's factors as much is kept as newer impressions bear out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from ranking import reference
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, Field, bag_starts
from ranking.metrics import logloss
from ranking.training.settings import TrainSettings

Floats = NDArray[np.float64]
STRENGTHS = np.geomspace(1.0, 10_000.0, 33)
"""Candidates for k: at the least factors vary twofold and more, at the most by a percent."""
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
ENOUGH = 1_000
"""Clicks among newer impressions from which on they say how much of the factors to keep."""
NEWTON = 8
"""Steps to the best level."""
CHUNK = 400_000
"""Requests that are scored at a time."""


def count_ids(
    weights: dict[str, NDArray[np.float32]],
    table: Impressions,
    settings: TrainSettings,
    newer: Impressions,
) -> None:
    """Move the weights of all counted fields, one field after the other, in place.

    `table` has all clicks and a share of the rest, each of which stands for as many as it weighs;
    in a stream a click is no impression of its own. `newer` impressions are none of `table`.
    """
    clicked = 0.0 if settings.stream else 1.0
    stands_for = np.where(table.click > 0, clicked, table.weight)
    expected = reference.sigmoid(_scores(weights, table)) * stands_for
    logit = _scores(weights, newer).astype(np.float64)
    for side, fields in (("request", REQUEST_FIELDS), ("ad", AD_FIELDS)):
        wide = weights[f"{side}.wide"]
        for column in _counted_columns(fields):
            ids = _ids(table, side, column)
            shift = shifts(ids, table.click, expected, len(wide))
            added = shift[_ids(newer, side, column)]
            share = kept(logit, added, newer)
            wide += np.float32(share) * shift
            expected *= np.exp(share * shift[ids])
            logit += share * added


def _scores(weights: Mapping[str, NDArray[np.float32]], table: Impressions) -> NDArray[np.float32]:
    """[R] log-odds, some requests at a time: pooled embeddings of millions are gigabytes."""
    starts = range(0, len(table.request), CHUNK)
    return np.concatenate(
        [reference.score(weights, table.part(at, at + CHUNK)).full for at in starts]
    )


def _ids(table: Impressions, side: str, column: int) -> NDArray[np.int32]:
    rows, of = (table.request, table.of) if side == "request" else (table.catalogue, table.ad)
    ids: NDArray[np.int32] = rows[of, column]
    return ids


def kept(logit: Floats, added: NDArray[np.float32], newer: Impressions) -> float:
    """The share of what is `added` to log-odds that predicts best, their level aside; all of it
    where clicks are too few to tell."""
    if newer.click.sum() < ENOUGH:
        return 1.0
    return min(SHARES, key=lambda share: _loss(logit + share * added, newer))


def _loss(logit: Floats, table: Impressions) -> float:
    """Log loss at the level, one for all, that fits best."""
    level = 0.0
    for _ in range(NEWTON):
        rate = 1.0 / (1.0 + np.exp(-(logit + level)))
        mass = table.weight * rate
        level += float((table.weight @ table.click - mass.sum()) / (mass @ (1.0 - rate)))
    return logloss(table.click, 1.0 / (1.0 + np.exp(-(logit + level))), table.weight)


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
