"""Slots of a page sold one by one to whoever scores most."""

from __future__ import annotations

from numba import njit

from auction.kernels.accounts import take_off
from auction.kernels.leaders import best_open_slot, find_leaders, lost_a_leader
from auction.kernels.pricing import price_of_leader, write_sale
from auction.kernels.room import make_room, seat
from auction.workspace import I64, U32, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sell_one_by_one(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    members: U32,
    mode: int,
    open_slots: int,
    relaxed: bool,
    remaining: I64,
    page: Page,
    sales: Sales,
) -> int:
    """Sell open slots to these rows, always the pair of slot and row that scores most; what stays
    open."""
    for s in range(page.best.size):
        if (open_slots >> s) & 1:
            page.best[s], page.second[s] = find_leaders(
                members, page.score[s], rows.advertiser, rows.ad, lots.seed
            )
    while True:
        t = best_open_slot(open_slots, page)
        if t < 0:
            return open_slots
        won = page.best[t]
        charge = price_of_leader(rows, lots, rules, mode, t, page)
        cost = write_sale(rows, t, won, page.second[t], charge, relaxed, sales)
        take_off(remaining, rows.account[won], cost)
        open_slots &= ~(1 << t)
        seat(won, page)
        make_room(rows, won, t, open_slots, lots, rules, relaxed, remaining, page)
        for s in range(page.best.size):
            if (open_slots >> s) & 1 and lost_a_leader(s, page):
                page.best[s], page.second[s] = find_leaders(
                    members, page.score[s], rows.advertiser, rows.ad, lots.seed
                )
