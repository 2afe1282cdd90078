"""Everything of one catalogue snapshot and one model that a decision needs, replaced whole.

A batch keeps the edition it began with, so that its rows, vectors, model tables and prices
belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.overlay import Overlay
from adserver.catalogue.snapshot import Snapshot
from adserver.decision import Creative
from adserver.request import Slot
from adserver.seen import Shelf
from ranking.bundle import Bundle
from ranking.counting.board import AdKeys
from ranking.table import AdTable
from retrieval.planner import Retriever
from retrieval.targeting import TargetingIndex

CREATIVES_KEPT = 8192
"""Decoded creatives kept: winners repeat, and decoding one costs as much as pricing a page."""

PAGES_KEPT = 4096
"""Combinations of slot sizes kept: pages of a publisher ask for the same ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Edition:
    """One snapshot, opened for one model."""

    snapshot: Snapshot
    index: TargetingIndex
    retriever: Retriever
    overlay: Overlay
    bundle: Bundle
    table: AdTable
    shelf: Shelf
    ad_keys: AdKeys = field(init=False)
    """Under which ids the snapshot's ads are counted."""
    _size_row: dict[tuple[int, int], int] = field(init=False, repr=False)
    _accepts: dict[tuple[Sequence[tuple[int, int]], ...], NDArray[np.uint32]] = field(
        default_factory=dict, repr=False
    )
    _creatives: dict[int, Creative] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        rows = {size: row for row, size in enumerate(self.snapshot.sizes)}
        object.__setattr__(self, "_size_row", rows)
        ads = self.snapshot.ads
        object.__setattr__(self, "ad_keys", AdKeys(ads.ad_id, ads.advertiser, self.table.topic))

    @property
    def version(self) -> int:
        return self.snapshot.version

    @property
    def model(self) -> str:
        """Name and version of the click model, as answers and the log give it."""
        return f"ctr_ranker/{self.bundle.version}"

    def floor_micros(self, placement: str) -> int:
        """The catalogue's own floor for a placement; 0 for one it does not know."""
        known = self.snapshot.placements.get(placement)
        return known.floor_micros if known else 0

    def slots_by_size(self, slots: Sequence[Slot]) -> NDArray[np.uint32]:
        """[sizes] the slots (bits) that accept each creative size of the catalogue."""
        asked = tuple(slot.sizes or self._sizes_of(slot.placement) for slot in slots)
        known = self._accepts.get(asked)
        if known is None:
            if len(self._accepts) >= PAGES_KEPT:
                self._accepts.clear()
            known = self._accepts[asked] = self._accepted(asked)
        return known

    def _accepted(self, asked: Sequence[Sequence[tuple[int, int]]]) -> NDArray[np.uint32]:
        accepts = [0] * len(self.snapshot.sizes)
        for number, sizes in enumerate(asked):
            for size in sizes:
                row = self._size_row.get(size)
                if row is not None:
                    accepts[row] |= 1 << number
        return np.array(accepts, np.uint32)

    def creative(self, row: int) -> Creative:
        found = self._creatives.get(row)
        if found is None:
            if len(self._creatives) >= CREATIVES_KEPT:
                self._creatives.clear()
            found = self._creatives[row] = self.snapshot.creative(row)
        return found

    def _sizes_of(self, placement: str) -> tuple[tuple[int, int], ...]:
        known = self.snapshot.placements.get(placement)
        return known.sizes if known else ()
