"""The auction of a whole batch as one compiled pass over columns.

Knows rows, slots and integers only. `auction.plain` says the same readably, one sale at a time,
and the tests hold the two equal. All functions here release the GIL and allocate once per batch.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import MILLE, PPM, Rejection
from auction.kernels.exposure import (
    count_rivals,
    forget_fairness,
    look_up_fairness,
    remember_page,
)
from auction.kernels.terms import given_terms, keep_terms
from auction.kernels.ties import outranks
from auction.workspace import (
    I32,
    I64,
    U32,
    Caps,
    Code,
    Desk,
    Lots,
    Memory,
    Page,
    Places,
    Rows,
    Rules,
    Sales,
    Terms,
)

NOT_BIDDING = -(2**63)
"""Score of a row that is not in the running for a slot."""
MOST_MONEY = 2**63 // PPM - 1
"""Budgets above this (nine million dollars) compare as this, which keeps products in 64 bits."""

WON = int(Rejection.WON)
SIZE = int(Rejection.SIZE)
BUDGET = int(Rejection.BUDGET)
EXCLUSION = int(Rejection.EXCLUSION)
DUPLICATE = int(Rejection.DUPLICATE)
FAIRNESS = int(Rejection.FAIRNESS)
BELOW_FLOOR = int(Rejection.BELOW_FLOOR)
OUTBID = int(Rejection.OUTBID)
NO_CANDIDATE = int(Rejection.NO_CANDIDATE)


@njit(cache=True, nogil=True)
def money_of(remaining: I64, account: I32) -> int:
    """The least that any account of a row [LEVELS] has; one that the ledger does not know has
    none."""
    least = MOST_MONEY
    for level in range(account.size):
        a = account[level]
        if a >= remaining.size:
            return 0
        if a >= 0:
            least = min(least, remaining[a])
    return int(max(0, least))


@njit(cache=True, nogil=True)
def take_off(remaining: I64, account: I32, micros: int) -> None:
    """A sale lowers what each account of its row has left; negative: it is taken back."""
    for level in range(account.size):
        if account[level] >= 0:
            remaining[account[level]] -= micros


@njit(cache=True, nogil=True)
def shares_account(account: I32, other: I32) -> bool:
    for level in range(account.size):
        if account[level] >= 0 and account[level] == other[level]:
            return True
    return False


@njit(cache=True, nogil=True)
def price_in(rows: Rows, page: Page) -> None:
    """What one impression in each slot is worth to each row, in value units."""
    slots, n = page.value.shape
    for i in range(n):
        per_click = rows.per_click[i]
        bid = rows.bid[i] if per_click else rows.bid[i] // MILLE * PPM
        for s in range(slots):
            page.value[s, i] = bid * (rows.ppm[i, s] if per_click else 1)


@njit(cache=True, nogil=True)
def open_page(rows: Rows, lots: Lots, remaining: I64, page: Page) -> None:
    """Put every row in the running where it fits, can pay its bid and meets the floor."""
    slots, n = page.value.shape
    for i in range(n):
        page.most[i] = money_of(remaining, rows.account[i]) * PPM
    page.affords[:] = 0
    page.passes[:] = 0
    for s in range(slots):
        enter_slot(rows.fits, max(1, lots.floor[s]), s, page)
    every = np.uint32((1 << slots) - 1)
    for i in range(n):
        inside = within_cap(i, page)
        page.alive[i] = page.passes[i] != 0
        if rows.refused[i] != 0:
            page.code[i] = rows.refused[i]
            page.alive[i] = False
            silence(page, i)
        elif page.passes[i] != 0:
            page.code[i] = OUTBID if inside else FAIRNESS
        elif page.affords[i] != 0:
            page.code[i] = BELOW_FLOOR
        else:
            page.code[i] = BUDGET if rows.fits[i] & every else SIZE


@njit(cache=True, nogil=True)
def enter_slot(fits: U32, floor: int, slot: int, page: Page) -> None:
    """Without branches, so that it runs several rows at a time."""
    bit = np.uint32(1 << slot)
    none = np.uint32(0)
    value, score = page.value[slot], page.score[slot]
    dual, room = page.dual[slot], page.room[slot]
    for i in range(value.size):
        payable = ((fits[i] & bit) != 0) & (value[i] <= page.most[i])
        met = payable & (value[i] >= floor)
        page.affords[i] |= bit if payable else none
        page.passes[i] |= bit if met else none
        score[i] = value[i] - dual[i] if met & (room[i] > 0) else NOT_BIDDING


@njit(cache=True, nogil=True)
def within_cap(i: int, page: Page) -> bool:
    """Whether the row may win one of the slots that it passes without going past a hard cap."""
    inside = False
    for s in range(page.best.size):
        inside |= ((page.passes[i] >> s) & 1 != 0) & (page.room[s, i] > 0)
    return inside


@njit(cache=True, nogil=True)
def find_leaders(rows: Rows, seed: np.uint64, slot: int, page: Page) -> None:
    """The best row of a slot and the best of any other advertiser, in one scan."""
    best = -1
    second = -1
    top = NOT_BIDDING
    least = NOT_BIDDING + 1
    scores = page.score[slot]
    for i in range(scores.size):
        score = scores[i]
        if score < least:
            continue
        if best < 0:
            best = i
            top = score
            continue
        rival = rows.advertiser[i] != rows.advertiser[best]
        if score > top or (score == top and outranks(seed, rows.ad[i], rows.ad[best])):
            if rival:
                second = best
                least = top
            best = i
            top = score
        elif rival and (second < 0 or score > least or outranks(seed, rows.ad[i], rows.ad[second])):
            second = i
            least = score
    page.best[slot] = best
    page.second[slot] = second


@njit(cache=True, nogil=True)
def best_open_slot(open_slots: int, page: Page) -> int:
    """The open slot whose leader scores most, the first of equals; -1 when none has a leader."""
    chosen = -1
    top = NOT_BIDDING
    for s in range(page.best.size):
        if (open_slots >> s) & 1 and page.best[s] >= 0 and page.score[s, page.best[s]] > top:
            chosen = s
            top = page.score[s, page.best[s]]
    return chosen


@njit(cache=True, nogil=True)
def critical_value(lots: Lots, rules: Rules, slot: int, page: Page) -> int:
    """The least value at which the slot's leader would still have won it, at most its own."""
    won, second = page.best[slot], page.second[slot]
    own = page.value[slot, won]
    if lots.first_price:
        return int(own)
    asked = lots.floor[slot]
    if second >= 0:
        asked = max(asked, page.score[slot, second] + page.dual[slot, won] + rules.increment)
    return int(min(asked, own))


@njit(cache=True, nogil=True)
def write_sale(
    rows: Rows,
    low: int,
    lots: Lots,
    rules: Rules,
    slot: int,
    relaxed: bool,
    page: Page,
    sales: Sales,
) -> int:
    """Record the sale of a slot to its leader at whole micros, rounded up; its expected cost.

    A critical value at most the row's own value gives a charge at most its bid. The clear price
    of a bid per click is rounded down, as its bid is when shown per thousand.
    """
    won, second = page.best[slot], page.second[slot]
    critical = critical_value(lots, rules, slot, page)
    if rows.per_click[won]:
        ppm = rows.ppm[won, slot]
        charge = -(-critical // ppm)
        clear, cost = charge * ppm // MILLE, -(-(charge * ppm) // PPM)
    else:
        charge = -(-critical // PPM)
        clear, cost = charge * MILLE, charge
    sales.winner[slot] = low + won
    sales.runner_up[slot] = low + second if second >= 0 else -1
    sales.clear[slot] = clear
    sales.charge[slot] = charge
    sales.cost[slot] = cost
    sales.relaxed[slot] = relaxed
    return int(cost)


@njit(cache=True, nogil=True)
def silence(page: Page, i: int) -> None:
    for s in range(page.best.size):
        page.score[s, i] = NOT_BIDDING


@njit(cache=True, nogil=True)
def make_room(
    rows: Rows,
    won: int,
    slot: int,
    open_slots: int,
    lots: Lots,
    rules: Rules,
    relaxed: bool,
    remaining: I64,
    page: Page,
) -> None:
    """Take out of the running what may no longer win beside the row that has just won a slot."""
    ad, creative = rows.ad[won], rows.creative[won]
    advertiser, account = rows.advertiser[won], rows.account[won]
    joined = joined_slots(lots.scope, slot)
    page.alive[won] = False
    page.code[won] = WON
    silence(page, won)
    for i in range(rows.ad.size):
        kin = rows.advertiser[i] == advertiser
        same = (rows.ad[i] == ad) | (rows.creative[i] == creative)
        payer = shares_account(rows.account[i], account)
        if not (kin | same | payer) or not page.alive[i]:
            continue
        if same or (kin and rules.advertiser_once):
            page.alive[i] = False
            silence(page, i)
            if page.passes[i] & open_slots:
                page.code[i] = DUPLICATE if same else EXCLUSION
            continue
        if payer:
            tighten(i, money_of(remaining, rows.account[i]) * PPM, open_slots, page)
        if kin:
            use_room(i, joined, open_slots, relaxed, page)


@njit(cache=True, nogil=True)
def joined_slots(scope: I32, slot: int) -> int:
    """Bits of the slots that count their exposure together with this one, itself included."""
    joined = 1 << slot
    for s in range(scope.shape[0]):
        for k in range(scope.shape[1]):
            if scope[s, k] >= 0 and scope[s, k] == scope[slot, k]:
                joined |= 1 << s
    return joined


@njit(cache=True, nogil=True)
def use_room(i: int, joined: int, open_slots: int, relaxed: bool, page: Page) -> None:
    """A sale to the row's advertiser: one less in each slot that counts it."""
    reached = False
    for s in range(page.best.size):
        if (joined >> s) & 1:
            page.room[s, i] -= 1
            if page.room[s, i] == 0 and not relaxed:
                page.score[s, i] = NOT_BIDDING
                reached = True
    left = page.passes[i] & open_slots
    if reached and page.alive[i] and left and not may_win(i, open_slots, page):
        page.code[i] = FAIRNESS


@njit(cache=True, nogil=True)
def may_win(i: int, open_slots: int, page: Page) -> bool:
    for s in range(page.best.size):
        if (open_slots >> s) & 1 and page.score[s, i] != NOT_BIDDING:
            return True
    return False


@njit(cache=True, nogil=True)
def tighten(i: int, most: int, open_slots: int, page: Page) -> None:
    """Close the slots for which one of the row's accounts has no longer the money."""
    had = page.passes[i] & open_slots
    lost = 0
    for s in range(page.best.size):
        if (had >> s) & 1 and page.value[s, i] > most:
            page.score[s, i] = NOT_BIDDING
            lost |= 1 << s
    page.passes[i] &= ~lost
    page.affords[i] &= ~lost
    if had and had == lost:
        page.alive[i] = False
        silence(page, i)
        page.code[i] = BUDGET


@njit(cache=True, nogil=True)
def relax(open_slots: int, page: Page) -> bool:
    """Let rows past the hard cap bid for slots that would otherwise stay empty."""
    found = False
    for i in range(page.alive.size):
        chances = page.passes[i] & open_slots
        if not page.alive[i] or chances == 0:
            continue
        for s in range(page.best.size):
            if (chances >> s) & 1 and page.room[s, i] <= 0:
                found = True
                page.code[i] = OUTBID
                page.score[s, i] = page.value[s, i] - page.dual[s, i]
    return found


@njit(cache=True, nogil=True)
def sell_page(
    rows: Rows, low: int, lots: Lots, rules: Rules, remaining: I64, page: Page, sales: Sales
) -> None:
    """Sell the slots of one page, always the pair of slot and row that scores most."""
    sales.winner[:] = -1
    sales.runner_up[:] = -1
    sales.clear[:] = 0
    sales.charge[:] = 0
    sales.cost[:] = 0
    sales.relaxed[:] = False
    slots = page.best.size
    open_slots = (1 << slots) - 1
    relaxed = False
    for s in range(slots):
        find_leaders(rows, lots.seed, s, page)
    while True:
        t = best_open_slot(open_slots, page)
        if t < 0:
            if relaxed or not relax(open_slots, page):
                return
            relaxed = True
            for s in range(slots):
                find_leaders(rows, lots.seed, s, page)
            continue
        won = page.best[t]
        cost = write_sale(rows, low, lots, rules, t, relaxed, page, sales)
        take_off(remaining, rows.account[won], cost)
        open_slots &= ~(1 << t)
        make_room(rows, won, t, open_slots, lots, rules, relaxed, remaining, page)
        for s in range(slots):
            if (open_slots >> s) & 1 and lost_a_leader(s, page):
                find_leaders(rows, lots.seed, s, page)


@njit(cache=True, nogil=True)
def lost_a_leader(slot: int, page: Page) -> bool:
    best, second = page.best[slot], page.second[slot]
    if best < 0:
        return False
    gone = page.score[slot, best] == NOT_BIDDING
    return bool(gone or (second >= 0 and page.score[slot, second] == NOT_BIDDING))


@njit(cache=True, nogil=True)
def why_unsold(rows: Rows, seed: np.uint64, slot: int, page: Page) -> int:
    """What kept the best row that holds no other slot of the page from taking an unsold one."""
    best = -1
    elsewhere = False
    values = page.value[slot]
    for i in range(values.size):
        if not (rows.fits[i] >> slot) & 1:
            continue
        if page.code[i] == WON:
            elsewhere = True
        elif (
            best < 0
            or values[i] > values[best]
            or (values[i] == values[best] and outranks(seed, rows.ad[i], rows.ad[best]))
        ):
            best = i
    if best < 0:
        return DUPLICATE if elsewhere else NO_CANDIDATE
    if rows.refused[best] != 0:
        return int(rows.refused[best])
    if not (page.affords[best] >> slot) & 1:
        return BUDGET
    if not (page.passes[best] >> slot) & 1:
        return BELOW_FLOOR
    return int(page.code[best])


@njit(cache=True, nogil=True)
def rows_of(rows: Rows, low: int, high: int) -> Rows:
    """The rows of one request; views, so that the loops over them count from 0."""
    return Rows(
        rows.offset,
        rows.ad[low:high],
        rows.creative[low:high],
        rows.advertiser[low:high],
        rows.account[low:high],
        rows.bid[low:high],
        rows.per_click[low:high],
        rows.ppm[low:high],
        rows.fits[low:high],
        rows.refused[low:high],
        rows.tier[low:high],
        rows.share[low:high],
        rows.weight[low:high],
        rows.full_bid[low:high],
        rows.deal[low:high],
        rows.floor[low:high],
        rows.reserve[low:high],
        rows.fixed[low:high],
        rows.labels[low:high],
        rows.package[low:high],
        rows.kind[low:high],
    )


@njit(cache=True, nogil=True)
def sales_of(sales: Sales, base: int, end: int) -> Sales:
    return Sales(
        sales.winner[base:end],
        sales.runner_up[base:end],
        sales.clear[base:end],
        sales.charge[base:end],
        sales.cost[base:end],
        sales.relaxed[base:end],
    )


@njit(cache=True, nogil=True)
def blank_page(desk: Desk, slots: int, n: int) -> Page:
    """Work space for one request, laid out without gaps on the desk of the batch."""
    return Page(
        desk.value[: slots * n].reshape(slots, n),
        desk.score[: slots * n].reshape(slots, n),
        desk.passes[:n],
        desk.affords[:n],
        desk.alive[:n],
        desk.most[:n],
        desk.dual[: slots * n].reshape(slots, n),
        desk.room[: slots * n].reshape(slots, n),
        desk.code[:n],
        desk.best[:slots],
        desk.second[:slots],
        desk.rivals[:slots],
        desk.known,
    )


@njit(cache=True, nogil=True)
def sell(
    rows: Rows,
    places: Places,
    rules: Rules,
    caps: Caps,
    remaining: I64,
    memory: Memory,
    desk: Desk,
    sales: Sales,
    plain: Sales,
    rejected: Code,
    reason: Code,
    terms: Terms,
) -> None:
    """Sell the pages of a batch in order; `memory` moves on with each sale.

    So does `remaining`, until the end: then it is again what it was.
    """
    for request in range(places.offset.size - 1):
        low, high = rows.offset[request], rows.offset[request + 1]
        base, end = places.offset[request], places.offset[request + 1]
        here = rows_of(rows, low, high)
        lots = Lots(
            places.floor[base:end],
            places.first_price[request],
            places.seed[request],
            places.scope[base:end],
            places.private[base:end],
        )
        page = blank_page(desk, end - base, high - low)
        sold, unfair = sales_of(sales, base, end), sales_of(plain, base, end)
        price_in(here, page)
        forget_fairness(page)
        open_page(here, lots, remaining, page)
        if caps.on:
            count_rivals(here, page)
        sell_page(here, low, lots, rules, remaining, page, unfair)
        if terms.given:
            matters = given_terms(terms, low, page)
        else:
            matters = caps.on and look_up_fairness(here, lots.scope, caps, memory, page)
        if matters:
            for s in range(end - base):
                if unfair.winner[s] >= 0:
                    take_off(remaining, rows.account[unfair.winner[s]], -unfair.cost[s])
            if not terms.given:
                keep_terms(terms, low, page)
            open_page(here, lots, remaining, page)
            sell_page(here, low, lots, rules, remaining, page, sold)
        else:
            copy_sales(unfair, sold)
        rejected[low:high] = page.code
        for s in range(end - base):
            if sold.winner[s] < 0:
                reason[base + s] = why_unsold(here, lots.seed, s, page)
                continue
            reason[base + s] = WON
        if caps.on:
            remember_page(here, low, lots.scope, caps, memory, page, sold, unfair)
    for t in range(sales.winner.size):
        if sales.winner[t] >= 0:
            take_off(remaining, rows.account[sales.winner[t]], -sales.cost[t])


@njit(cache=True, nogil=True)
def copy_sales(source: Sales, target: Sales) -> None:
    target.winner[:] = source.winner
    target.runner_up[:] = source.runner_up
    target.clear[:] = source.clear
    target.charge[:] = source.charge
    target.cost[:] = source.cost
    target.relaxed[:] = source.relaxed
