"""Which sales may stand, one after the other, and what may not join a page that is already made.

The oracle is in tests/auction/test_frequency.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from auction.caps import CapColumns
from auction.columns import Rejection
from auction.kernels.frequency import (
    I32,
    I64,
    KINDS,
    Ads,
    Moment,
    Records,
    Regions,
    counts,
    entity_of,
    place_of,
    still_needed,
)

FREQUENCY = int(Rejection.FREQUENCY)
EXCLUSION, DUPLICATE = int(Rejection.EXCLUSION), int(Rejection.DUPLICATE)
ROADBLOCK = int(Rejection.ROADBLOCK)


class Wishes(NamedTuple):
    """[T] sales that ask to be granted, those of a request in a row."""

    request: I32
    person: I32
    """Region of the history that counts; -1: caps do not apply."""
    page: I32
    """Region of the page view; -1: it has none."""
    package: I32
    """Sales of one request with the same number stand together or not at all; 0: by themselves."""
    sighting: Records
    standing: Records


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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

    A package stands whole or not at all: when a part of it is refused, its request is judged again
    without the rest.
    """
    low = 0
    while low < wishes.request.size:
        high = low + 1
        while high < wishes.request.size and wishes.request[high] == wishes.request[low]:
            high += 1
        page, person = wishes.page[low], wishes.person[low]
        page_end = pages.end[page] if page >= 0 else 0
        person_end = people.end[person] if person >= 0 else 0
        again = True
        while again:
            if page >= 0:
                pages.end[page] = page_end
            if person >= 0:
                people.end[person] = person_end
            grant_request(
                wishes, low, high, page_end, people, pages, caps, moment, since_ms, once, code
            )
            again = break_packages(wishes, low, high, code)
        low = high


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def grant_request(
    wishes: Wishes,
    low: int,
    high: int,
    stood: int,
    people: Regions,
    pages: Regions,
    caps: CapColumns,
    moment: Moment,
    since_ms: int,
    once: bool,
    code: NDArray[np.uint8],
) -> None:
    """The slots of one request were sold together, so the page's rules, which the auction has kept
    among them, are asked only of what stood there before."""
    for t in range(low, high):
        page, person = wishes.page[t], wishes.person[t]
        if code[t] != 0 and wishes.package[t] != 0:
            continue  # its package is broken
        code[t] = 0
        if page >= 0:
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def break_packages(wishes: Wishes, low: int, high: int, code: NDArray[np.uint8]) -> bool:
    """Refuse the rest of every package of which a part is refused; whether there was any."""
    found = False
    for t in range(low, high):
        if code[t] == 0 or wishes.package[t] == 0:
            continue
        for other in range(low, high):
            if wishes.package[other] == wishes.package[t] and code[other] == 0:
                code[other] = ROADBLOCK
                found = True
    return found


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def describe(candidate: Records, ads: Ads, ad: int) -> None:
    candidate[0]["ad"] = ads.ad[ad]
    candidate[0]["creative"] = ads.creative[ad]
    candidate[0]["advertiser"] = ads.advertiser[ad]
    candidate[0]["labels"] = ads.labels[ad] if ads.labels.size else np.uint64(0)
