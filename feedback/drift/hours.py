"""Impressions summed up hour by hour: all that drift is judged from, small enough to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback.drift.bins import Bins
from feedback.drift.columns import columns
from feedback.drift.settings import HOUR_MS
from ranking.dataset import Impressions

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hours:
    """T hours, ascending."""

    hour: NDArray[np.int64]
    """Since 1970, UTC."""
    request: NDArray[np.int64]
    count: NDArray[np.int64]
    """[T, bins]"""
    click: Floats
    expected: Floats
    """Sum of the predicted rates."""
    variance: Floats
    """Sum of p (1 - p)."""
    vector: Floats
    """[T, P] sums of the request vectors' coordinates; [T, 0] without vectors."""
    square: Floats
    """[T, P] sums of their squares."""

    def __len__(self) -> int:
        return len(self.hour)

    def where(self, keep: NDArray[np.bool_]) -> Hours:
        return Hours(*(getattr(self, field.name)[keep] for field in fields(self)))


def summed(
    bins: Bins,
    table: Impressions,
    score: NDArray[np.floating],
    vector: NDArray[np.floating] | None = None,
) -> Hours:
    """The hours of R dated impressions with their predicted rates [R]; `vector` [Q, P] says where
    the requests lie."""
    hour, of = np.unique(table.time_ms // HOUR_MS, return_inverse=True)
    first = table.starts()[:-1]
    request_of, p = of[first], score.astype(np.float64)
    vector = np.empty((len(first), 0)) if vector is None else vector.astype(np.float64)
    return Hours(
        hour=hour,
        request=np.bincount(request_of, minlength=len(hour)),
        count=_counted(bins, table, score, (of, request_of, len(hour))),
        click=_total(of, table.click, len(hour)),
        expected=_total(of, p, len(hour)),
        variance=_total(of, p * (1 - p), len(hour)),
        vector=_by_hour(request_of, vector, len(hour)),
        square=_by_hour(request_of, vector**2, len(hour)),
    )


def _counted(
    bins: Bins,
    table: Impressions,
    score: NDArray[np.floating],
    when: tuple[NDArray[np.int64], NDArray[np.int64], int],
) -> NDArray[np.int64]:
    of, request_of, hours = when
    width = int(bins.start[-1])
    count = np.zeros(hours * width, np.int64)
    for feature, column in enumerate(columns(table, score)):
        at = (request_of if column.of_requests else of) * width + bins.place(feature, column.values)
        count += np.bincount(at, minlength=len(count))
    return count.reshape(hours, width)


def _by_hour(of: NDArray[np.int64], values: Floats, hours: int) -> Floats:
    found = np.zeros((hours, values.shape[1]))
    for at in range(values.shape[1]):
        found[:, at] = _total(of, values[:, at], hours)
    return found


def _total(of: NDArray[np.int64], values: NDArray[Any], hours: int) -> Floats:
    return np.bincount(of, values, hours).astype(np.float64)


def merged(parts: Sequence[Hours]) -> Hours:
    """Hours of all parts; those of the same hour are added up."""
    hour, at = np.unique(np.concatenate([part.hour for part in parts]), return_inverse=True)
    columns = {}
    for field in fields(Hours):
        values = np.concatenate([getattr(part, field.name) for part in parts])
        columns[field.name] = np.zeros((len(hour), *values.shape[1:]), values.dtype)
        np.add.at(columns[field.name], at, values)
    return Hours(**(columns | {"hour": hour}))
