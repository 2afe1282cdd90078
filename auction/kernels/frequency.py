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
from auction.columns import Rejection

Records = NDArray[np.void]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

AD, LINE_ITEM, CAMPAIGN = int(Entity.AD), int(Entity.LINE_ITEM), int(Entity.CAMPAIGN)
ADVERTISER, USER = int(Entity.ADVERTISER), int(Entity.USER)
IMPRESSION, CLICK = int(On.IMPRESSION), int(On.CLICK)
VIEWABLE = int(On.VIEWABLE)
KINDS = len(Entity)
FREQUENCY = int(Rejection.FREQUENCY)
EXCLUSION, DUPLICATE = int(Rejection.EXCLUSION), int(Rejection.DUPLICATE)


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


class Wishes(NamedTuple):
    """[T] sales that ask to be granted, those of a request in a row."""

    request: I32
    person: I32
    """Region of the history that counts; -1: caps do not apply."""
    page: I32
    """Region of the page view; -1: it has none."""
    sighting: Records
    standing: Records


class Regions(NamedTuple):
    """Records of many keys end to end, each with room for what may be added."""

    record: Records
    start: I64
    end: I64


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def place_of(caps: CapColumns, kind: int, number: int) -> int:
    low = caps.base[kind]
    if number < 0 or number >= caps.base[kind + 1] - low:
        return -1
    return int(caps.place[low + number])


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def is_full(place: int, caps: CapColumns, held: I32) -> bool:
    if place < 0:
        return False
    full = False
    for k in range(caps.offset[place], caps.offset[place + 1]):
        full |= held[k] >= caps.most[k]
    return full


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def kinds_full(rows: Records, low: int, high: int, caps: CapColumns, held: I32) -> int:
    """Bit k: an entity of kind k has been had as often as it may be."""
    kinds = 0
    for i in range(low, high):
        for kind in range(rows[i]["reach"] + 1):
            if is_full(place_of(caps, kind, entity_of(rows[i], kind)), caps, held):
                kinds |= 1 << kind
    return kinds


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def find_any_cap(row: I32, ads: Ads, caps: CapColumns, found: NDArray[np.bool_]) -> None:
    """Which candidates, or those whom they belong to, have a cap at all."""
    for i in range(row.size):
        for kind in range(USER):
            found[i] |= place_of_ad(ads, row[i], kind, caps) >= 0


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def find_needed(
    record: Records, begin: I64, caps: CapColumns, moment: Moment, found: NDArray[np.bool_]
) -> None:
    for h in range(found.size):
        for i in range(begin[h], begin[h + 1]):
            if still_needed(record[i], caps, moment):
                found[h] = True
                break


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def has_room(wish: int, wishes: Wishes, people: Regions, caps: CapColumns, moment: Moment) -> bool:
    person = wishes.person[wish]
    for kind in range(KINDS):
        number = entity_of(wishes.sighting[wish], kind)
        place = place_of(caps, kind, number)
        if place < 0:
            continue
        for k in range(caps.offset[place], caps.offset[place + 1]):
            held = 0
            start = moment.start[caps.window[k]]
            for i in range(people.start[person], people.end[person]):
                row = people.record[i]
                if row["reach"] >= kind and entity_of(row, kind) == number:
                    held += counts(row, caps.on[k], start, moment.now_ms)
            if held >= caps.most[k]:
                return False
    return True


@njit(cache=True, nogil=True)
def clash(row: Any, standing: Records, low: int, high: int, since_ms: int, once: bool) -> int:
    """Why the ad of `row` may not join what stands on the page since `since_ms`; 0: it may."""
    code = 0
    for i in range(low, high):
        other = standing[i]
        if other["t_ms"] < since_ms:
            continue
        if other["ad"] == row["ad"] or other["creative"] == row["creative"]:
            return DUPLICATE
        if once and other["advertiser"] == row["advertiser"]:
            code = EXCLUSION
        if other["labels"] & row["labels"] != 0:
            code = EXCLUSION
    return code


@njit(cache=True, nogil=True)
def grant(
    wishes: Wishes,
    people: Regions,
    pages: Regions,
    caps: CapColumns,
    moment: Moment,
    since_ms: int,
    once: bool,
    code: NDArray[np.uint8],
) -> None:
    """Sale by sale: refuse it, or write it into both histories, where the next one sees it.

    The slots of one request were sold together, so the page's rules, which the auction has kept
    among them, are asked only of what stood there before.
    """
    stood = 0
    for t in range(wishes.request.size):
        page, person = wishes.page[t], wishes.person[t]
        if page >= 0:
            if t == 0 or wishes.request[t] != wishes.request[t - 1]:
                stood = pages.end[page]
            code[t] = clash(
                wishes.standing[t], pages.record, pages.start[page], stood, since_ms, once
            )
        if code[t] == 0 and person >= 0 and not has_room(t, wishes, people, caps, moment):
            code[t] = FREQUENCY
        if code[t] != 0:
            continue
        if person >= 0 and still_needed(wishes.sighting[t], caps, moment):
            people.record[people.end[person]] = wishes.sighting[t]
            people.end[person] += 1
        if page >= 0:
            pages.record[pages.end[page]] = wishes.standing[t]
            pages.end[page] += 1


@njit(cache=True, nogil=True)
def page_codes(
    standing: Records,
    page: I64,
    offset: I32,
    row: I32,
    ads: Ads,
    since_ms: int,
    once: bool,
    code: NDArray[np.uint8],
) -> None:
    """Code of each candidate [R] against what stands on its request's page.

    `page` [B + 1] and `offset` [B + 1] say where a request's records and candidates begin.
    """
    candidate = np.zeros(1, standing.dtype)
    for b in range(offset.size - 1):
        low, high = page[b], page[b + 1]
        if low == high:
            continue
        for i in range(offset[b], offset[b + 1]):
            describe(candidate, ads, row[i])
            code[i] = clash(candidate[0], standing, low, high, since_ms, once)


@njit(cache=True, nogil=True)
def describe(candidate: Records, ads: Ads, ad: int) -> None:
    candidate[0]["ad"] = ads.ad[ad]
    candidate[0]["creative"] = ads.creative[ad]
    candidate[0]["advertiser"] = ads.advertiser[ad]
    candidate[0]["labels"] = ads.labels[ad] if ads.labels.size else np.uint64(0)


@njit(cache=True, nogil=True)
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
