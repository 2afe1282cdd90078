"""Retrieval: from requests to the ads worth scoring.

This module decides how to look for the best ads of each request. It knows nothing of where the
requests came from or of what is done with the ads.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.funnel import count_misfits
from retrieval.kinds import Kinds
from retrieval.query import MAX_SLOTS, Candidates, Live, Query
from retrieval.settings import RetrievalSettings
from retrieval.targeting import TargetingIndex
from retrieval.vectors import AdVectors


class Plan(IntEnum):
    """How a request's candidates were found."""

    NOTHING = 0  # no ad may be shown
    SCAN = 1  # every eligible ad was weighed
    GRAPH = 2  # nearest neighbours, then checked


class Retriever:
    """Finds the best ads of each request among all that may be shown.

    One thread at a time: the scratch is shared by its calls.
    """

    def __init__(
        self,
        index: TargetingIndex,
        vectors: AdVectors,
        ad_start: NDArray[np.int32],
        size: NDArray[np.int16],
        attributes: NDArray[np.uint32],
        secure: NDArray[np.uint8],
        settings: RetrievalSettings,
    ) -> None:
        self.index = index
        self.vectors = vectors
        self.settings = settings
        self.ad_start = np.array(ad_start, np.int32)
        lines = np.arange(index.line_items, dtype=np.int32)
        self.line_of_ad = np.repeat(lines, np.diff(self.ad_start))
        self.kinds = Kinds.of(size, attributes, secure, vectors.per_click)
        kinds = len(self.kinds.size)
        self.kind_slots = np.zeros(kinds, np.uint32)
        self.kind_bias = np.zeros(kinds, np.float32)
        self.kind_need = np.zeros(kinds, np.float32)
        self.rows = np.zeros(kernels.CHUNK, np.int32)
        self.slots = np.zeros(kernels.CHUNK, np.uint32)
        self.known = np.zeros(kernels.CHUNK, np.float32)
        self.keys = np.zeros((0, 0), np.int64)
        self.chosen = np.zeros(0, np.int64)

    def retrieve(self, queries: Sequence[Query], live: Live, k: int) -> Candidates:
        """The best k ads of each request, best first, equal values by the lower row.

        Where slots accept different ads, each distinct slot has at least k // slots of its best.
        """
        self._make_room(k)
        batch = len(queries)
        ad = np.empty(batch * k, np.int32)
        value = np.empty(batch * k, np.float32)
        slots = np.empty(batch * k, np.uint32)
        offset = np.zeros(batch + 1, np.int32)
        eligible = np.zeros(batch, np.int32)
        plan = np.full(batch, Plan.SCAN, np.int8)
        for n, query in enumerate(queries):
            start = offset[n]
            room = (ad[start:], value[start:], slots[start:])
            found, eligible[n] = self._scan(query, live, k, room)
            offset[n + 1] = start + found
        plan[eligible == 0] = Plan.NOTHING
        end = offset[-1]
        return Candidates(ad[:end], value[:end], slots[:end], offset, eligible, plan)

    def funnel(self, query: Query, live: Live) -> dict[int, int]:
        """Ads that may not be shown, by the Misfit that comes first; eligible ones are left out."""
        return count_misfits(self.index, self.kinds, self.ad_start, query, live)

    def _make_room(self, k: int) -> None:
        if self.chosen.size < 2 * k:
            self.keys = np.zeros((MAX_SLOTS + 1, 2 * k), np.int64)
            self.chosen = np.zeros(2 * k, np.int64)

    def _scan(
        self,
        query: Query,
        live: Live,
        k: int,
        room: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.uint32]],
    ) -> tuple[int, int]:
        index, vectors, kinds = self.index, self.vectors, self.kinds
        match = index.match(query, live.line_item)
        found, eligible = kernels.retrieve(
            match.words, match.line_slots, index.unrestricted, self.ad_start, self.line_of_ad,
            live.ad, live.base, vectors.norm,
            kinds.kind, kinds.size, kinds.attributes, kinds.secure, kinds.per_click,
            self.kind_slots, self.kind_bias, self.kind_need,
            query.slots_by_size, query.blocked_attribute, query.secure, query.slot_placement,
            np.float32(query.bias), query.vector,
            vectors.rotation, vectors.head, vectors.rest, vectors.fine, vectors.fact,
            k, self.keys, self.chosen, self.rows, self.slots, self.known, *room,
        )  # fmt: skip
        return found, eligible
