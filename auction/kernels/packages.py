"""Rows that win together or not at all: roadblocks and companions.

A package competes with the sale of the same slots to the single rows of its tier: it must be
worth more than what it displaces, and pays for that. Pages without packages never come here.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import PPM, PackageKind, Rejection
from auction.kernels.accounts import money_of, take_off
from auction.kernels.joint import Joint
from auction.kernels.matching import match, members_of
from auction.kernels.pricing import (
    AUCTION,
    floor_price,
    pays_its_bid,
    write_sale,
)
from auction.kernels.room import make_room, seat
from auction.kernels.scoring import score_of
from auction.kernels.singles import sell_rows
from auction.kernels.ties import draw_key, tie_rank
from auction.settings import Mode
from auction.workspace import I64, U32, Lots, Page, Rows, Rules, Sales

ALL, SET = int(PackageKind.ALL), int(PackageKind.SET)
BUDGET = int(Rejection.BUDGET)
FAIRNESS = int(Rejection.FAIRNESS)
WEIGHTED = int(Mode.WEIGHTED)
INSIDE = np.bool_(False)
"""Not past a cap. A variable to the compiler: for a constant it would make each function anew."""
PART = 24
"""Bits of the part of its bids that a package pays."""


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def sell_packages(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    members: U32,
    tier: int,
    open_slots: int,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> int:
    """Sell to the best package while one is worth what it displaces; what stays open."""
    mode = rules.modes[tier]
    slots = page.best.size
    rival, taken, chosen = np.empty((3, slots), np.int64)
    while open_slots:
        sell_on_trial(rows, lots, rules, members, mode, open_slots, remaining, page, rival, joint)
        found, top, lot = False, 0, np.uint64(0)
        package = 0
        while True:
            package = next_package(rows, package, tier, page)
            if package == 0:
                break
            if fits_together(rows, lots, mode, package, tier, open_slots, remaining, page, taken):
                worth, drawn = worth_of(rows, lots, mode, taken, page)
                better = not found or worth > top or (worth == top and drawn > lot)
                if better and worth_more(rows, lots, mode, worth, taken, rival, page):
                    found, top, lot = True, worth, drawn
                    for s in range(slots):
                        chosen[s] = taken[s]
        if not found:
            break
        open_slots = sell_package(
            rows, lots, rules, mode, chosen, rival, open_slots, remaining, page, sales
        )
    return open_slots


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def next_package(rows: Rows, after: int, tier: int, page: Page) -> int:
    lowest = 0
    for i in range(rows.package.size):
        package = rows.package[i]
        if page.alive[i] and rows.tier[i] == tier and package > after:
            lowest = package if lowest == 0 else min(lowest, package)
    return int(lowest)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def sell_on_trial(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    members: U32,
    mode: int,
    open_slots: int,
    remaining: I64,
    page: Page,
    rival: I64,
    joint: Joint | None,
) -> None:
    """Fill `rival` [S] with the single rows that would win the open slots, -1 where none."""
    slots = rival.size
    sales = Sales(
        np.full(slots, -1, np.int32),
        np.empty(slots, np.int32),
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.zeros(slots, np.int64),
        np.empty(slots, np.bool_),
    )
    score, room = page.score.copy(), page.room.copy()
    passes, affords = page.passes.copy(), page.affords.copy()
    alive, code = page.alive.copy(), page.code.copy()
    sell_rows(rows, lots, rules, members, mode, open_slots, INSIDE, remaining, page, sales, joint)
    # Element by element: numba takes four seconds to compile slices that are assigned to slices.
    for i in range(alive.size):
        page.passes[i], page.affords[i] = passes[i], affords[i]
        page.alive[i], page.code[i] = alive[i], code[i]
    for s in range(slots):
        for i in range(alive.size):
            page.score[s, i], page.room[s, i] = score[s, i], room[s, i]
        rival[s] = sales.winner[s]
        if rival[s] >= 0:
            take_off(remaining, rows.account[rival[s]], -sales.cost[s])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def fits_together(
    rows: Rows,
    lots: Lots,
    mode: int,
    package: int,
    tier: int,
    open_slots: int,
    remaining: I64,
    page: Page,
    taken: I64,
) -> bool:
    """Whether the package finds the slots that its kind asks for, the money and the room under
    the caps; `taken` [S] is then its row in each slot, -1 where none."""
    members = members_of(rows, lots, mode, package, tier, open_slots, page)
    count = match(rows, lots, mode, members, open_slots, page, taken)
    size, kind = 0, 0
    for i in range(rows.package.size):
        if rows.package[i] == package:
            size += 1
            kind = rows.kind[i]
    wanted = taken.size if kind == ALL else size if kind == SET else 2
    if count < wanted:
        return False
    inside = True
    for s in range(taken.size):
        if taken[s] >= 0:
            taken[s] = members[taken[s]]
            inside &= page.room[s, taken[s]] >= count
    payable = can_pay(rows, taken, remaining, page)
    if not inside or not payable:
        for i in range(rows.package.size):
            if rows.package[i] == package and rows.tier[i] == tier and page.alive[i]:
                page.code[i] = BUDGET if inside else FAIRNESS
    return inside and payable


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def can_pay(rows: Rows, taken: I64, remaining: I64, page: Page) -> bool:
    """Whether the accounts could pay all bids of the package."""
    payable, done = True, 0
    for s in range(taken.size):
        if taken[s] >= 0 and payable:
            cost = -(-page.value[s, taken[s]] // PPM)
            payable = cost <= money_of(remaining, rows.account[taken[s]])
            take_off(remaining, rows.account[taken[s]], cost)
            done = s + 1
    for s in range(done):
        if taken[s] >= 0:
            take_off(remaining, rows.account[taken[s]], page.value[s, taken[s]] // -PPM)
    return payable


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def worth_of(rows: Rows, lots: Lots, mode: int, taken: I64, page: Page) -> tuple[int, np.uint64]:
    """The package's score, and the lot of its lowest ad, which draws for all in a weighted tier."""
    worth, lowest = 0, -1
    for s in range(taken.size):
        if taken[s] >= 0:
            worth += score_of(rows, lots, mode, taken[s], s, page)
            if lowest < 0 or rows.ad[taken[s]] < rows.ad[lowest]:
                lowest = taken[s]
    if mode == WEIGHTED:
        worth = draw_key(lots.seed, rows.ad[lowest], rows.share[lowest])
    return worth, tie_rank(lots.seed, rows.ad[lowest])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def worth_more(
    rows: Rows, lots: Lots, mode: int, worth: int, taken: I64, rival: I64, page: Page
) -> bool:
    """Than the rows that it displaces: than their sum, or in a draw than the best of them."""
    displaced, total = 0, 0
    for s in range(taken.size):
        if taken[s] >= 0 and rival[s] >= 0:
            score = score_of(rows, lots, mode, rival[s], s, page)
            total = max(total, score) if mode == WEIGHTED and displaced else total + score
            displaced += 1
    return displaced == 0 or worth > total


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def sell_package(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    mode: int,
    taken: I64,
    rival: I64,
    open_slots: int,
    remaining: I64,
    page: Page,
    sales: Sales,
) -> int:
    """Seat the package, then make room for each of its rows; what stays open."""
    part = part_to_pay(rows, lots, mode, taken, rival, page)
    for s in range(taken.size):
        won = taken[s]
        if won < 0:
            continue
        second = rival[s]
        if second >= 0 and rows.advertiser[second] == rows.advertiser[won]:
            second = -1
        charge = page.unit[won]
        if not pays_its_bid(rows, lots, mode, won):
            least = floor_price(rows, lots, won, s)
            asked = 0 if rows.fixed[won] else -(-(page.unit[won] * part) >> PART)
            charge = min(charge, max(least, asked))
        cost = write_sale(rows, s, won, second, charge, INSIDE, sales)
        take_off(remaining, rows.account[won], cost)
        open_slots &= ~(1 << s)
        seat(won, page)
    for s in range(taken.size):
        if taken[s] >= 0:
            make_room(rows, taken[s], s, open_slots, lots, rules, INSIDE, remaining, page)
    return open_slots


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def part_to_pay(rows: Rows, lots: Lots, mode: int, taken: I64, rival: I64, page: Page) -> int:
    """What other advertisers displaced is worth, of what the package ranks: rounded up, in
    2**-PART, at most 1."""
    asked, own, rivals = 0, 0, 0
    for s in range(taken.size):
        won = taken[s]
        if won < 0:
            continue
        own += page.rank[s, won]
        asked += page.dual[s, won]
        if rival[s] >= 0 and rows.advertiser[rival[s]] != rows.advertiser[won]:
            asked += score_of(rows, lots, mode, rival[s], s, page)
            rivals += 1
    if mode != AUCTION or rivals == 0 or asked <= 0:
        return 0
    return int(rounded_up(asked, own))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def rounded_up(asked: int, own: int) -> int:
    """asked / own in 2**-PART by long division, which no product can overflow."""
    if asked >= own:
        return 1 << PART
    part, rest = 0, asked
    for _ in range(PART):
        part, rest = part << 1, rest << 1
        if rest >= own:
            part, rest = part | 1, rest - own
    return part + 1 if rest > 0 else part
