"""Ads told apart by what a slot may refuse: size, attributes, insecure creatives.

A few hundred kinds stand for all ads, so that a request asks once per kind, not once per ad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.query import Query

Slots = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kind of each ad, and one row per kind."""

    kind: NDArray[np.uint16] | NDArray[np.int32]
    """[N]"""
    size: NDArray[np.int16]
    attributes: NDArray[np.uint32]
    secure: NDArray[np.uint8]
    per_click: NDArray[np.bool_]
    count: NDArray[np.int64]
    """Ads of the kind."""

    @classmethod
    def of(
        cls,
        size: NDArray[np.int16],
        attributes: NDArray[np.uint32],
        secure: NDArray[np.uint8],
        per_click: NDArray[np.bool_],
    ) -> Kinds:
        whole = size.astype(np.int64) << 34 | attributes.astype(np.int64) << 2
        whole |= secure.astype(np.int64) << 1 | per_click
        _, first, kind, count = np.unique(
            whole, return_index=True, return_inverse=True, return_counts=True
        )
        narrow = np.uint16 if len(first) < 65_536 else np.int32
        return cls(
            kind.astype(narrow),
            size[first],
            attributes[first],
            secure[first],
            per_click[first],
            count,
        )

    def narrowing(self, query: Query) -> tuple[Slots, Slots, Slots]:
        """[kinds] slots that accept the size; that also take it insecure; and its attributes."""
        by_size = query.slots_by_size[self.size]
        by_secure = np.where(self.secure != 0, by_size, by_size & ~query.secure)
        refused = np.zeros(len(self.size), np.uint32)
        for slot, blocked in enumerate(query.blocked_attribute):
            refused[self.attributes & blocked != 0] |= np.uint32(1 << slot)
        return by_size, by_secure, by_secure & ~refused
