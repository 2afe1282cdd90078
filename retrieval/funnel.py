"""Why ads were not shown: exact counts of the first rule that each one failed.

Counted on demand, for one request at a time; the path of a request never comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.kinds import Kinds
from retrieval.postings import is_set
from retrieval.query import Dimension, Live, Query
from retrieval.targeting import TargetingIndex


class Misfit(IntEnum):
    """Why an ad may not be shown, by the numbers that the whole system uses."""

    SIZE = 20
    NOT_SECURE = 23
    ADVERTISER_BLOCKED = 24
    CATEGORY_BLOCKED = 25
    ATTRIBUTE_BLOCKED = 26
    GEO = 40
    DEVICE = 41
    TIME = 42
    KEYWORD = 43
    KEY_VALUE = 44
    DOMAIN = 45  # of the page, or the placement
    SEGMENT = 46
    LANGUAGE = 49
    PAUSED = 56  # or out of its flight, or of its budget


OF_DIMENSION = {
    Dimension.COUNTRY: Misfit.GEO,
    Dimension.REGION: Misfit.GEO,
    Dimension.DEVICE: Misfit.DEVICE,
    Dimension.OS: Misfit.DEVICE,
    Dimension.BROWSER: Misfit.DEVICE,
    Dimension.LANGUAGE: Misfit.LANGUAGE,
    Dimension.HOUR_OF_WEEK: Misfit.TIME,
    Dimension.DOMAIN: Misfit.DOMAIN,
    Dimension.CATEGORY: Misfit.KEYWORD,
    Dimension.KEYWORD: Misfit.KEYWORD,
    Dimension.SEGMENT: Misfit.SEGMENT,
    Dimension.KEY_VALUE: Misfit.KEY_VALUE,
}
"""Total over the dimensions: every misfit has a number."""


def count_misfits(
    index: TargetingIndex, kinds: Kinds, ad_start: NDArray[np.int32], query: Query, live: Live
) -> dict[int, int]:
    """Ads by the first rule that they fail; those that fail none are not in it.

    Rules are tried in this order: size, secure, advertiser and category refused by the publisher,
    creative attributes, the dimensions of targeting in their order, placement, paused.
    """
    line_slots = index.match(query, live.line_item).line_slots
    accepted, taken_secure, taken = kinds.narrowing(query)
    counts = np.zeros(max(Misfit) + 1, np.int64)
    kernels.count_misfits(
        counts,
        np.uint32((1 << query.slot_placement.size) - 1),
        line_slots,
        index.unrestricted,
        _refused(index, query),
        _mistargeted(index, query),
        live.line_item,
        ad_start,
        live.ad,
        kinds.kind,
        accepted,
        taken_secure,
        taken,
        np.array(
            [
                Misfit.SIZE,
                Misfit.NOT_SECURE,
                Misfit.ATTRIBUTE_BLOCKED,
                Misfit.DOMAIN,
                Misfit.PAUSED,
            ],
            np.uint8,
        ),
    )
    return {int(Misfit(int(code))): int(counts[code]) for code in np.flatnonzero(counts)}


def first_misfit(
    index: TargetingIndex, kinds: Kinds, query: Query, live: Live, ad: int, line_item: int
) -> Misfit | None:
    """The first rule that one ad fails, in the order of `count_misfits`; None: it may be shown.

    Microseconds, and without the index's scratch: any thread may ask.
    """
    return next(_misfits(index, kinds, query, live, (ad, line_item)), None)


def _misfits(
    index: TargetingIndex, kinds: Kinds, query: Query, live: Live, rows: tuple[int, int]
) -> Iterator[Misfit]:
    """All that the ad fails, in order; worked out as far as they are asked for."""
    ad, line_item = rows
    kind = int(kinds.kind[ad])
    by_size, by_secure, taken = (int(slots[kind]) for slots in kinds.narrowing(query))
    if not by_size:
        yield Misfit.SIZE
    if not by_secure:
        yield Misfit.NOT_SECURE
    if refusal := _refusal(index, query, line_item):
        yield refusal
    if not taken:
        yield Misfit.ATTRIBUTE_BLOCKED
    if misfit := _mistargeting(index, query, line_item):
        yield misfit
    if not is_set(index.unrestricted, line_item) and not taken & _tied(index, query, line_item):
        yield Misfit.DOMAIN
    if not (is_set(live.line_item, line_item) and live.ad[ad]):
        yield Misfit.PAUSED


def _refusal(index: TargetingIndex, query: Query, line_item: int) -> Misfit | None:
    """Of two block lists that name it, the advertisers'."""
    categories, found = set(index.vocabulary.category.values()), None
    for term in query.blocked.tolist():
        if index.postings.has(int(index.include[term]), line_item):
            if term not in categories:
                return Misfit.ADVERTISER_BLOCKED
            found = Misfit.CATEGORY_BLOCKED
    return found


def _mistargeting(index: TargetingIndex, query: Query, line_item: int) -> Misfit | None:
    has = index.postings.has
    for dimension, misfit in OF_DIMENSION.items():
        terms = query.term[query.term_start[dimension] : query.term_start[dimension + 1]].tolist()
        allowed = is_set(index.open[dimension], line_item) or any(
            has(int(index.include[term]), line_item) for term in terms
        )
        if not allowed or any(has(int(index.exclude[term]), line_item) for term in terms):
            return misfit
    return None


def _tied(index: TargetingIndex, query: Query, line_item: int) -> int:
    """Slots (bits) whose placement the line item is tied to."""
    slots = 0
    for slot, term in enumerate(query.slot_placement.tolist()):
        if term >= 0 and index.postings.has(int(index.include[term]), line_item):
            slots |= 1 << slot
    return slots


def _refused(index: TargetingIndex, query: Query) -> NDArray[np.uint8]:
    """[L] which block list of the publisher names the line item, 0 for none."""
    code = np.zeros(index.line_items, np.uint8)
    categories = set(index.vocabulary.category.values())
    # Categories first: an advertiser's refusal, tried before, overwrites them.
    for term in sorted(query.blocked.tolist(), key=lambda term: term not in categories):
        refusal = Misfit.CATEGORY_BLOCKED if term in categories else Misfit.ADVERTISER_BLOCKED
        code[index.postings.rows(index.include[term])] = refusal
    return code


def _mistargeted(index: TargetingIndex, query: Query) -> NDArray[np.uint8]:
    """[L] the first dimension whose targeting the request fails, as a Misfit; 0 for none."""
    code = np.zeros(index.line_items, np.uint8)
    for dimension, misfit in OF_DIMENSION.items():
        allowed = index.open_to_all(dimension)
        terms = query.term[query.term_start[dimension] : query.term_start[dimension + 1]]
        for term in terms:
            allowed[index.postings.rows(index.include[term])] = True
        for term in terms:
            allowed[index.postings.rows(index.exclude[term])] = False
        code[~allowed & (code == 0)] = misfit
    return code
