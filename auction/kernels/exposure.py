"""Exposure of advertisers: the dual prices a page begins with, and what its sales do to them.

All of it is per scope (the site, a publisher, a placement, a segment); a slot is in a few of them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import MILLE, Rejection
from auction.fairness_rules import BASIS_POINTS, MOST_RIVALS
from auction.settings import Mode
from auction.workspace import (
    BOOST,
    BOOST_COST,
    BOOSTED,
    BUDGET_BP,
    CAPPING,
    COUNTS,
    CREDIT,
    DECAY,
    DUAL,
    FLOOR_BP,
    HELD,
    I32,
    I64,
    KEY,
    LEAST,
    LIMIT,
    NEXT,
    OWED,
    RELAXED,
    REVENUE,
    RISE,
    RISEN,
    RIVALS,
    SEEN,
    SHARE_BP,
    SOLD,
    START,
    STEPS,
    TYPICAL,
    VACANT,
    WINDOW,
    Caps,
    Code,
    Memory,
    Page,
    Rows,
    Sales,
)

AUCTION = int(Mode.AUCTION)
FAIRNESS = int(Rejection.FAIRNESS)
ENDLESS = 2**62
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_TOP = np.uint64(32)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def place_of(entry: I64, scope: int, advertiser: int) -> int:
    """Where the table has this advertiser in this scope, or the vacant place it would take.

    A vacant place reads as an advertiser that never won: nothing held, no dual price.
    """
    key = scope << 32 | advertiser
    last = entry.shape[0] - 1
    at = int((np.uint64(key) * _SPREAD) >> _TOP) & last
    while entry[at, KEY] != key and entry[at, KEY] != VACANT:
        at = (at + 1) & last
    return int(at)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def dual_now(clock: I64, entry: I64) -> int:
    """The dual price after the decay of all sales of the scope since it was written."""
    return int(max(0, entry[DUAL] - (clock[DECAY] - entry[SEEN])))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def boost_now(clock: I64, rule: I64, entry: I64) -> int:
    """What is added to the score of an advertiser below its floor; at most what is left to spend.

    It has risen with every sale since its own last one, up to the median winning value.
    """
    if rule[FLOOR_BP] == 0 or clock[SOLD] < rule[LEAST]:
        return 0
    if entry[HELD] * BASIS_POINTS >= rule[FLOOR_BP] * min(clock[SOLD], rule[WINDOW]):
        return 0
    risen = entry[BOOST] + clock[RISE] - entry[RISEN]
    spendable = (clock[CREDIT] - 2 * MILLE) * MILLE  # prices are rounded by two micros in all
    return int(max(0, min(risen, clock[TYPICAL], spendable)))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def count_rivals(rows: Rows, modes: Code, page: Page) -> None:
    """How many advertisers could buy each slot in an auction, as far as any rule asks."""
    for s in range(page.rivals.size):
        bit = np.uint32(1 << s)
        found = 0
        for i in range(rows.advertiser.size):
            if (page.passes[i] & bit) == 0 or rows.refused[i] != 0 or not competes(rows, modes, i):
                continue
            if is_new(rows.advertiser[i], found, page.known):
                page.known[found] = rows.advertiser[i]
                found += 1
                if found == MOST_RIVALS:
                    break
        page.rivals[s] = found


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def competes(rows: Rows, modes: Code, i: int) -> bool:
    """Fairness is about auctions: what a guaranteed or weighted tier promises, it delivers."""
    return bool(modes[rows.tier[i]] == AUCTION)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def is_new(advertiser: int, found: int, known: I64) -> bool:
    for k in range(found):
        if known[k] == advertiser:
            return False
    return True


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def forget_fairness(page: Page) -> None:
    page.dual[:] = 0
    page.room[:] = ENDLESS


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def look_up_fairness(
    rows: Rows, scope: I32, modes: Code, caps: Caps, memory: Memory, page: Page
) -> bool:
    """Each row's dual price and room in each slot, whose scopes are [S, SCOPES]; False when
    fairness changes nothing on the page. Duals of a slot's scopes add up; the least room counts."""
    forget_fairness(page)
    matters = False
    for s in range(scope.shape[0]):
        for k in range(scope.shape[1]):
            if counts(scope[s, k], caps) and is_first(scope, s, k):
                matters |= look_up_scope(rows, scope, s, k, modes, caps, memory, page)
    return matters


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def counts(scope: int, caps: Caps) -> bool:
    return bool(scope >= 0 and caps.rule[scope, COUNTS] != 0)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def is_first(scope: I32, slot: int, k: int) -> bool:
    """No earlier slot of the page is in this scope."""
    for s in range(slot):
        if scope[s, k] == scope[slot, k]:
            return False
    return True


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def look_up_scope(
    rows: Rows,
    scope: I32,
    first: int,
    k: int,
    modes: Code,
    caps: Caps,
    memory: Memory,
    page: Page,
) -> bool:
    """What one scope adds in the slots that are in it: the table is asked once per row."""
    this = scope[first, k]
    rule, clock = caps.rule[this], memory.clock[this]
    acts = rule[CAPPING] != 0 and clock[SOLD] >= rule[LEAST]
    boosts = rule[FLOOR_BP] != 0 and clock[SOLD] >= rule[LEAST]
    table, decay, limit = memory.entry, clock[DECAY], rule[LIMIT]
    slots = scope.shape[0]
    matters = False
    for i in range(rows.advertiser.size):
        at = place_of(table, this, rows.advertiser[i])
        dual, room, boost = 0, ENDLESS, 0
        if acts:  # as `dual_now`, without a view of the row for each
            dual = max(0, table[at, DUAL] - (decay - table[at, SEEN]))
            room = limit - table[at, HELD]
        if boosts:
            boost = boost_now(clock, rule, table[at])
        if (dual == 0 and boost == 0 and room > slots) or not competes(rows, modes, i):
            continue
        matters = True
        for s in range(first, slots):
            if scope[s, k] != this:
                continue
            page.dual[s, i] -= boost
            if page.rivals[s] > rule[RIVALS]:
                page.dual[s, i] += dual
                page.room[s, i] = min(page.room[s, i], room)
    return matters


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def remember_page(
    rows: Rows,
    scope: I32,
    modes: Code,
    caps: Caps,
    memory: Memory,
    page: Page,
    sales: Sales,
    plain: Sales,
) -> None:
    """Count the sales of a page, and charge what its boosts cost to those who gave them."""
    loss = 0
    for s in range(scope.shape[0]):
        loss += plain.clear[s] - sales.clear[s]
    for s in range(scope.shape[0]):
        won = sales.winner[s]
        if won >= 0 and competes(rows, modes, won):
            owe_for_boosts(rows.advertiser[won], scope[s], max(0, loss), caps, memory)
    for s in range(scope.shape[0]):
        won = sales.winner[s]
        if won < 0 or not competes(rows, modes, won):
            continue
        back = held_back(rows, s, won, page)
        for k in range(scope.shape[1]):
            this = scope[s, k]
            if counts(this, caps):
                earn(memory.clock[this], caps.rule[this], sales.clear[s])
                raised = back if is_full(memory, caps, this, rows, back) else won
                remember_sale(
                    memory,
                    caps,
                    this,
                    rows.advertiser[won],
                    page.rank[s, won],
                    rows.advertiser[raised],
                    page.rank[s, raised],
                )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def held_back(rows: Rows, slot: int, won: int, page: Page) -> int:
    """The row that its dual price alone would have let win the slot, past a hard cap; -1: none."""
    best = -1
    top = page.rank[slot, won] - page.dual[slot, won]
    for i in range(rows.advertiser.size):
        if page.code[i] != FAIRNESS or page.room[slot, i] > 0 or not page.passes[i] >> slot & 1:
            continue
        if page.rank[slot, i] - page.dual[slot, i] > top:
            best = i
            top = page.rank[slot, i] - page.dual[slot, i]
    return best


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def is_full(memory: Memory, caps: Caps, scope: int, rows: Rows, i: int) -> bool:
    """Whether it is this scope's hard cap that the row is past."""
    if i < 0 or caps.rule[scope, CAPPING] == 0:
        return False
    held = memory.entry[place_of(memory.entry, scope, rows.advertiser[i]), HELD]
    return bool(held >= caps.rule[scope, LIMIT])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def owe_for_boosts(advertiser: int, scope: I32, loss: int, caps: Caps, memory: Memory) -> None:
    """Each scope that raised a winner's score owes once all that the page sold for less."""
    for k in range(scope.size):
        if not counts(scope[k], caps):
            continue
        rule, clock = caps.rule[scope[k]], memory.clock[scope[k]]
        entry = memory.entry[place_of(memory.entry, scope[k], advertiser)]
        if boost_now(clock, rule, entry) > 0:
            clock[BOOSTED] += 1
            clock[OWED] = loss


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def earn(clock: I64, rule: I64, clear: int) -> None:
    """Put a part of the price aside for boosts, at most what a window earns; pay what is owed."""
    clock[REVENUE] += clear
    most = min(clock[TYPICAL] // MILLE, 10**10) * rule[WINDOW] // BASIS_POINTS * rule[BUDGET_BP]
    saved = clock[CREDIT] + clear * rule[BUDGET_BP] // BASIS_POINTS
    clock[CREDIT] = min(saved, max(most, clock[CREDIT])) - clock[OWED]
    clock[BOOST_COST] += clock[OWED]
    clock[OWED] = 0


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def remember_sale(
    memory: Memory,
    caps: Caps,
    scope: int,
    advertiser: int,
    value: int,
    raised: int,
    worth: int,
) -> None:
    """Count one sale in one scope.

    All dual prices fall by their share of a step and one rises by a step: the winner's, or of who
    would have won but for the hard cap. Never above what the slot is worth to it: a higher price
    could not change who wins. Boosts do the opposite.
    """
    rule, clock = caps.rule[scope], memory.clock[scope]
    step = max(1, clock[TYPICAL] // rule[STEPS])
    clock[DECAY] += step * rule[SHARE_BP] // BASIS_POINTS
    clock[RISE] += step * rule[FLOOR_BP] // BASIS_POINTS
    entry = memory.entry[place_of(memory.entry, scope, advertiser)]
    if entry[KEY] == VACANT:
        entry[KEY] = scope << 32 | advertiser
        memory.used[0] += 1
    raise_dual(clock, memory.entry[place_of(memory.entry, scope, raised)], step, worth)
    entry[BOOST] = max(0, min(entry[BOOST] + clock[RISE] - entry[RISEN], clock[TYPICAL]) - step)
    entry[RISEN] = clock[RISE]
    clock[RELAXED] += clock[SOLD] >= rule[LEAST] and entry[HELD] >= rule[LIMIT]
    move_window(memory, rule, clock, scope, advertiser)
    entry[HELD] += 1
    clock[SOLD] += 1
    nudge = clock[TYPICAL] // 64 + 1
    clock[TYPICAL] = clock[TYPICAL] + nudge if value > clock[TYPICAL] else clock[TYPICAL] - nudge
    clock[TYPICAL] = max(1, clock[TYPICAL])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def raise_dual(clock: I64, entry: I64, step: int, worth: int) -> None:
    dual = dual_now(clock, entry)
    entry[DUAL] = max(dual, min(dual + step, worth))
    entry[SEEN] = clock[DECAY]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def move_window(memory: Memory, rule: I64, clock: I64, scope: int, advertiser: int) -> None:
    at = rule[START] + clock[NEXT]
    oldest = memory.ring[at]
    if oldest >= 0:
        memory.entry[place_of(memory.entry, scope, oldest), HELD] -= 1
    memory.ring[at] = advertiser
    clock[NEXT] = (clock[NEXT] + 1) % rule[WINDOW]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def move_entries(memory: Memory, caps: Caps, target: I64) -> int:
    """Put into an empty table what is worth remembering; how many that are.

    An entry that reads as an advertiser that never won is forgotten.
    """
    moved = 0
    for at in range(memory.entry.shape[0]):
        entry = memory.entry[at]
        if entry[KEY] == VACANT:
            continue
        scope, advertiser = entry[KEY] >> 32, entry[KEY] & 0xFFFFFFFF
        clock = memory.clock[scope]
        risen = entry[BOOST] + clock[RISE] - entry[RISEN] >= clock[TYPICAL]
        floorless = caps.rule[scope, FLOOR_BP] == 0
        if entry[HELD] == 0 and dual_now(clock, entry) == 0 and (floorless or risen):
            continue
        place = place_of(target, scope, advertiser)
        for k in range(entry.size):  # numba takes seconds to compile rows that are assigned whole
            target[place, k] = entry[k]
        moved += 1
    return moved
