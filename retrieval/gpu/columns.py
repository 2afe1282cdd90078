"""A snapshot's columns in the layout that the device scans, still in the host's memory.

Made from the same parts as a `planner.Retriever`; knows no device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.gpu.pages import paged, pages_for, whole_pages

if TYPE_CHECKING:  # their modules compile kernels for the CPU, which a GPU's machine may not have
    from retrieval.kinds import Kinds
    from retrieval.targeting import TargetingIndex
    from retrieval.vectors import AdVectors

HEAD: Final = 16
"""Leading dimensions of a vector, whose digits have a step of their own; as `retrieval.kernels`."""
ADS: Final = 1024
"""Ads are padded to a multiple of this, so that every block of a kernel is whole."""


@dataclass(frozen=True, slots=True)
class Columns:
    """N ads, padded to M; L line items, in P pages; K kinds; vectors of D digits."""

    ads: int
    line_items: int
    sizes: int
    page: NDArray[np.int32]
    """[sets, P] row of `chunk`."""
    chunk: NDArray[np.int32]
    """[chunks, WORDS] 32 line items to a word; row 0 is empty."""
    include: NDArray[np.int32]
    """[terms] set of the line items that name the value, -1 when there are none."""
    exclude: NDArray[np.int32]
    open: NDArray[np.int32]
    """[DIMENSIONS, P * WORDS] line items that name no value of the dimension."""
    unrestricted: NDArray[np.int32]
    """[P * WORDS] line items that run in any placement."""
    line_of: NDArray[np.int32]
    """[M] an ad's line item; 0 for padding."""
    kind: NDArray[np.int32]
    """[M] an ad's kind; K, which fits nowhere, for padding."""
    kind_size: NDArray[np.int32]
    kind_attributes: NDArray[np.int32]
    kind_secure: NDArray[np.int32]
    click: NDArray[np.int8]
    """[M] 1: paid by click, so that the request's vector counts."""
    coarse: NDArray[np.int8]
    """[M, D] steps; the first HEAD have a size of their own."""
    fine: NDArray[np.int8]
    """[M, D] what is left, in 254ths of a step."""
    fact: NDArray[np.float32]
    """[2, M] size of a step of the leading digits, of the others."""
    rotation: NDArray[np.float32]
    """[E, D] turns a request's vector to the ads' axes."""

    @classmethod
    def of(
        cls,
        index: TargetingIndex,
        vectors: AdVectors,
        kinds: Kinds,
        ad_start: NDArray[np.int32],
    ) -> Columns:
        ads, lines = len(vectors.norm), index.line_items
        page, chunk = paged(index.postings, lines)
        room = -(-max(ads, 1) // ADS) * ADS
        digits = 1 << (max(vectors.rotation.shape[1], 32) - 1).bit_length()
        coarse = np.concatenate([vectors.head, vectors.rest], axis=1)
        return cls(
            ads=ads,
            line_items=lines,
            sizes=int(kinds.size.max(initial=0)) + 1,
            page=page,
            chunk=chunk,
            include=np.array(index.include, np.int32),
            exclude=np.array(index.exclude, np.int32),
            open=whole_pages(index.open, lines),
            unrestricted=whole_pages(index.unrestricted, lines),
            line_of=_padded(np.repeat(np.arange(lines, dtype=np.int32), np.diff(ad_start)), room),
            kind=_padded(kinds.kind.astype(np.int32), room, len(kinds.size)),
            kind_size=kinds.size.astype(np.int32),
            kind_attributes=np.array(kinds.attributes, np.uint32).view(np.int32),
            kind_secure=kinds.secure.astype(np.int32),
            click=_padded(vectors.per_click.astype(np.int8), room),
            coarse=_square(coarse, room, digits),
            fine=_square(vectors.fine, room, digits),
            fact=np.stack([_padded(vectors.fact[:, part], room) for part in (0, 1)]),
            rotation=np.pad(
                np.array(vectors.rotation), ((0, 0), (0, digits - vectors.rotation.shape[1]))
            ),
        )

    @property
    def room(self) -> int:
        """M."""
        return len(self.kind)

    @property
    def words(self) -> int:
        """32-bit words of a bitmap of line items."""
        return int(self.unrestricted.shape[0])

    @property
    def pages(self) -> int:
        return pages_for(self.line_items)


def _padded(column: NDArray[Any], room: int, filling: int = 0) -> NDArray[Any]:
    whole = np.full(room, filling, column.dtype)
    whole[: len(column)] = column
    return whole


def _square(rows: NDArray[np.int8], room: int, width: int) -> NDArray[np.int8]:
    whole = np.zeros((room, width), np.int8)
    whole[: rows.shape[0], : rows.shape[1]] = rows
    return whole
