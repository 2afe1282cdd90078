"""Which row of an embedding table a value has: one of its own if it is frequent.

Each field has a table of its own, with at least two buckets for each value that it holds, so that
no two frequent values share a row: that costs a network more than a better shape gains it. Rare
values share a hashed tail. Where a field has more frequent values than rows are allowed, what finds
no row has two, by two hashes, whose vectors add up (quotient and remainder, Shi et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ranking.tabular.kernels import U64, find, insert

NOTHING = 0
"""A row that stays zero: of what is not there."""
MOST_LOAD = 0.5
FEWEST_BUCKETS = 8
Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a field may hold."""

    frequent: int = 3
    """Times that a value must have been seen to get a row of its own."""
    tail: int = 32
    """Rows that rare values share."""
    own: int = 1 << 20
    """Rows of their own at most: with 16 numbers each, a million take 64 MB."""
    pairs: int = 1 << 12
    """Rows of either hash, once `own` are given out: they tell `pairs`² values apart."""
    waiting: int = 1 << 22
    """Values not yet frequent whose counts are kept; beyond, those seen once are forgotten."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one field's values. Rows, once given, never change."""

    limits: Limits
    slot: U64
    """[buckets] the value's hash; 0: free."""
    row: Rows
    """[buckets] its row."""
    live: int
    """Values with a row of their own."""
    waiting: U64
    """Other values seen, in order."""
    seen: NDArray[np.int64]
    """How often each of them was."""

    @classmethod
    def empty(cls, limits: Limits) -> Table:
        slot, row = np.zeros(FEWEST_BUCKETS, np.uint64), np.zeros(FEWEST_BUCKETS, np.int32)
        return cls(limits, slot, row, 0, np.zeros(0, np.uint64), np.zeros(0, np.int64))

    @property
    def full(self) -> bool:
        """Whether values without a row of their own have two."""
        return self.live == self.limits.own

    @property
    def rows(self) -> int:
        """Of the embedding: nothing, the tail, the values' own, and the pairs of a full table."""
        pairs = 2 * self.limits.pairs if self.full else 0
        return 1 + self.limits.tail + self.live + pairs

    def grown(self, hashed: U64) -> Table:
        """The table after these values u64[R], none 0, have been seen too.

        Values that have become frequent get the next rows, the more often seen first; the buckets
        double until no more than half of them are taken.
        """
        value, count = np.unique(hashed, return_counts=True)
        known = self._own(value) >= 0
        waiting, seen = _added(self.waiting, self.seen, value[~known], count[~known])
        ready = np.flatnonzero(seen >= self.limits.frequent)
        ready = ready[np.argsort(-seen[ready], kind="stable")][: self.limits.own - self.live]
        fresh = waiting[ready]
        keep = np.ones(len(waiting), bool)
        keep[ready] = False
        if keep.sum() > self.limits.waiting:
            keep &= seen > 1
        held = replace(self, waiting=waiting[keep], seen=seen[keep])
        return held._with(fresh) if len(fresh) else held

    def _with(self, fresh: U64) -> Table:
        live = self.live + len(fresh)
        slot, row = self.slot.copy(), self.row.copy()
        buckets = _buckets(live)
        if buckets > len(slot):
            old = np.zeros(self.live, np.uint64)
            old[self.row[self.slot != 0] - self._first] = self.slot[self.slot != 0]
            slot, row = np.zeros(buckets, np.uint64), np.zeros(buckets, np.int32)
            insert(slot, row, old, self._first)
        insert(slot, row, fresh, self._first + self.live)
        return replace(self, slot=slot, row=row, live=live)

    @property
    def _first(self) -> int:
        return 1 + self.limits.tail

    def _own(self, hashed: U64) -> Rows:
        found = np.empty(len(hashed), np.int32)
        find(self.slot, self.row, np.ascontiguousarray(hashed), found)
        return found

    def pair(self, hashed: U64) -> tuple[Rows, Rows]:
        """[R] first and second row of each value; NOTHING where there is no second, or no value."""
        first, second = self._own(hashed), np.zeros(len(hashed), np.int32)
        rare = first < 0
        word = hashed[rare]
        if self.full:
            pairs, start = self.limits.pairs, self._first + self.live
            first[rare] = start + (word % pairs).astype(np.int32)
            second[rare] = start + pairs + (word // pairs % pairs).astype(np.int32)
        else:
            first[rare] = 1 + (word % self.limits.tail).astype(np.int32)
        first[hashed == 0] = second[hashed == 0] = NOTHING
        return first, second


def _added(
    value: U64, seen: NDArray[np.int64], more: U64, count: NDArray[np.int64]
) -> tuple[U64, NDArray[np.int64]]:
    joined, place = np.unique(np.concatenate([value, more]), return_inverse=True)
    total = np.bincount(place, np.concatenate([seen, count]), minlength=len(joined))
    return joined, total.astype(np.int64)


def _buckets(live: int) -> int:
    """The power of two of which `live` take no more than MOST_LOAD."""
    return max(FEWEST_BUCKETS, 1 << int(np.ceil(np.log2(live / MOST_LOAD))))


@dataclass(frozen=True, slots=True)
class Load:
    """How full a field's table is."""

    field: str
    live: int
    """Values with a row of their own."""
    rare: int
    """Values seen that share rows."""
    buckets: int
    load: float
    """Share of the buckets that is taken."""
    rows: int
    """Of the embedding."""
    two_hashes: bool


def loads(tables: Sequence[Table], names: Sequence[str]) -> list[Load]:
    """Of each field's table."""
    return [
        Load(
            field=name,
            live=table.live,
            rare=len(table.waiting),
            buckets=len(table.slot),
            load=table.live / len(table.slot),
            rows=table.rows,
            two_hashes=table.full,
        )
        for name, table in zip(names, tables, strict=True)
    ]
