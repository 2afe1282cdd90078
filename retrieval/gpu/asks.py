"""A batch of requests as two arrays of fixed width: what crosses from the server to the device.

This module knows a query's columns and nothing of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.query import DIMENSIONS, MAX_SLOTS, Query

MAX_TERMS: Final = 64
MAX_BLOCKED: Final = 32
MAX_SIZES: Final = 64

START: Final = 0
TERM: Final = START + DIMENSIONS + 1
BLOCKED: Final = TERM + MAX_TERMS
BLOCKS: Final = BLOCKED + MAX_BLOCKED
PLACEMENT: Final = BLOCKS + 1
SLOTS: Final = PLACEMENT + MAX_SLOTS
ATTRIBUTE: Final = SLOTS + 1
SECURE: Final = ATTRIBUTE + MAX_SLOTS
SIZE: Final = SECURE + 1
WIDTH: Final = SIZE + MAX_SIZES
"""Columns of `Asks.ask`: where each dimension's terms begin, the terms, blocked terms and their
number, each slot's placement and their number, each slot's refused attributes, the slots that take
https only, the slots that accept each size."""


class TooWide(ValueError):
    """A request names more values than travel to the device; the planner takes any number."""


class Malformed(ValueError):
    """Numbers that are no request of this catalogue: they would be read as addresses."""


@dataclass(frozen=True, slots=True)
class Asks:
    """B requests; row b of both arrays is request b."""

    ask: NDArray[np.int32]
    """[B, WIDTH] bit masks are the same bits as uint32."""
    vector: NDArray[np.float32]
    """[B, E + 1] the request tower's output, then the request's own log-odds."""

    @classmethod
    def of(cls, queries: Sequence[Query], dimensions: int) -> Asks:
        """Queries whose vectors have `dimensions` numbers. TooWide if one of them does not fit."""
        ask = np.zeros((len(queries), WIDTH), np.int32)
        vector = np.zeros((len(queries), dimensions + 1), np.float32)
        for row, query in enumerate(queries):
            _write(ask[row], query)
            vector[row, :-1] = query.vector
            vector[row, -1] = query.bias
        return cls(ask, vector)

    def check(self, terms: int, sizes: int, dimensions: int) -> None:
        """Malformed unless every number may be used with a catalogue of so many terms and sizes."""
        if self.ask.shape != (len(self.vector), WIDTH):
            raise Malformed(f"{WIDTH} integers make a request, not {self.ask.shape[1:]}")
        if self.vector.shape[1] != dimensions + 1 or not np.isfinite(self.vector).all():
            raise Malformed(f"{dimensions + 1} finite numbers make a request's vector")
        start = self.ask[:, START:TERM]
        if (np.diff(start) < 0).any() or (start[:, 0] != 0).any() or (start > MAX_TERMS).any():
            raise Malformed("the dimensions' terms do not follow each other")
        for first, most, number in ((SLOTS, MAX_SLOTS, 1), (BLOCKS, MAX_BLOCKED, 0)):
            if not _within(self.ask[:, first], number, most + 1):
                raise Malformed("a request has one slot at least, and no more than there is room")
        named = (self.ask[:, TERM:BLOCKED], self.ask[:, BLOCKED:BLOCKS])
        if not all(_within(some, 0, max(terms, 1)) for some in named):
            raise Malformed(f"terms of this catalogue are numbers below {terms}")
        if not _within(self.ask[:, PLACEMENT:SLOTS], -1, terms) or sizes > MAX_SIZES:
            raise Malformed(f"placements of this catalogue are numbers below {terms}")


def _within(numbers: NDArray[np.int32], low: int, high: int) -> bool:
    return bool(((numbers >= low) & (numbers < high)).all())


def _write(row: NDArray[np.int32], query: Query) -> None:
    slots = len(query.slot_placement)
    parts = (
        (TERM, query.term, MAX_TERMS),
        (BLOCKED, query.blocked, MAX_BLOCKED),
        (PLACEMENT, query.slot_placement, MAX_SLOTS),
        (ATTRIBUTE, query.blocked_attribute.view(np.int32), MAX_SLOTS),
        (SIZE, query.slots_by_size.view(np.int32), MAX_SIZES),
    )
    for first, values, most in parts:
        if len(values) > most:
            raise TooWide(f"{len(values)} values where {most} have room")
        row[first : first + len(values)] = values
    row[START:TERM] = query.term_start
    row[BLOCKS], row[SLOTS] = len(query.blocked), slots
    row[SECURE] = np.uint32(query.secure).view(np.int32)
