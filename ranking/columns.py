"""Requests as columns, as a log or a simulator has them, in the same encoding as single ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ranking.features import (
    BAG,
    REQUEST_FIELDS,
    REQUEST_ROW,
    first_rows,
    parent_of,
    topic_of,
)

_FIRST = first_rows(REQUEST_FIELDS)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts as row numbers of its vocabulary; -1 is none. Bags have [n, any] rows."""

    values: Sequence[str]
    index: NDArray[np.integer]

    def expanded(self, parts: Callable[[str], Sequence[str]]) -> Coded:
        """Each bag's values replaced by their parts, every part once, in their order."""
        pieces = [parts(value) for value in self.values]
        number = {part: at for at, part in enumerate(dict.fromkeys(chain(*pieces)))}
        widest = max(map(len, pieces), default=0)
        table = np.full((len(pieces) + 1, widest), -1, np.int64)
        for at, piece in enumerate(pieces):
            table[at, : len(piece)] = [number[part] for part in piece]
        index = table[self.first(BAG)].reshape(len(self.index), -1)
        for column in range(1, index.shape[1]):
            seen = (index[:, :column] == index[:, column : column + 1]).any(axis=1)
            index[seen, column] = -1
        return Coded(list(number), index)

    def first(self, width: int) -> NDArray[np.integer]:
        """[n, up to width] the values in front, -1 behind the last."""
        bag = self.index.reshape(len(self.index), -1)
        packed = np.take_along_axis(bag, np.argsort(bag < 0, axis=1, kind="stable"), axis=1)
        return packed[:, :width]

    def rows(self, row: Callable[[str], int], width: int) -> NDArray[np.int32]:
        """[n, width] what `row` makes of the first `width` values; 0 where there are fewer."""
        table = np.array([*map(row, self.values), 0], np.int32)
        found = table[self.first(width)]
        padded = np.zeros((len(found), width), np.int32)
        padded[:, : found.shape[1]] = found
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
    clicked: NDArray[np.integer] | None = None
    """[n, up to BAG] topics, newest first, 0 for none; None: nothing is known of anybody."""
    seen: NDArray[np.integer] | None = None


def encode_request_columns(columns: RequestColumns) -> NDArray[np.int32]:
    """[n, width(REQUEST_FIELDS)]: bit for bit what `encode_requests` gives row by row."""
    topic = columns.categories.rows(topic_of, 1)
    parents = columns.categories.expanded(lambda category: [parent_of(category)])
    words = columns.keywords.expanded(str.split)
    derived = {
        "parents": parents.rows(REQUEST_ROW["parents"], BAG),
        "words": words.rows(REQUEST_ROW["words"], BAG),
        "hour": (columns.hour % 24)[:, None] + _FIRST["hour"],
        "weekday": (columns.weekday % 7)[:, None] + _FIRST["weekday"],
        "topic": topic + _FIRST["topic"],
        "clicked": _topic_rows("clicked", columns.clicked, len(columns.hour)),
        "seen": _topic_rows("seen", columns.seen, len(columns.hour)),
    }
    parts = [
        derived[field.name]
        if field.name in derived
        else getattr(columns, field.name).rows(REQUEST_ROW[field.name], field.width)
        for field in REQUEST_FIELDS
    ]
    return np.concatenate(parts, axis=1).astype(np.int32)


def _topic_rows(name: str, topic: NDArray[np.integer] | None, count: int) -> NDArray[np.int32]:
    found = np.zeros((count, BAG), np.int32)
    if topic is not None:
        kept = topic[:, :BAG]
        found[:, : kept.shape[1]] = np.where(kept > 0, kept + _FIRST[name], 0)
    return found
