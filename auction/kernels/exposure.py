"""Exposure of advertisers: the dual prices a page begins with, and what a sale does to them."""

from __future__ import annotations

from numba import njit

from auction.workspace import (
    DECAY,
    I32,
    NEXT,
    RELAXED,
    SOLD,
    TYPICAL,
    Caps,
    Memory,
    Page,
    Rows,
)

ENDLESS = 2**62


@njit(cache=True, nogil=True)
def dual_now(memory: Memory, advertiser: int) -> int:
    """The dual price after the decay of all sales since it was written."""
    faded = memory.clock[DECAY] - memory.seen[advertiser]
    return int(max(0, memory.dual[advertiser] - faded))


@njit(cache=True, nogil=True)
def remember(
    memory: Memory, caps: Caps, scope: I32, advertiser: int, value: int, relaxed: bool
) -> None:
    """Count one sale in the slot's scopes [SCOPES].

    All dual prices fall by their share of a step and the winner's rises by one, never above
    the value just sold: a higher price could not change who wins.
    """
    clock = memory.clock
    step = max(1, clock[TYPICAL] // caps.steps)
    clock[DECAY] += step * caps.share_bp // 10_000
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
def look_up_fairness(rows: Rows, scope: I32, caps: Caps, memory: Memory, page: Page) -> bool:
    """Each row's dual price and room in each slot, whose scopes are [S, SCOPES]; False when
    fairness changes nothing on the page."""
    matters = False
    slots = page.best.size
    for s in range(slots):
        for i in range(rows.advertiser.size):
            advertiser = rows.advertiser[i]
            dual = dual_now(memory, advertiser)
            page.dual[s, i] = dual
            page.room[s, i] = caps.limit - memory.held[advertiser]
            matters |= (dual != 0) | (page.room[s, i] <= slots)
    return matters


@njit(cache=True, nogil=True)
def forget_fairness(page: Page) -> None:
    page.dual[:] = 0
    page.room[:] = ENDLESS
