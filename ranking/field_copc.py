"""Clicks over predicted clicks by each value of each field: being right on average is not enough.

A value is a row of the fields' tables, since that is all an encoded impression knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, Field, bag_starts, first_rows
from ranking.metrics import Floats, Mass, masses

LEAST_CLICKS = 100.0
"""Expected clicks of a value that is looked at: chance moves its COPC by about a tenth."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The value of one field whose clicks are furthest from what was predicted."""

    field: str
    value: int
    """Which of the field's values: an index from 0 into its part of the table."""
    copc: float
    clicks: float
    predicted: float


def field_copc(
    table: Impressions,
    probability: NDArray[np.floating],
    weight: Mass = None,
    least: float = LEAST_CLICKS,
) -> list[Worst]:
    """The worst value of each field that has values with `least` expected clicks; worst first."""
    mass = masses(len(table), weight)
    seen, predicted = mass * table.click, mass * np.asarray(probability, np.float64)
    sides = (
        (REQUEST_FIELDS, table.request, table.of),
        (AD_FIELDS, table.catalogue, table.ad),
        (SLOT_FIELDS, table.slot, np.arange(len(table))),
    )
    found = [
        worst
        for fields, ids, of in sides
        for worst in _side(
            fields, ids, _summed(of, seen, len(ids)), _summed(of, predicted, len(ids)), least
        )
    ]
    return sorted(found, key=lambda one: -abs(one.copc - 1.0))


def _summed(of: NDArray[np.integer], column: Floats, rows: int) -> Floats:
    return np.bincount(of, column, rows).astype(np.float64, copy=False)


def _side(
    fields: Sequence[Field], ids: NDArray[np.int32], clicks: Floats, predicted: Floats, least: float
) -> Iterator[Worst]:
    """Of encoded rows i32[n, W] with the clicks and predicted clicks [n] of each."""
    start, first = bag_starts(fields), first_rows(fields)
    for at, field in enumerate(fields):
        value = ids[:, start[at] : start[at + 1]] - np.int32(first[field.name])
        known = value >= 0
        row = np.nonzero(known)[0]
        seen, expected = (
            np.bincount(value[known], column[row], field.rows) for column in (clicks, predicted)
        )
        enough = np.flatnonzero(expected >= least)
        if len(enough):
            copc = seen[enough] / expected[enough]
            place = int(np.argmax(np.abs(copc - 1.0)))
            one = int(enough[place])
            yield Worst(field.name, one, float(copc[place]), float(seen[one]), float(expected[one]))
