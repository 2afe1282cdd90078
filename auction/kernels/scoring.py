"""By what the rows of a tier are compared, and who of them is in the running."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import Rejection
from auction.kernels.page import NOT_BIDDING
from auction.kernels.pricing import AUCTION
from auction.kernels.ties import draw_key
from auction.settings import Mode
from auction.workspace import Lots, Page, Rows

GUARANTEED = int(Mode.GUARANTEED)
FAIRNESS = int(Rejection.FAIRNESS)
ROADBLOCK = int(Rejection.ROADBLOCK)
OUTBID = int(Rejection.OUTBID)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def score_of(rows: Rows, lots: Lots, mode: int, i: int, slot: int, page: Page) -> int:
    if mode == AUCTION:
        return int(page.rank[slot, i] - page.dual[slot, i])
    if mode == GUARANTEED:
        return int(rows.share[i])
    return int(draw_key(lots.seed, rows.ad[i], rows.share[i]))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def begin_tier(rows: Rows, lots: Lots, tier: int, mode: int, open_slots: int, page: Page) -> bool:
    """Let the rows of a tier bid for what is open; True when there are packages among them."""
    page.inside[:] = 0
    for s in range(page.best.size):
        if (open_slots >> s) & 1:
            enter_slot(rows, tier, s, page)
            if mode != AUCTION:
                score_slot(rows, lots, mode, s, page)
    packages = False
    for i in range(rows.tier.size):
        if rows.tier[i] == tier and page.alive[i] and page.passes[i] & open_slots:
            code = OUTBID if rows.package[i] == 0 else ROADBLOCK
            packages |= rows.package[i] != 0
            page.code[i] = code if page.inside[i] else FAIRNESS
    return packages


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def enter_slot(rows: Rows, tier: int, slot: int, page: Page) -> None:
    """Score what an auction would; without branches, so that it runs several rows at a time."""
    bit, none = np.uint32(1 << slot), np.uint32(0)
    score, rank, dual, room = page.score[slot], page.rank[slot], page.dual[slot], page.room[slot]
    for i in range(score.size):
        may = (rows.tier[i] == tier) & page.alive[i] & (page.passes[i] & bit != 0) & (room[i] > 0)
        page.inside[i] |= bit if may else none
        alone = may & (rows.package[i] == 0)
        score[i] = rank[i] - dual[i] if alone else NOT_BIDDING


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def score_slot(rows: Rows, lots: Lots, mode: int, slot: int, page: Page) -> None:
    score = page.score[slot]
    for i in range(score.size):
        if score[i] != NOT_BIDDING:
            score[i] = score_of(rows, lots, mode, i, slot, page)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def relax(rows: Rows, lots: Lots, tier: int, mode: int, open_slots: int, page: Page) -> bool:
    """Let rows past a hard cap bid for slots that would otherwise stay empty."""
    found = False
    for i in range(rows.tier.size):
        chances = page.passes[i] & open_slots
        if rows.tier[i] != tier or not page.alive[i] or not chances or rows.package[i] != 0:
            continue
        found = True
        page.code[i] = OUTBID
        for s in range(page.best.size):
            if (chances >> s) & 1:
                page.score[s, i] = score_of(rows, lots, mode, i, s, page)
    return found
