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


COPIED: Final = {one.name for one in fields(Tensors)} & {one.name for one in fields(Columns)}


class Resident:
    """One snapshot on one device. `follow` brings in pauses, bids and budgets."""

    def __init__(
        self, columns: Columns, live: Live | None = None, device: torch.device | str = "cpu"
    ) -> None:
        """`live` None: nothing runs until it is said."""
        self.columns = columns
        self.device = torch.device(device)
        shape = columns.words
        self.tensors = Tensors(
            **{name: self._sent(getattr(columns, name)) for name in COPIED},
            base=torch.zeros(columns.room, device=self.device),
            running=torch.zeros(shape, dtype=torch.int32, device=self.device),
            turn=torch.zeros(2, shape, dtype=torch.int32, device=self.device),
        )
        self._alive = np.ones(columns.ads, np.uint8)
        self._base = np.zeros(columns.ads, np.float32)
        self._lines: tuple[NDArray[np.int32], ...] = (np.zeros(shape, np.int32),) * 3
        self.tiers: tuple[int, ...] = (OTHERS,)
        """In their order, those that there are."""
        if live is not None:
            self.follow(live)

    @property
    def runs(self) -> bool:
        """Whether any line item does."""
        return bool(self._lines[0].any())

    def follow(self, live: Live) -> int:
        """Take over what changed since the last `Live`; gives how many ads were written."""
        changed = np.flatnonzero((live.ad != self._alive) | (live.base != self._base))
        self.write(changed, live.ad[changed], live.base[changed])
        self.take_lines(live.line_item, live.first, live.last)
        return len(changed)

    def write(
        self, rows: NDArray[np.intp], alive: NDArray[np.uint8], base: NDArray[np.float32]
    ) -> None:
        """These ads' pauses and bids. An ad costs the device 8 bytes and the link 16."""
        kind = np.where(alive != 0, self.columns.kind[rows], len(self.columns.kind_size))
        self._alive[rows], self._base[rows] = alive, base
        if len(rows):
            place = self._sent(rows)
            self.tensors.kind.index_copy_(0, place, self._sent(kind.astype(np.int32)))
            self.tensors.base.index_copy_(0, place, self._sent(base))

    def take_lines(
        self,
        running: NDArray[np.uint64],
        first: NDArray[np.uint64] | None,
        last: NDArray[np.uint64] | None,
    ) -> None:
        """Line items as `Live` has them; a bitmap goes whole, where a bit of it changed."""
        now = tuple(
            whole_pages(np.zeros_like(running) if one is None else one, self.columns.line_items)
            for one in (running, first, last)
        )
        places = (self.tensors.running, self.tensors.turn[0], self.tensors.turn[1])
        for place, words, old in zip(places, now, self._lines, strict=True):
            if not np.array_equal(words, old):
                place.copy_(self._sent(words))
        self._lines = now
        before = (FIRST,) if first is not None else ()
        after = (LAST,) if last is not None else ()
        self.tiers = (*before, OTHERS, *after)

    def _sent(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)
