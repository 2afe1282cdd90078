"""The auction of a whole batch as one compiled pass over columns.

Knows rows, slots and integers only. `auction.plain` says the same readably, one sale at a time,
and the tests hold the two equal. All functions here release the GIL and allocate once per batch.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import MILLE, PPM, Rejection
from auction.workspace import (
    DECAY,
    I64,
    NEXT,
    RELAXED,
    SOLD,
    TYPICAL,
    Code,
    Flag,
    Memory,
    Page,
    Places,
    Rows,
    Rules,
    Sales,
)

NOT_BIDDING = -(2**63)
"""Score of a row that is not in the running for a slot."""
ENDLESS = 2**62
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

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True, nogil=True)
def tie_rank(seed: np.uint64, ad: int) -> np.uint64:
    """Of equal scores the greater rank wins: splitmix64 of the request's seed and the ad."""
    x = (seed ^ (np.uint64(ad) * _GOLDEN)) + _GOLDEN
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


@njit(cache=True, nogil=True)
def value_of(rows: Rows, row: int, slot: int) -> int:
    """What one impression is worth to the bidder, in value units (millionths of a micro)."""
    if rows.per_click[row]:
        return int(rows.bid[row] * rows.ppm[row, slot])
    return int(rows.bid[row] // MILLE * PPM)


@njit(cache=True, nogil=True)
def money_of(remaining: I64, campaign: int) -> int:
    """A campaign that the ledger does not know has none."""
    if campaign < 0 or campaign >= remaining.size:
        return 0
    return int(max(0, min(remaining[campaign], MOST_MONEY)))


@njit(cache=True, nogil=True)
def dual_now(memory: Memory, advertiser: int) -> int:
    """The dual price after the decay of all sales since it was written."""
    faded = memory.clock[DECAY] - memory.seen[advertiser]
    return int(max(0, memory.dual[advertiser] - faded))


@njit(cache=True, nogil=True)
def remember(
    memory: Memory, share_bp: int, steps: int, advertiser: int, value: int, relaxed: bool
) -> None:
    """Count one sale: all dual prices fall by their share of a step, the winner's rises by one.

    Never above the value just sold: a higher price could not change who wins.
    """
    clock = memory.clock
    step = max(1, clock[TYPICAL] // steps)
    clock[DECAY] += step * share_bp // 10_000
    dual = dual_now(memory, advertiser)
    memory.dual[advertiser] = max(dual, min(dual + step, value))
    memory.seen[advertiser] = clock[DECAY]

    oldest = memory.ring[clock[NEXT]]
    if oldest >= 0:
        memory.held[oldest] -= 1
    memory.ring[clock[NEXT]] = advertiser
    memory.held[advertiser] += 1
    clock[NEXT] = (clock[NEXT] + 1) % memory.ring.size
    clock[SOLD] += 1
    clock[RELAXED] += relaxed

    nudge = clock[TYPICAL] // 64 + 1
    clock[TYPICAL] = clock[TYPICAL] + nudge if value > clock[TYPICAL] else clock[TYPICAL] - nudge
    clock[TYPICAL] = max(1, clock[TYPICAL])


@njit(cache=True, nogil=True)
def open_page(
    rows: Rows, low: int, n: int, places: Places, base: int, slots: int, remaining: I64, page: Page
) -> None:
    """Put every row in the running where it fits, can pay its bid and meets the floor."""
    page.score[:slots, :n] = NOT_BIDDING
    for i in range(n):
        row = low + i
        page.passes[i] = 0
        page.affords[i] = 0
        page.alive[i] = False
        page.code[i] = rows.refused[row]
        if rows.refused[row] != 0:
            continue
        most = money_of(remaining, rows.campaign[row]) * PPM
        fits = 0
        affords = 0
        passes = 0
        for s in range(slots):
            bit = (rows.fits[row] >> s) & 1
            value = value_of(rows, row, s)
            payable = bit & (value <= most)
            met = payable & (value > 0) & (value >= places.floor[base + s])
            fits |= bit
            affords |= payable << s
            passes |= met << s
            if met:
                page.score[s, i] = value - page.dual[i] if page.room[i] > 0 else NOT_BIDDING
        page.affords[i] = affords
        page.passes[i] = passes
        page.alive[i] = passes != 0
        if fits == 0:
            page.code[i] = SIZE
        elif affords == 0:
            page.code[i] = BUDGET
        elif passes == 0:
            page.code[i] = BELOW_FLOOR
        else:
            page.code[i] = OUTBID if page.room[i] > 0 else FAIRNESS


@njit(cache=True, nogil=True)
def find_leaders(rows: Rows, low: int, n: int, seed: np.uint64, slot: int, page: Page) -> None:
    """The best row of a slot and the best of any other advertiser, in one scan."""
    best = -1
    second = -1
    top = NOT_BIDDING
    least = NOT_BIDDING + 1
    for i in range(n):
        score = page.score[slot, i]
        if score < least:
            continue
        if best < 0:
            best = i
            top = score
            continue
        rival = rows.advertiser[low + i] != rows.advertiser[low + best]
        if score > top or (
            score == top and tie_rank(seed, rows.ad[low + i]) > tie_rank(seed, rows.ad[low + best])
        ):
            if rival:
                second = best
                least = top
            best = i
            top = score
        elif rival and (
            second < 0
            or score > least
            or tie_rank(seed, rows.ad[low + i]) > tie_rank(seed, rows.ad[low + second])
        ):
            second = i
            least = score
    page.best[slot] = best
    page.second[slot] = second


@njit(cache=True, nogil=True)
def best_open_slot(open_slots: int, slots: int, page: Page) -> int:
    """The open slot whose leader scores most, the first of equals; -1 when none has a leader."""
    chosen = -1
    top = NOT_BIDDING
    for s in range(slots):
        if (open_slots >> s) & 1 and page.best[s] >= 0 and page.score[s, page.best[s]] > top:
            chosen = s
            top = page.score[s, page.best[s]]
    return chosen


@njit(cache=True, nogil=True)
def charge_for(rows: Rows, row: int, slot: int, critical: int) -> tuple[int, int, int]:
    """(clear, charge, cost) of a sale at a critical value, whole micros rounded up.

    A critical value at most the row's own value gives a charge at most its bid. The clear price
    of a bid per click is rounded down, as its bid is when shown per thousand.
    """
    if not rows.per_click[row]:
        charge = -(-critical // PPM)
        return charge * MILLE, charge, charge
    ppm = rows.ppm[row, slot]
    charge = -(-critical // ppm)
    return charge * ppm // MILLE, charge, -(-(charge * ppm) // PPM)


@njit(cache=True, nogil=True)
def take_out(page: Page, i: int, slots: int) -> None:
    page.alive[i] = False
    for s in range(slots):
        page.score[s, i] = NOT_BIDDING


@njit(cache=True, nogil=True)
def make_room(
    rows: Rows,
    low: int,
    n: int,
    slots: int,
    won: int,
    open_slots: int,
    rules: Rules,
    relaxed: bool,
    remaining: I64,
    page: Page,
) -> None:
    """Take out of the running what may no longer win beside the row that has just won."""
    winner = low + won
    take_out(page, won, slots)
    page.code[won] = WON
    for i in range(n):
        row = low + i
        if not page.alive[i]:
            continue
        kin = rows.advertiser[row] == rows.advertiser[winner]
        same = rows.ad[row] == rows.ad[winner] or rows.creative[row] == rows.creative[winner]
        if same or (kin and rules.advertiser_once):
            take_out(page, i, slots)
            if page.passes[i] & open_slots:
                page.code[i] = DUPLICATE if same else EXCLUSION
            continue
        if rows.campaign[row] == rows.campaign[winner]:
            tighten(rows, row, i, slots, open_slots, remaining, page)
        if kin:
            page.room[i] -= 1
            if page.room[i] == 0 and page.alive[i] and not relaxed:
                page.code[i] = FAIRNESS
                for s in range(slots):
                    page.score[s, i] = NOT_BIDDING


@njit(cache=True, nogil=True)
def tighten(
    rows: Rows, row: int, i: int, slots: int, open_slots: int, remaining: I64, page: Page
) -> None:
    """Close the slots that the row's campaign can no longer pay."""
    most = money_of(remaining, rows.campaign[row]) * PPM
    had = page.passes[i] & open_slots
    for s in range(slots):
        if (had >> s) & 1 and value_of(rows, row, s) > most:
            page.score[s, i] = NOT_BIDDING
            page.passes[i] &= ~(np.uint32(1) << np.uint32(s))
            page.affords[i] &= ~(np.uint32(1) << np.uint32(s))
    if had and not page.passes[i] & open_slots:
        take_out(page, i, slots)
        page.code[i] = BUDGET


@njit(cache=True, nogil=True)
def relax(rows: Rows, low: int, n: int, slots: int, open_slots: int, page: Page) -> bool:
    """Let rows past the hard cap bid for slots that would otherwise stay empty."""
    found = False
    for i in range(n):
        if not page.alive[i] or page.room[i] > 0 or not page.passes[i] & open_slots:
            continue
        found = True
        page.code[i] = OUTBID
        for s in range(slots):
            if ((page.passes[i] & open_slots) >> s) & 1:
                page.score[s, i] = value_of(rows, low + i, s) - page.dual[i]
    return found


@njit(cache=True, nogil=True)
def sell_page(
    rows: Rows,
    low: int,
    n: int,
    places: Places,
    request: int,
    rules: Rules,
    remaining: I64,
    page: Page,
    sales: Sales,
) -> None:
    """Sell the slots of one page, always the pair of slot and row that scores most."""
    base = places.offset[request]
    slots = places.offset[request + 1] - base
    seed = places.seed[request]
    sales.winner[base : base + slots] = -1
    sales.runner_up[base : base + slots] = -1
    sales.clear[base : base + slots] = 0
    sales.charge[base : base + slots] = 0
    sales.cost[base : base + slots] = 0
    sales.relaxed[base : base + slots] = False
    open_slots = (1 << slots) - 1
    relaxed = False
    for s in range(slots):
        find_leaders(rows, low, n, seed, s, page)
    while True:
        t = best_open_slot(open_slots, slots, page)
        if t < 0:
            if relaxed or not relax(rows, low, n, slots, open_slots, page):
                return
            relaxed = True
            for s in range(slots):
                find_leaders(rows, low, n, seed, s, page)
            continue
        won = page.best[t]
        row = low + won
        critical = value_of(rows, row, t)
        if not places.first_price[request]:
            asked = places.floor[base + t]
            if page.second[t] >= 0:
                rival = page.score[t, page.second[t]]
                asked = max(asked, rival + page.dual[won] + rules.increment)
            critical = min(critical, asked)
        clear, charge, cost = charge_for(rows, row, t, critical)
        sales.winner[base + t] = row
        sales.runner_up[base + t] = low + page.second[t] if page.second[t] >= 0 else -1
        sales.clear[base + t] = clear
        sales.charge[base + t] = charge
        sales.cost[base + t] = cost
        sales.relaxed[base + t] = relaxed
        remaining[rows.campaign[row]] -= cost
        open_slots &= ~(1 << t)
        make_room(rows, low, n, slots, won, open_slots, rules, relaxed, remaining, page)
        for s in range(slots):
            if not (open_slots >> s) & 1 or page.best[s] < 0:
                continue
            led = page.score[s, page.best[s]] != NOT_BIDDING
            followed = page.second[s] < 0 or page.score[s, page.second[s]] != NOT_BIDDING
            if not (led and followed):
                find_leaders(rows, low, n, seed, s, page)


@njit(cache=True, nogil=True)
def why_unsold(rows: Rows, low: int, n: int, slot: int, seed: np.uint64, page: Page) -> int:
    """What kept the best row that holds no other slot of the page from taking an unsold one."""
    best = -1
    top = NOT_BIDDING
    elsewhere = False
    for i in range(n):
        if not (rows.fits[low + i] >> slot) & 1:
            continue
        if page.code[i] == WON:
            elsewhere = True
            continue
        value = value_of(rows, low + i, slot)
        if value > top or (
            value == top and tie_rank(seed, rows.ad[low + i]) > tie_rank(seed, rows.ad[low + best])
        ):
            best = i
            top = value
    if best < 0:
        return DUPLICATE if elsewhere else NO_CANDIDATE
    if rows.refused[low + best] != 0:
        return int(rows.refused[low + best])
    if not (page.affords[best] >> slot) & 1:
        return BUDGET
    if not (page.passes[best] >> slot) & 1:
        return BELOW_FLOOR
    return int(page.code[best])


@njit(cache=True, nogil=True)
def look_up_fairness(
    rows: Rows, low: int, n: int, rules: Rules, memory: Memory, page: Page
) -> bool:
    """Each row's dual price and room for the page; False when fairness changes nothing in it."""
    matters = False
    for i in range(n):
        advertiser = rows.advertiser[low + i]
        page.dual[i] = dual_now(memory, advertiser)
        page.room[i] = rules.limit - memory.held[advertiser]
        matters |= page.dual[i] > 0 or page.room[i] < 32
    return matters


@njit(cache=True, nogil=True)
def sell(
    rows: Rows,
    places: Places,
    rules: Rules,
    remaining: I64,
    memory: Memory,
    page: Page,
    sales: Sales,
    plain: Sales,
    rejected: Code,
    reason: Code,
) -> None:
    """Sell the pages of a batch in order; `remaining` and `memory` move on with each sale."""
    for request in range(places.offset.size - 1):
        low = rows.offset[request]
        n = rows.offset[request + 1] - low
        base = places.offset[request]
        slots = places.offset[request + 1] - base
        page.dual[:n] = 0
        page.room[:n] = ENDLESS
        if rules.fair and look_up_fairness(rows, low, n, rules, memory, page):
            page.dual[:n] = 0
            page.room[:n] = ENDLESS
            open_page(rows, low, n, places, base, slots, remaining, page)
            sell_page(rows, low, n, places, request, rules, remaining, page, plain)
            for t in range(base, base + slots):
                if plain.winner[t] >= 0:
                    remaining[rows.campaign[plain.winner[t]]] += plain.cost[t]
            look_up_fairness(rows, low, n, rules, memory, page)
            open_page(rows, low, n, places, base, slots, remaining, page)
            sell_page(rows, low, n, places, request, rules, remaining, page, sales)
        else:
            open_page(rows, low, n, places, base, slots, remaining, page)
            sell_page(rows, low, n, places, request, rules, remaining, page, sales)
            plain.winner[base : base + slots] = sales.winner[base : base + slots]
            plain.clear[base : base + slots] = sales.clear[base : base + slots]
        rejected[low : low + n] = page.code[:n]
        for t in range(base, base + slots):
            winner = sales.winner[t]
            if winner < 0:
                reason[t] = why_unsold(rows, low, n, t - base, places.seed[request], page)
                continue
            reason[t] = WON
            if rules.fair:
                value = value_of(rows, winner, t - base)
                remember(
                    memory,
                    rules.share_bp,
                    rules.steps,
                    rows.advertiser[winner],
                    value,
                    sales.relaxed[t],
                )


@njit(cache=True, nogil=True)
def reserve(
    campaign: I64, micros: I64, limit: I64, spent: I64, reserved: I64, granted: Flag
) -> None:
    """Row by row: set the whole amount aside, or nothing of it."""
    for i in range(campaign.size):
        c = campaign[i]
        known = 0 <= c < limit.size and micros[i] >= 0
        granted[i] = known and micros[i] <= limit[c] - spent[c] - reserved[c]
        if granted[i]:
            reserved[c] += micros[i]
