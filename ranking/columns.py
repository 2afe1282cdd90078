"""Requests as columns, as a log or a simulator has them, in the same encoding as single ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.features import BAG, REQUEST_FIELDS, REQUEST_ROW, first_rows, topic_of

_FIRST = first_rows(REQUEST_FIELDS)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts as row numbers of its vocabulary; -1 is none. Bags have [n, any] rows."""

    values: Sequence[str]
    index: NDArray[np.integer]

    def rows(self, row: Callable[[str], int], width: int) -> NDArray[np.int32]:
        """[n, width] what `row` makes of the first `width` values; 0 where there are fewer."""
        table = np.array([*map(row, self.values), 0], np.int32)
        packed = self.index.reshape(len(self.index), -1)
        if width > 1:
            packed = np.take_along_axis(packed, np.argsort(packed < 0, axis=1, kind="stable"), 1)
        padded = np.zeros((len(packed), width), np.int32)
        kept = min(width, packed.shape[1])
        padded[:, :kept] = table[packed[:, :kept]]
        return padded


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """Many requests at once, as a log or a simulator has them: the same fields, as columns."""

    country: Coded
    region: Coded
    device: Coded
    os: Coded
    browser: Coded
    language: Coded
    domain: Coded
    publisher: Coded
    user: Coded
    hour: NDArray[np.integer]
    weekday: NDArray[np.integer]
    categories: Coded
    segments: Coded
    keywords: Coded


def encode_request_columns(columns: RequestColumns) -> NDArray[np.int32]:
    """[n, width(REQUEST_FIELDS)]: bit for bit what `encode_requests` gives row by row."""
    topic = columns.categories.rows(topic_of, BAG)[:, :1]
    derived = {
        "hour": (columns.hour % 24)[:, None] + _FIRST["hour"],
        "weekday": (columns.weekday % 7)[:, None] + _FIRST["weekday"],
        "topic": topic + _FIRST["topic"],
    }
    parts = [
        derived[field.name]
        if field.name in derived
        else getattr(columns, field.name).rows(REQUEST_ROW[field.name], field.width)
        for field in REQUEST_FIELDS
    ]
    return np.concatenate(parts, axis=1).astype(np.int32)
