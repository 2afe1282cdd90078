"""The rows of a page as they come in: what they are worth, where they may stand, and why not."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import MILLE, PPM, Rejection
from auction.kernels.accounts import MOST_MONEY
from auction.workspace import I32, I64, Lots, Page, Rows

NOT_BIDDING = -(2**63)
"""Score of a row that is not in the running for a slot."""

SIZE = int(Rejection.SIZE)
NOT_IN_DEAL = int(Rejection.NOT_IN_DEAL)
BUDGET = int(Rejection.BUDGET)
PACING = int(Rejection.PACING)
BELOW_FLOOR = int(Rejection.BELOW_FLOOR)
BELOW_DEAL_FLOOR = int(Rejection.BELOW_DEAL_FLOOR)
LOWER_TIER = int(Rejection.LOWER_TIER)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def unit_of(bid: int, per_click: bool) -> int:
    """A bid for one billable event: a click, or an impression."""
    return int(bid if per_click else bid // MILLE)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def event_rate(rows: Rows, i: int, slot: int) -> int:
    """Billable events of a million impressions."""
    return int(rows.ppm[i, slot]) if rows.per_click[i] else PPM


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def floor_of(rows: Rows, lots: Lots, i: int, slot: int) -> int:
    """What the row must bid for the slot at least, in value units."""
    floor = rows.floor[i] if rows.floor[i] >= 0 else lots.floor[slot]
    return int(max(1, floor, rows.reserve[i]))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def price_in(rows: Rows, remaining: I64, page: Page) -> None:
    """What one impression in each slot is worth to each row and ranks as, and its money.

    `page.rank` is `page.value` itself where rows weigh what their events are likely.
    """
    slots, n = page.value.shape
    weighed = rows.weight.shape[1] > 0
    for i in range(n):
        per_click = rows.per_click[i]
        unit = rows.bid[i] if per_click else rows.bid[i] // MILLE
        page.unit[i] = unit
        for s in range(slots):
            page.value[s, i] = unit * (rows.ppm[i, s] if per_click else PPM)
            if weighed:
                page.rank[s, i] = unit * rows.weight[i, s]
    look_up_money(rows.account, remaining, page.most)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def look_up_money(account: I32, remaining: I64, most: I64) -> None:
    """`accounts.money_of` each row, in value units."""
    for i in range(most.size):
        least = MOST_MONEY
        for level in range(account.shape[1]):
            a = account[i, level]
            if a >= 0:
                least = min(least, remaining[a] if a < remaining.size else 0)
        most[i] = max(0, least) * PPM


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def open_page(rows: Rows, lots: Lots, page: Page) -> None:
    """Find where every row fits, may buy, can pay its bid and meets the floor."""
    slots, n = page.value.shape
    page.allowed[:] = 0
    page.affords[:] = 0
    page.passes[:] = 0
    page.score[:] = NOT_BIDDING
    for s in range(slots):
        admit_to_slot(rows, lots, s, page)
    every = np.uint32((1 << slots) - 1)
    for i in range(n):
        page.alive[i] = (page.passes[i] != 0) & (rows.refused[i] == 0)
        if rows.refused[i] != 0:
            page.code[i] = rows.refused[i]
        elif page.passes[i] != 0:
            page.code[i] = LOWER_TIER
        elif page.affords[i] != 0:
            page.code[i] = BELOW_FLOOR
        elif page.allowed[i] != 0:
            page.code[i] = BUDGET
        else:
            page.code[i] = NOT_IN_DEAL if rows.fits[i] & every else SIZE
    tell_why_below(rows, lots, page)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def keep_opening(page: Page) -> None:
    """Write down what the sale of an opened page is about to change."""
    for i in range(page.unit.size):
        page.kept[0, i] = page.passes[i]
        page.kept[1, i] = page.affords[i]
        page.kept[2, i] = page.alive[i]
        page.kept[3, i] = page.code[i]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def reopen_page(page: Page) -> None:
    """As `open_page` left it, without looking at the rows again."""
    page.score[:] = NOT_BIDDING
    for i in range(page.unit.size):
        page.passes[i] = page.kept[0, i]
        page.affords[i] = page.kept[1, i]
        page.alive[i] = page.kept[2, i] != 0
        page.code[i] = page.kept[3, i]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def tell_why_below(rows: Rows, lots: Lots, page: Page) -> None:
    """`why_below` for all rows that meet no floor."""
    slots, n = page.value.shape
    for i in range(n):
        if page.code[i] != BELOW_FLOOR or rows.refused[i] != 0:
            continue
        if rows.deal[i] >= 0:
            page.code[i] = BELOW_DEAL_FLOOR
        if rows.full_bid[i] == rows.bid[i]:
            continue
        unit = unit_of(rows.full_bid[i], rows.per_click[i])
        for s in range(slots):
            met = unit * event_rate(rows, i, s) >= floor_of(rows, lots, i, s)
            if (page.affords[i] >> s) & 1 and met:
                page.code[i] = PACING


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def admit_to_slot(rows: Rows, lots: Lots, slot: int, page: Page) -> None:
    """Without branches, so that it runs several rows at a time."""
    bit, none = np.uint32(1 << slot), np.uint32(0)
    value, least, private = page.value[slot], max(1, lots.floor[slot]), lots.private[slot]
    for i in range(value.size):
        allowed = ((rows.fits[i] & bit) != 0) & ((rows.deal[i] >= 0) | (not private))
        payable = allowed & (value[i] <= page.most[i])
        own = rows.floor[i]
        floor = max(max(1, own) if own >= 0 else least, rows.reserve[i])
        page.allowed[i] |= bit if allowed else none
        page.affords[i] |= bit if payable else none
        page.passes[i] |= bit if payable & (value[i] >= floor) else none


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def why_below(rows: Rows, lots: Lots, i: int, slots: int, page: Page) -> int:
    """Why the row meets the floor of none of these slots."""
    unit = unit_of(rows.full_bid[i], rows.per_click[i])
    for s in range(page.best.size):
        if (slots >> s) & 1 and unit * event_rate(rows, i, s) >= floor_of(rows, lots, i, s):
            return PACING
    return BELOW_FLOOR if rows.deal[i] < 0 else BELOW_DEAL_FLOOR


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def silence(page: Page, i: int) -> None:
    for s in range(page.best.size):
        page.score[s, i] = NOT_BIDDING


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def may_win(i: int, slots: int, page: Page) -> bool:
    """Whether the row could take one of these slots without going past a hard cap."""
    inside = False
    for s in range(page.best.size):
        inside |= ((page.passes[i] & slots) >> s & 1 != 0) & (page.room[s, i] > 0)
    return inside
