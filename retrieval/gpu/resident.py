"""A catalogue in a device's memory, and the small writes that keep it fresh.

One owner, on one stream: what is written between two batches is seen whole by the next.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.gpu.columns import Columns
from retrieval.gpu.pages import whole_pages
from retrieval.query import Live

OTHERS: Final = 0
FIRST: Final = 1
LAST: Final = 2
"""Tiers of line items: sold by value, before all others, after all others."""
PARTS: Final = (
    "page", "chunk", "include", "exclude", "open", "unrestricted", "line_of", "kind_size",
    "kind_attributes", "kind_secure", "click", "coarse", "fine", "fact", "rotation",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """What kernels read; as `Columns`, and the live part."""

    page: torch.Tensor
    chunk: torch.Tensor
    include: torch.Tensor
    exclude: torch.Tensor
    open: torch.Tensor
    unrestricted: torch.Tensor
    line_of: torch.Tensor
    kind_size: torch.Tensor
    kind_attributes: torch.Tensor
    kind_secure: torch.Tensor
    click: torch.Tensor
    coarse: torch.Tensor
    fine: torch.Tensor
    fact: torch.Tensor
    rotation: torch.Tensor
    kind: torch.Tensor
    """i32[M] an ad's kind; K for one that is paused."""
    base: torch.Tensor
    """f32[M]"""
    running: torch.Tensor
    """i32[words] line items in flight, not paused, with budget left."""
    turn: torch.Tensor
    """i32[2, words] line items that are sold before all others; after all others."""

    @property
    def bytes(self) -> int:
        """Of the device's memory."""
        return sum(part.nbytes for part in (getattr(self, one.name) for one in fields(self)))


class Resident:
    """One snapshot on one device. `follow` brings in pauses, bids and budgets."""

    def __init__(self, columns: Columns, live: Live, device: str = "cpu") -> None:
        self.columns = columns
        self.device = torch.device(device)
        shape = columns.words
        self.tensors = Tensors(
            **{name: self._sent(getattr(columns, name)) for name in PARTS},
            kind=self._sent(columns.kind),
            base=torch.zeros(columns.room, device=self.device),
            running=torch.zeros(shape, dtype=torch.int32, device=self.device),
            turn=torch.zeros(2, shape, dtype=torch.int32, device=self.device),
        )
        self._alive = np.ones(columns.ads, np.uint8)
        self._base = np.zeros(columns.ads, np.float32)
        self._lines: tuple[NDArray[np.int32], ...] = (np.zeros(shape, np.int32),) * 3
        self.tiers: tuple[int, ...] = (OTHERS,)
        """In their order, those that there are."""
        self.follow(live)

    def follow(self, live: Live) -> int:
        """Take over what changed since the last `Live`; gives how many ads were written.

        An ad costs the device 8 bytes and the link 12; bitmaps of line items go whole where a bit
        of them changed.
        """
        paused = np.flatnonzero(live.ad != self._alive)
        rebid = np.flatnonzero(live.base != self._base)
        own = self.columns.kind[paused]
        kind = np.where(live.ad[paused] != 0, own, len(self.columns.kind_size)).astype(np.int32)
        self._scatter(self.tensors.kind, paused, kind)
        self._scatter(self.tensors.base, rebid, live.base[rebid])
        self._alive[paused], self._base[rebid] = live.ad[paused], live.base[rebid]
        self._take_lines(live)
        return len(paused) + len(rebid)

    def _take_lines(self, live: Live) -> None:
        nobody = np.zeros_like(live.line_item)
        now = tuple(
            whole_pages(nobody if one is None else one, self.columns.line_items)
            for one in (live.line_item, live.first, live.last)
        )
        places = (self.tensors.running, self.tensors.turn[0], self.tensors.turn[1])
        for place, words, old in zip(places, now, self._lines, strict=True):
            if not np.array_equal(words, old):
                place.copy_(self._sent(words))
        self._lines = now
        first = (FIRST,) if live.first is not None else ()
        last = (LAST,) if live.last is not None else ()
        self.tiers = (*first, OTHERS, *last)

    def _scatter(self, into: torch.Tensor, rows: NDArray[np.intp], values: NDArray[Any]) -> None:
        if len(rows):
            into.index_copy_(0, self._sent(rows), self._sent(values))

    def _sent(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)
