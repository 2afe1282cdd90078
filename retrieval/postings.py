"""Sets of line items in a few flat arrays: bitmaps where they are dense, lists where not.

This module knows sets of rows by number. It knows nothing of what a set stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.files import mapped

SPARSE_PER_WORD = 0.25
"""Most rows per 64-bit word of a bitmap that are kept as a list. A row of a list costs about a
nanosecond and 4 bytes, a word of a bitmap about a tenth and 8 bytes: below this share the list
is eight times smaller, and a request pays at most twice the bitmap's time for it."""


@dataclass(frozen=True, slots=True)
class Postings:
    """Sets of rows, each a bitmap or a sorted list, numbered from 0."""

    dense_row: NDArray[np.int32]
    """[sets] row of `dense`, -1 for a set that is a list."""
    dense: NDArray[np.uint64]
    """[bitmaps, words]"""
    sparse_start: NDArray[np.int64]
    """[sets + 1] where each list begins in `sparse`; a bitmap has an empty list."""
    sparse: NDArray[np.int32]

    def save(self, folder: Path) -> None:
        for name in Postings.__slots__:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> Postings:
        return cls(*(mapped(folder / f"{name}.npy") for name in Postings.__slots__))

    def rows(self, number: int) -> NDArray[np.int32] | NDArray[np.intp]:
        """The rows of one set, none for number -1."""
        if number < 0:
            return np.empty(0, np.int32)
        if self.dense_row[number] >= 0:
            return np.flatnonzero(flags(self.dense[self.dense_row[number]]))
        return self.sparse[self.sparse_start[number] : self.sparse_start[number + 1]]

    def has(self, number: int, row: int) -> bool:
        """Whether a row is in one set."""
        if number < 0:
            return False
        if self.dense_row[number] >= 0:
            return is_set(self.dense[self.dense_row[number]], row)
        rows = self.rows(number)
        place = int(np.searchsorted(rows, row))
        return place < len(rows) and int(rows[place]) == row


class PostingsBuilder:
    """Gathers the rows of every term, then lays them out."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.parts: list[tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]] = []
        self.lists: set[int] = set()

    def new_term(self) -> int:
        self.parts.append(([], []))
        return len(self.parts) - 1

    def add(
        self, term: int, rows: NDArray[np.int32], exclude: bool = False, sparse: bool = False
    ) -> None:
        """Add rows to the term's including or excluding set; `sparse` forces a list."""
        self.parts[term][exclude].append(rows)
        if sparse:
            self.lists.add(term)

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Postings]:
        """Each term's including and excluding set (-1: none), and the sets."""
        number = np.full((2, max(1, len(self.parts))), -1, np.int32)
        sets: list[NDArray[np.int32]] = []
        forced: set[int] = set()
        for term, sides in enumerate(self.parts):
            for side, parts in enumerate(sides):
                if not parts:
                    continue
                if term in self.lists:
                    forced.add(len(sets))
                number[side, term] = len(sets)
                sets.append(np.unique(np.concatenate(parts)).astype(np.int32))
        return number[0], number[1], self._lay_out(sets, forced)

    def _lay_out(self, sets: list[NDArray[np.int32]], forced: set[int]) -> Postings:
        most = SPARSE_PER_WORD * words_for(self.rows)
        is_list = [len(rows) <= most or n in forced for n, rows in enumerate(sets)]
        bitmaps = [
            bitmap(rows, self.rows) for rows, lst in zip(sets, is_list, strict=True) if not lst
        ]
        lists = [rows if lst else rows[:0] for rows, lst in zip(sets, is_list, strict=True)]
        dense_row = np.cumsum(~np.array(is_list, np.bool_)) - 1
        # An empty file cannot be mapped, so each array keeps at least one spare element.
        spare = np.zeros((1, words_for(self.rows)), np.uint64)
        return Postings(
            np.append(np.where(is_list, -1, dense_row), -1).astype(np.int32),
            np.stack(bitmaps) if bitmaps else spare,
            np.cumsum([0, *map(len, lists), 0]).astype(np.int64),
            np.concatenate([*lists, np.zeros(1, np.int32)]),
        )


def words_for(rows: int) -> int:
    """64-bit words that hold a bit for each row; at least one."""
    return max(1, -(-rows // 64))


def bitmap(rows: NDArray[np.int32], size: int) -> NDArray[np.uint64]:
    """[words] with the bits of `rows` set, lowest bit first."""
    bit = np.zeros(64 * words_for(size), np.bool_)
    bit[rows] = True
    return np.packbits(bit, bitorder="little").view(np.uint64)


def is_set(words: NDArray[np.uint64], row: int) -> bool:
    """One bit of a bitmap."""
    return bool(int(words[row >> 6]) >> (row & 63) & 1)


def flags(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """[64 * words] each bit on its own."""
    return np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)
