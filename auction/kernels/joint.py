"""Slots of a page sold all at once, so that they are worth most together (VCG)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from auction.kernels.accounts import take_off
from auction.kernels.assignment import Table, assign, unite, unite_labels
from auction.kernels.page import NOT_BIDDING
from auction.kernels.pricing import floor_price, pays_its_bid, weight_of, write_sale
from auction.kernels.room import make_room, seat
from auction.workspace import I32, I64, Lots, Page, Rows, Rules, Sales


class Joint(NamedTuple):
    """Work space for the greatest page of a batch."""

    table: Table
    lifted: I64
    """[S, n] of a page, flat: what each row adds to it."""
    group: I32
    key: I32

    @classmethod
    def sized(cls, rows: int, slots: int) -> Joint:
        return cls(
            table=Table.sized(slots),
            lifted=np.empty(rows * slots, np.int64),
            group=np.empty(rows, np.int32),
            key=np.empty(rows, np.int32),
        )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sell_jointly(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    mode: int,
    open_slots: int,
    relaxed: bool,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint,
) -> int:
    """Sell open slots by the assignment of greatest total score; what stays open.

    A winner that the sales before it left without money or room gives its slot back, and what is
    open is assigned again.
    """
    slots, n = page.score.shape
    table, lifted = joint.table, joint.lifted[: slots * n].reshape(slots, n)
    while True:
        lift = lift_scores(rows, lots, open_slots, page, lifted)
        find_groups(rows, rules, lifted, joint)
        assign(lifted, joint.group[:n], rows.ad, lots.seed, table)
        before = open_slots
        for s in range(slots):
            won = table.row[s]
            if won < 0 or page.score[s, won] == NOT_BIDDING:
                continue
            charge = joint_price(rows, lots, mode, s, won, table.externality[s] - lift, page)
            second = table.entrant[s]
            if second >= 0 and rows.advertiser[second] == rows.advertiser[won]:
                second = -1
            cost = write_sale(rows, s, won, second, charge, relaxed, sales)
            take_off(remaining, rows.account[won], cost)
            open_slots &= ~(1 << s)
            seat(won, page)
            make_room(rows, won, s, open_slots, lots, rules, relaxed, remaining, page)
        if open_slots in (0, before):
            return open_slots


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def find_groups(rows: Rows, rules: Rules, lifted: I64, joint: Joint) -> None:
    """Number the rows so that those that must not stand together have the same number."""
    n = rows.ad.size
    group, key = joint.group[:n], joint.key[:n]
    for i in range(n):
        group[i] = i
    if rules.advertiser_once:
        copy_bidding(rows.advertiser, lifted, key)
        unite(key, group)
    copy_bidding(rows.ad, lifted, key)
    unite(key, group)
    copy_bidding(rows.creative, lifted, key)
    unite(key, group)
    labels, any_label = np.zeros(n, np.uint64), False
    for i in range(n):
        if rows.labels[i] != 0 and key[i] >= 0:
            labels[i] = rows.labels[i]
            any_label = True
    if any_label:
        unite_labels(labels, group)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def copy_bidding(ids: I32, lifted: I64, key: I32) -> None:
    """Ids of rows that bid for a slot, -1 of all others."""
    for i in range(ids.size):
        key[i] = -1
        for s in range(lifted.shape[0]):
            if lifted[s, i] != NOT_BIDDING:
                key[i] = ids[i]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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
