"""Probes that time the two plans, so that the planner's crossover belongs to this machine.

The clock is an argument; nothing else here is about time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.costs import Costs
from retrieval.planner import Retriever, Room
from retrieval.query import DIMENSIONS, Live, Query
from retrieval.targeting import Match

PROBES = 15
NARROW = np.uint64(0x0101010101010101)
"""One line item in eight: a scan's second point."""


def calibrate(
    retriever: Retriever,
    live: Live,
    clock: Callable[[], float],
    requests: NDArray[np.float32] | None = None,
) -> Costs | None:
    """Measure the crossover and let the retriever plan by it; None when it has no graph.

    `requests` f32[P, D] are vectors of typical requests; without them the probes ask with ads' own
    vectors, which is right where both towers give vectors of like length. Takes some tens of
    milliseconds for a million ads.
    """
    if retriever.vectors.graph is None:
        return None
    k = retriever.settings.candidates
    retriever.retrieve([], live, k)
    queries = _probes(retriever, _ad_vectors(retriever) if requests is None else requests)
    ads = len(retriever.vectors.norm)
    wide = _scan_s(retriever, queries, live.line_item, clock)
    narrow = _scan_s(retriever, queries, live.line_item & NARROW, clock)
    near = _search_s(retriever, queries, (live.line_item, k), clock)
    far = _search_s(retriever, queries, (live.line_item, 4 * k), clock)
    per_ad = max(0.0, (wide - narrow) / (ads * 7 / 8))
    per_fetch = max(0.0, (far - near) / (3 * k))
    costs = Costs(
        ads=ads,
        line_items=retriever.index.line_items,
        scan_s=max(0.0, wide - per_ad * ads),
        scan_ad_s=per_ad,
        search_s=max(0.0, near - per_fetch * k),
        search_ad_s=per_fetch,
    )
    retriever.costs = costs
    return costs


def _ad_vectors(retriever: Retriever) -> NDArray[np.float32]:
    vectors = retriever.vectors
    rows = np.flatnonzero(vectors.per_click)
    spread = rows[:: max(1, len(rows) // PROBES)]
    turned: NDArray[np.float32] = vectors.floats(spread) @ vectors.rotation.T
    return turned


def _probes(retriever: Retriever, vectors: NDArray[np.float32]) -> list[Query]:
    sizes = int(retriever.kinds.size.max(initial=0)) + 1
    return [
        Query(
            term=np.empty(0, np.int32),
            term_start=np.zeros(DIMENSIONS + 1, np.int32),
            blocked=np.empty(0, np.int32),
            slot_placement=np.full(1, -1, np.int32),
            slots_by_size=np.ones(sizes, np.uint32),
            blocked_attribute=np.zeros(1, np.uint32),
            secure=np.uint32(0),
            vector=vector,
            bias=0.0,
        )
        for vector in vectors[:PROBES]
    ]


def _scan_s(
    retriever: Retriever,
    queries: Sequence[Query],
    words: NDArray[np.uint64],
    clock: Callable[[], float],
) -> float:
    k = retriever.settings.candidates
    match, room = _everything(retriever, words), _room(k)
    return _median_s(lambda query: retriever.scan(query, match, k, room), queries, clock)


def _search_s(
    retriever: Retriever,
    queries: Sequence[Query],
    wanted: tuple[NDArray[np.uint64], int],
    clock: Callable[[], float],
) -> float:
    k = retriever.settings.candidates
    match, room = _everything(retriever, wanted[0]), _room(k)

    def search(query: Query) -> None:
        retriever.count(query, match)
        retriever.search(query, match, k, wanted[1], room)

    return _median_s(search, queries, clock)


def _everything(retriever: Retriever, words: NDArray[np.uint64]) -> Match:
    """A match of all line items, whatever their targeting: probes are about cost."""
    scratch = retriever.index.scratch
    return Match(words, np.zeros_like(scratch.line_slots), scratch.placed)


def _room(k: int) -> Room:
    return Room(np.empty(k, np.int32), np.empty(k, np.float32), np.empty(k, np.uint32))


def _median_s(
    call: Callable[[Query], object], queries: Sequence[Query], clock: Callable[[], float]
) -> float:
    for query in queries:  # the first calls fill the caches
        call(query)
    times = []
    for query in queries:
        start = clock()
        call(query)
        times.append(clock() - start)
    return float(np.median(times))
