"""How often somebody has had an entity, counted once per history, and who may be shown next.

Rows are records of `auction.frequency.SIGHTING` and `STANDING`. The oracle is in
tests/auction/test_frequency.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from auction.caps import CapColumns, Entity, On

Records = NDArray[np.void]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

AD, LINE_ITEM, CAMPAIGN = int(Entity.AD), int(Entity.LINE_ITEM), int(Entity.CAMPAIGN)
ADVERTISER, USER = int(Entity.ADVERTISER), int(Entity.USER)
IMPRESSION, CLICK = int(On.IMPRESSION), int(On.CLICK)
VIEWABLE = int(On.VIEWABLE)
KINDS = len(Entity)


class Moment(NamedTuple):
    """When it is asked: the first millisecond of each cap's window, and now."""

    start: I64
    now_ms: int
    keep_ms: int
    """Impressions since then are remembered also where no cap counts them."""


class Ads(NamedTuple):
    """What the catalogue says of each ad [N]."""

    ad: I64
    line_item: I32
    """Row of the line item."""
    line_item_id: I64
    """[L] id of each line item."""
    campaign: I32
    advertiser: I32
    creative: I32
    labels: NDArray[np.uint64]
    """Competitors that must not stand together, one bit each; empty: nobody has any."""


class Regions(NamedTuple):
    """Records of many keys end to end, each with room for what may be added."""

    record: Records
    start: I64
    end: I64


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def entity_of(row: Any, kind: int) -> int:
    if kind == AD:
        return int(row["ad"])
    if kind == LINE_ITEM:
        return int(row["line_item"])
    if kind == CAMPAIGN:
        return int(row["campaign"])
    if kind == ADVERTISER:
        return int(row["advertiser"])
    return 0


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def place_of(caps: CapColumns, kind: int, number: int) -> int:
    low = caps.base[kind]
    if number < 0 or number >= caps.base[kind + 1] - low:
        return -1
    return int(caps.place[low + number])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def counts(row: Any, on: int, start: int, now_ms: int) -> bool:
    """The event came within the window; or it may still come, and a place is kept for it."""
    came = row["impression_ms"]
    if on == VIEWABLE:
        came = row["viewable_ms"]
    elif on == CLICK:
        came = row["click_ms"]
    if came != 0:
        return bool(came >= start)
    return bool(on != CLICK and row["soft_until_ms"] > now_ms)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def tally(
    rows: Records, low: int, high: int, caps: CapColumns, moment: Moment, held: I32, step: int
) -> None:
    """Add `step` to each cap for every row that counts towards it."""
    for i in range(low, high):
        for kind in range(rows[i]["reach"] + 1):
            place = place_of(caps, kind, entity_of(rows[i], kind))
            if place < 0:
                continue
            for k in range(caps.offset[place], caps.offset[place + 1]):
                if counts(rows[i], caps.on[k], moment.start[caps.window[k]], moment.now_ms):
                    held[k] += step


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def is_full(place: int, caps: CapColumns, held: I32) -> bool:
    if place < 0:
        return False
    full = False
    for k in range(caps.offset[place], caps.offset[place + 1]):
        full |= held[k] >= caps.most[k]
    return full


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def place_of_ad(ads: Ads, ad: int, kind: int, caps: CapColumns) -> int:
    if kind == AD:
        return int(place_of(caps, kind, ads.ad[ad]))
    if kind == LINE_ITEM:
        return int(place_of(caps, kind, ads.line_item_id[ads.line_item[ad]]))
    if kind == CAMPAIGN:
        return int(place_of(caps, kind, ads.campaign[ad]))
    if kind == ADVERTISER:
        return int(place_of(caps, kind, ads.advertiser[ad]))
    return int(place_of(caps, kind, 0))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def kinds_full(rows: Records, low: int, high: int, caps: CapColumns, held: I32) -> int:
    """Bit k: an entity of kind k has been had as often as it may be."""
    kinds = 0
    for i in range(low, high):
        for kind in range(rows[i]["reach"] + 1):
            if is_full(place_of(caps, kind, entity_of(rows[i], kind)), caps, held):
                kinds |= 1 << kind
    return kinds


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def find_capped(
    rows: Records,
    history: I64,
    offset: I32,
    row: I32,
    ads: Ads,
    caps: CapColumns,
    moment: Moment,
    held: I32,
    capped: NDArray[np.bool_],
) -> None:
    """Request by request: count its history, look at its candidates, forget the counts again.

    `history` [B + 1] and `offset` [B + 1] say where a request's records and candidates begin;
    `row` [R] is each candidate's row in `ads`.
    """
    for b in range(offset.size - 1):
        low, high = history[b], history[b + 1]
        if low == high:
            continue
        tally(rows, low, high, caps, moment, held, 1)
        kinds = kinds_full(rows, low, high, caps, held)
        for kind in range(KINDS):
            if kinds >> kind & 1:
                for i in range(offset[b], offset[b + 1]):
                    capped[i] |= is_full(place_of_ad(ads, row[i], kind, caps), caps, held)
        tally(rows, low, high, caps, moment, held, -1)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def find_any_cap(row: I32, ads: Ads, caps: CapColumns, found: NDArray[np.bool_]) -> None:
    """Which candidates, or those whom they belong to, have a cap at all."""
    for i in range(row.size):
        for kind in range(USER):
            found[i] |= place_of_ad(ads, row[i], kind, caps) >= 0


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def still_needed(row: Any, caps: CapColumns, moment: Moment) -> bool:
    """Some cap counts it now; a row that no window holds any more will never count again."""
    if counts(row, IMPRESSION, moment.keep_ms, moment.now_ms) and moment.keep_ms <= moment.now_ms:
        return True
    for kind in range(row["reach"] + 1):
        place = place_of(caps, kind, entity_of(row, kind))
        if place < 0:
            continue
        for k in range(caps.offset[place], caps.offset[place + 1]):
            if counts(row, caps.on[k], moment.start[caps.window[k]], moment.now_ms):
                return True
    return False


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def find_needed(
    record: Records, begin: I64, caps: CapColumns, moment: Moment, found: NDArray[np.bool_]
) -> None:
    for h in range(found.size):
        for i in range(begin[h], begin[h + 1]):
            if still_needed(record[i], caps, moment):
                found[h] = True
                break


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def prune(regions: Regions, caps: CapColumns, moment: Moment) -> None:
    """Move what some cap needs to the front of each region, in its order."""
    record = regions.record
    for h in range(regions.start.size):
        end = regions.start[h]
        for i in range(regions.start[h], regions.end[h]):
            if still_needed(record[i], caps, moment):
                record[end] = record[i]
                end += 1
        regions.end[h] = end


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def count_seen(
    rows: Records,
    history: I64,
    offset: I32,
    campaign: I32,
    start_ms: int,
    held: I32,
    seen: I32,
) -> None:
    """How often each candidate's campaign was shown to its request's person since `start_ms`.

    `held` has a zero for every campaign, and is left so.
    """
    for b in range(offset.size - 1):
        for step in (1, -1):
            for i in range(history[b], history[b + 1]):
                c = rows[i]["campaign"]
                if 0 <= c < held.size and rows[i]["impression_ms"] >= start_ms:
                    held[c] += step
            if step == 1:
                for i in range(offset[b], offset[b + 1]):
                    seen[i] = held[campaign[i]] if 0 <= campaign[i] < held.size else 0
