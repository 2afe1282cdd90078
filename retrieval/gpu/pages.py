"""Sets of line items as bitmaps cut into pages, of which the empty ones take no memory.

A set of any size is then read in one way: a page number, and the words of that page.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.postings import Postings

WORDS: Final = 32
"""32-bit words of a page: 128 bytes, one line of a GPU's cache, for 1 024 line items."""
LINES: Final = 32 * WORDS


def pages_for(line_items: int) -> int:
    return max(1, -(-line_items // LINES))


def whole_pages(words: NDArray[np.uint64], line_items: int) -> NDArray[np.int32]:
    """[..., pages * WORDS] bitmaps of 64-bit words as 32-bit ones, zeros up to a whole page."""
    halves = np.ascontiguousarray(words).view(np.int32)
    room = WORDS * pages_for(line_items) - halves.shape[-1]
    return np.pad(halves, [(0, 0)] * (halves.ndim - 1) + [(0, room)])


def paged(postings: Postings, line_items: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Page numbers [sets, pages] and pages [chunks, WORDS]; page 0 is empty, for all empty ones."""
    sets, width = len(postings.dense_row), pages_for(line_items)
    page = np.zeros((sets, width), np.int32)
    chunks: list[NDArray[np.int32]] = [np.zeros((1, WORDS), np.int32)]
    count = 1
    for number in range(sets):
        cut = _cut(postings, number, line_items)
        full = np.flatnonzero(cut.any(axis=1))
        page[number, full] = count + np.arange(len(full), dtype=np.int32)
        chunks.append(cut[full])
        count += len(full)
    return page, np.concatenate(chunks)


def _cut(postings: Postings, number: int, line_items: int) -> NDArray[np.int32]:
    """[pages, WORDS] of one set."""
    row = postings.dense_row[number]
    if row >= 0:
        return whole_pages(postings.dense[row], line_items).reshape(-1, WORDS)
    rows = postings.sparse[postings.sparse_start[number] : postings.sparse_start[number + 1]]
    flat: NDArray[Any] = np.zeros(LINES * pages_for(line_items), np.bool_)
    flat[rows] = True
    return np.packbits(flat, bitorder="little").view(np.int32).reshape(-1, WORDS)
