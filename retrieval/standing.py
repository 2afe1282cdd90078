"""What a scan knows of whole line items, made anew when the live part of the catalogue is replaced.

Knows bids and pauses only as columns; who changed them, and why, is the catalogue's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.kinds import Kinds
from retrieval.query import Live, Query
from retrieval.vectors import AdVectors

KEPT = 16
"""Kinds of request whose counts are kept: a publisher asks with few combinations of slots."""
NOTICED = 1024
"""Kinds of request remembered as seen once. Counting takes about a nanosecond per ad of the
catalogue, so it waits until a combination of slots returns."""
UNCOUNTED = np.empty(0, np.int32)


class Standing:
    """Bounds and counts per line item, for the `Live` that was looked at last.

    Relies on the arrays of a `Live` never being written again once it has been handed out: a new
    array is what says that something changed.
    """

    def __init__(self, ad_start: NDArray[np.int32], kinds: Kinds, vectors: AdVectors) -> None:
        self._start = ad_start
        self._kinds = kinds
        self._vectors = vectors
        self._alive: NDArray[np.uint8] | None = None
        self._base: NDArray[np.float32] | None = None
        self.top = np.zeros((len(ad_start) - 1, 3), np.float32)
        """[L, 3] greatest base by impression, greatest by click, longest vector."""
        self._counts: dict[bytes, NDArray[np.int32]] = {}
        self._seen: set[bytes] = set()

    def follow(self, live: Live) -> bool:
        """Take over what changed; tells whether anything did."""
        paused, rebid = live.ad is not self._alive, live.base is not self._base
        if paused:
            self._counts.clear()
        if paused or rebid:
            self._alive, self._base = live.ad, live.base
            norm, click = self._vectors.norm, self._vectors.per_click
            kernels.top_of_lines(self.top, self._start, live.ad, live.base, norm, click)
        return paused or rebid

    def counts(self, query: Query) -> NDArray[np.int32]:
        """[L] ads of each line item that fit some slot of the query; empty if not counted yet."""
        key = b"%b %b %d" % (
            query.slots_by_size.tobytes(),
            query.blocked_attribute.tobytes(),
            query.secure,
        )
        known = self._counts.get(key)
        if known is not None:
            return known
        if key not in self._seen:
            self._notice(key)
            return UNCOUNTED
        return self._count(key, query)

    def _notice(self, key: bytes) -> None:
        if len(self._seen) >= NOTICED:
            self._seen.clear()
        self._seen.add(key)

    def _count(self, key: bytes, query: Query) -> NDArray[np.int32]:
        if len(self._counts) >= KEPT:
            del self._counts[next(iter(self._counts))]
        counted = np.zeros(len(self._start) - 1, np.int32)
        slots = self._kinds.narrowing(query)[2]
        kernels.count_fitting(counted, self._start, self._alive, self._kinds.kind, slots)
        self._counts[key] = counted
        return counted
