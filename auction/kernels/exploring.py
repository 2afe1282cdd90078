"""Slots that are given away by lot, so that it can be learnt what other ads do there.

Only in auctions: where the best tier on a page holds contracts, deals or packages, or the request
wants first prices, nothing is drawn. The drawn row is seated before anybody else and pays its
floor, the least bid that would have bought a slot which is nobody else's; the rest of the page is
sold around it. Never past a budget, a floor or a hard cap.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import Rejection
from auction.kernels.accounts import take_off
from auction.kernels.joint import Joint
from auction.kernels.pricing import AUCTION, clear_sales, floor_price, write_sale
from auction.kernels.room import make_room, seat
from auction.kernels.tiers import sell_open
from auction.kernels.ties import tie_rank
from auction.workspace import I64, U32, Lots, Lottery, Page, Rows, Rules, Sales

EXPLORED = int(Rejection.EXPLORED)
PASSES = 0
"""Row of `Page.kept`: the page has been sold once when it is asked."""
_LOT = np.uint64(0xD6E8FEB86659FD93)
"""Makes this draw another one than those of ties and weighted tiers."""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def could_be_drawn(rows: Rows, lots: Lots, rules: Rules, order: U32, page: Page, could: U32) -> U32:
    """[n] bits of the slots for which each row of an opened page could be drawn; all 0 on a page
    that is not to be explored. A view of `could`."""
    could = could[: rows.ad.size]
    could[:] = 0
    if order.size == 0 or lots.first_price or rules.modes[rows.tier[order[0]]] != AUCTION:
        return could
    for i in order:
        if rows.tier[i] != rows.tier[order[0]]:
            break
        if rows.deal[i] >= 0 or rows.package[i] != 0:
            could[:] = 0
            break
        for s in range(page.best.size):
            if page.room[s, i] > 0:
                could[i] |= page.kept[PASSES, i] & np.uint32(1 << s)
    return could


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def note_chances(could: U32, sold: Sales, base: int, low: int, lottery: Lottery) -> None:
    """Of a page sold without a lot; its rows begin at `low`, its slots at `base`."""
    for s in range(sold.winner.size):
        won = sold.winner[s]
        lottery.eligible[base + s] = count(could, s)
        lottery.among[base + s] = won >= 0 and (could[won] >> np.uint32(s)) & np.uint32(1) != 0
        lottery.greedy[base + s] = won + low if won >= 0 else -1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def count(could: U32, slot: int) -> int:
    found = 0
    for i in range(could.size):
        found += int((could[i] >> np.uint32(slot)) & np.uint32(1))
    return found


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def draw_slot(could: U32, slots: int, seed: np.uint64) -> int:
    """One of the slots that somebody could be drawn for, each as likely; -1 when there is none."""
    found = 0
    for s in range(slots):
        found += count(could, s) > 0
    left = int(tie_rank(seed ^ _LOT, slots) % np.uint64(max(found, 1)))
    for s in range(slots):
        if count(could, s) > 0:
            if left == 0:
                return s
            left -= 1
    return -1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def draw(could: U32, place: int, seed: np.uint64) -> int:
    """A row for the slot, each that could be drawn as likely as any other; -1 when there is none.

    64 bits modulo their number: no row is likelier than another by more than 2**-50.
    """
    found = count(could, place) if place >= 0 else 0
    if found == 0:
        return -1
    left = int(tie_rank(seed ^ _LOT, place) % np.uint64(found))
    for i in range(could.size):
        if (could[i] >> np.uint32(place)) & np.uint32(1):
            if left == 0:
                return i
            left -= 1
    return -1


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def take_back(rows: Rows, sales: Sales, remaining: I64) -> None:
    """Give the money of a page's sales back."""
    for s in range(sales.winner.size):
        if sales.winner[s] >= 0:
            take_off(remaining, rows.account[sales.winner[s]], -sales.cost[s])


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def sell_by_lot(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    order: U32,
    slot: int,
    drawn: int,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> None:
    """Sell an opened page of which one slot is the drawn row's."""
    clear_sales(sales)
    open_slots = ((1 << page.best.size) - 1) & ~(1 << slot)
    for i in range(rows.ad.size):
        if page.alive[i] and page.passes[i] == np.uint32(1 << slot):
            page.code[i] = EXPLORED
    charge = floor_price(rows, lots, drawn, slot)
    cost = write_sale(rows, slot, drawn, -1, charge, False, sales)
    take_off(remaining, rows.account[drawn], cost)
    seat(drawn, page)
    make_room(rows, drawn, slot, open_slots, lots, rules, False, remaining, page)
    sell_open(rows, lots, rules, order, open_slots, remaining, page, sales, joint)
