"""Slots of a page sold all at once, so that they are worth most together (VCG)."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.kernels.accounts import take_off
from auction.kernels.assignment import Table, assign, unite, unite_labels
from auction.kernels.page import NOT_BIDDING
from auction.kernels.pricing import floor_price, pays_its_bid, weight_of, write_sale
from auction.kernels.room import make_room, seat
from auction.workspace import I32, I64, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True)
def sell_jointly(
    rows: Rows,
    low: int,
    lots: Lots,
    rules: Rules,
    mode: int,
    open_slots: int,
    relaxed: bool,
    remaining: I64,
    page: Page,
    sales: Sales,
) -> int:
    """Sell open slots by the assignment of greatest total score; what stays open.

    A winner that the sales before it left without money or room gives its slot back, and what is
    open is assigned again.
    """
    slots = page.best.size
    table = blank_table(slots)
    lifted = np.empty(page.score.shape, np.int64)
    while True:
        lift = lift_scores(rows, lots, open_slots, page, lifted)
        assign(lifted, groups_of(rows, rules, lifted), rows.ad, lots.seed, table)
        before = open_slots
        for s in range(slots):
            won = table.row[s]
            if won < 0 or page.score[s, won] == NOT_BIDDING:
                continue
            charge = joint_price(rows, lots, mode, s, won, table.externality[s] - lift, page)
            second = table.entrant[s]
            if second >= 0 and rows.advertiser[second] == rows.advertiser[won]:
                second = -1
            cost = write_sale(rows, low, s, won, second, charge, relaxed, sales)
            take_off(remaining, rows.account[won], cost)
            open_slots &= ~(1 << s)
            seat(won, page)
            make_room(rows, won, s, open_slots, lots, rules, relaxed, remaining, page)
        if open_slots == before:
            return open_slots


@njit(cache=True, nogil=True)
def lift_scores(rows: Rows, lots: Lots, open_slots: int, page: Page, lifted: I64) -> int:
    """Fill `lifted` [S, n] with what each row adds above its floor and its dual price, plus the
    greatest dual price of the page, so that no row is worth less than an empty slot."""
    lift = page.dual.max() if page.dual.size else 0
    for s in range(page.best.size):
        for i in range(rows.ad.size):
            lifted[s, i] = NOT_BIDDING
            if (open_slots >> s) & 1 and page.score[s, i] != NOT_BIDDING:
                above = page.unit[i] - floor_price(rows, lots, i, s)
                lifted[s, i] = above * weight_of(rows, i, s) - page.dual[s, i] + lift
    return int(lift)


@njit(cache=True, nogil=True)
def groups_of(rows: Rows, rules: Rules, lifted: I64) -> I32:
    """[n] rows that must not stand together have the same number."""
    n = rows.ad.size
    group = np.arange(n).astype(np.int32)
    advertiser, ad, creative = rows.advertiser.copy(), rows.ad.copy(), rows.creative.copy()
    labels = rows.labels.copy()
    any_label = False
    for i in range(n):
        bids = False
        for s in range(lifted.shape[0]):
            bids |= lifted[s, i] != NOT_BIDDING
        if not bids:
            advertiser[i] = ad[i] = creative[i] = -1
            labels[i] = 0
        any_label |= labels[i] != 0
    if rules.advertiser_once:
        unite(advertiser, group)
    unite(ad, group)
    unite(creative, group)
    if any_label:
        unite_labels(labels, group)
    return group


@njit(cache=True, nogil=True)
def joint_price(
    rows: Rows, lots: Lots, mode: int, slot: int, won: int, cost_to_others: int, page: Page
) -> int:
    """What the winner costs the others and its dual price, above its floor; at most its bid."""
    if pays_its_bid(rows, lots, mode, won):
        return int(page.unit[won])
    floor = floor_price(rows, lots, won, slot)
    if rows.fixed[won]:
        return int(floor)
    asked = max(0, cost_to_others + page.dual[slot, won])
    return int(min(page.unit[won], floor - (-asked // weight_of(rows, won, slot))))


@njit(cache=True, nogil=True)
def blank_table(slots: int) -> Table:
    """`Table.sized`, compiled."""
    return Table(
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros((slots, slots + 1), np.int64),
        np.zeros((slots, slots + 1), np.int64),
        np.zeros((slots, slots + 1), np.int64),
        np.zeros((slots, slots + 1), np.int64),
        np.zeros((slots, slots), np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
    )
