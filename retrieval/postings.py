"""Sets of line items in a few flat arrays: bitmaps where they are dense, lists where not.

This module knows sets of rows by number. It knows nothing of what a set stands for.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.files import mapped

SPARSE_PER_WORD = 0.25
"""Most rows per 64-bit word of a bitmap that are kept as a list. A row of a list costs about a
nanosecond and 4 bytes, a word of a bitmap about a tenth and 8 bytes: below this share the list
is eight times smaller, and a request pays at most twice the bitmap's time for it."""

LOW = np.int64(0xFFFFFFFF)


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

    @property
    def sets(self) -> int:
        return len(self.dense_row) - 1

    @classmethod
    def none(cls) -> Postings:
        """No set at all."""
        starts, spare = np.zeros(2, np.int64), np.zeros(1, np.int32)
        return cls(np.full(1, -1, np.int32), np.zeros((1, 1), np.uint64), starts, spare)

    def edited(
        self, size: int, without: NDArray[np.int32], more: Mapping[int, NDArray[np.int32]]
    ) -> Postings:
        """The same sets, of rows below `size`: first less `without`, then with `more` by set.

        A bitmap stays one, and a list a list, whatever their lengths become.
        """
        dense = widened(self.dense, words_for(size)) & ~bitmap(without, size)
        lists = [np.empty(0, np.int64)]
        for number, rows in more.items():
            if self.dense_row[number] >= 0:
                dense[self.dense_row[number]] |= bitmap(rows, size)
            else:
                lists.append(np.int64(number) << 32 | rows)
        gone = np.zeros(size, np.bool_)
        gone[without] = True
        old = self.sparse[: self.sparse_start[-1]]
        owner = np.repeat(np.arange(self.sets + 1), np.diff(self.sparse_start))
        key = (owner << 32 | old)[~gone[old]]  # by set, then by row: in this order they lie
        coming = np.sort(np.concatenate(lists))
        key = np.insert(key, np.searchsorted(key, coming), coming)
        start = np.searchsorted(key, np.arange(self.sets + 2) << 32)
        return Postings(self.dense_row, dense, start.astype(np.int64), _spare(key & LOW))

    def with_sets(self, rows: Sequence[NDArray[np.int32]], lists: Container[int]) -> Postings:
        """And sets of these sorted rows after the others; those numbered in `lists` from 0 on are
        lists however long, of the others the short ones."""
        words = self.dense.shape[1]
        is_list = [len(one) <= SPARSE_PER_WORD * words or n in lists for n, one in enumerate(rows)]
        wide = [bitmap(one, 64 * words) for one, lst in zip(rows, is_list, strict=True) if not lst]
        narrow = [one if lst else one[:0] for one, lst in zip(rows, is_list, strict=True)]
        used, end = int(self.dense_row.max()) + 1, self.sparse_start[-1]
        place = used - 1 + np.cumsum(~np.array(is_list, np.bool_))
        starts = end + np.cumsum([0, *map(len, narrow), 0])
        return Postings(
            np.concatenate([self.dense_row[:-1], np.where(is_list, -1, place), [-1]]).astype("i4"),
            np.concatenate([self.dense[:used], wide]) if wide else self.dense,
            np.concatenate([self.sparse_start[:-2], starts]),
            _spare(np.concatenate([self.sparse[:end], *narrow])),
        )

    def has(self, number: int, row: int) -> bool:
        """Whether a row is in one set."""
        if number < 0:
            return False
        if self.dense_row[number] >= 0:
            return is_set(self.dense[self.dense_row[number]], row)
        rows = self.rows(number)
        place = int(np.searchsorted(rows, row))
        return place < len(rows) and int(rows[place]) == row


def _spare(rows: NDArray[np.integer]) -> NDArray[np.int32]:
    """With one element more: an empty file cannot be mapped."""
    return np.append(rows, 0).astype(np.int32)


def widened(bitmaps: NDArray[np.uint64], words: int) -> NDArray[np.uint64]:
    """[n, words] the same bits in more words."""
    wide = np.zeros((len(bitmaps), words), np.uint64)
    wide[:, : bitmaps.shape[1]] = bitmaps
    return wide


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
