"""A batch as the device takes it: one buffer of 32-bit words, cut into tiles of one request each.

Knows the layout, not the device. A size is a layout's capacity: kernels read how much of it is
used from the buffer's header, so that one captured graph serves every batch that fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ranking.scorer import Pairs

HEADER: Final = 4
"""Words: tiles, requests, rows, ads of the table."""
ALIGN: Final = 32
"""Words; a column begins on a boundary of 128 bytes."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a buffer holds."""

    rows: int
    requests: int

    def holds(self, pairs: Pairs) -> bool:
        return len(pairs.ad) <= self.rows and len(pairs.bias) <= self.requests


SIZES: Final = tuple(Size(1 << k, max(32, 1 << (k - 6))) for k in range(10, 18))
"""1 024 to 131 072 pairs; a request has 64 on average at least, or takes a larger buffer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns lie in the buffer, in words."""

    size: Size
    block: int
    """Pairs of a tile."""
    dim: int

    @property
    def tiles(self) -> int:
        """The most there can be: each request may end in a tile that is not full."""
        return self.size.rows // self.block + self.size.requests

    @property
    def places(self) -> dict[str, slice]:
        """By column; ids and offsets are i32, vectors and what is added f32."""
        words = {
            "header": HEADER,
            "tile_request": self.tiles,
            "tile_first": self.tiles,
            "offset": self.size.requests + 1,
            "vector": self.size.requests * (self.dim + 1),
            "ad": self.size.rows,
            "added": self.size.rows,
        }
        found, at = {}, 0
        for name, count in words.items():
            found[name] = slice(at, at + count)
            at += -(-count // ALIGN) * ALIGN
        return found

    def words(self, with_added: bool) -> int:
        """Of the whole buffer."""
        return int(self.places["added" if with_added else "ad"].stop)

    def write(
        self,
        buffer: NDArray[np.int32],
        pairs: Pairs,
        ads: int,
        added: NDArray[np.float32] | None = None,
    ) -> None:
        """Fill the buffer i32[words]; ValueError where the batch does not fit."""
        if not self.size.holds(pairs):
            raise ValueError(f"{len(pairs.ad)} pairs do not fit {self.size}")
        request, first = tiles(pairs.offset, self.block)
        header = np.array([len(request), len(pairs.bias), len(pairs.ad), ads], np.int32)
        vector = np.column_stack((pairs.vector, pairs.bias)).astype(np.float32, copy=False)
        columns = {
            "header": header,
            "tile_request": request,
            "tile_first": first,
            "offset": pairs.offset,
            "vector": vector.reshape(-1).view(np.int32),
            "ad": pairs.ad,
        }
        if added is not None:
            columns["added"] = np.ascontiguousarray(added, np.float32).view(np.int32)
        places = self.places
        for name, column in columns.items():
            start = places[name].start
            buffer[start : start + len(column)] = column


def tiles(offset: NDArray[np.int32], block: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each tile's request and first row: every pair in one tile, none over two requests."""
    each = -(-np.diff(offset) // block)
    request = np.repeat(np.arange(len(each), dtype=np.int32), each)
    begun = np.cumsum(each) - each
    place = np.arange(len(request), dtype=np.int32) - begun[request]
    return request, (offset[request] + place * block).astype(np.int32)


def parts(pairs: Pairs, most: Size) -> Iterator[tuple[slice, Pairs]]:
    """Pieces that fit, in order, each with its rows; requests with no pairs are left out.

    A request may go on in the next piece.
    """
    start, rows = 0, len(pairs.ad)
    while start < rows:
        first = int(np.searchsorted(pairs.offset, start, side="right")) - 1
        last = min(first + most.requests, len(pairs.bias))
        stop = min(start + most.rows, int(pairs.offset[last]))
        last = int(np.searchsorted(pairs.offset, stop, side="left"))
        own = slice(first, last)
        offset = np.clip(pairs.offset[first : last + 1], start, stop) - np.int32(start)
        cut = slice(start, stop)
        yield (
            cut,
            Pairs(
                pairs.version,
                pairs.vector[own],
                pairs.bias[own],
                pairs.ad[cut],
                offset,
                pairs.model,
            ),
        )
        start = stop
