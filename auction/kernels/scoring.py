"""By what the rows of a tier are compared, and who of them is in the running."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import Rejection
from auction.kernels.page import NOT_BIDDING
from auction.kernels.pricing import AUCTION
from auction.kernels.ties import draw_key
from auction.settings import Mode
from auction.workspace import U32, Lots, Page, Rows

GUARANTEED = int(Mode.GUARANTEED)
FAIRNESS = int(Rejection.FAIRNESS)
ROADBLOCK = int(Rejection.ROADBLOCK)
OUTBID = int(Rejection.OUTBID)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def score_of(rows: Rows, lots: Lots, mode: int, i: int, slot: int, page: Page) -> int:
    if mode == AUCTION:
        return int(page.rank[slot, i] - page.dual[slot, i])
    if mode == GUARANTEED:
        return int(rows.share[i])
    return int(draw_key(lots.seed, rows.ad[i], rows.share[i]))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def begin_tier(
    rows: Rows, lots: Lots, members: U32, mode: int, open_slots: int, page: Page
) -> bool:
    """Let the rows of a tier bid for what is open; True when there are packages among them.

    Of earlier tiers no row bids any more for a slot that is still open.
    """
    packages = False
    for i in members:  # selects, no branches: what a row may is as good as chance
        alive, alone = page.alive[i] != 0, rows.package[i] == 0
        chances = page.passes[i] & np.uint32(open_slots) if alive else np.uint32(0)
        inside = False
        for s in range(page.best.size):
            may = ((chances >> np.uint32(s)) & np.uint32(1) != 0) & (page.room[s, i] > 0)
            inside |= may
            score = page.rank[s, i] - page.dual[s, i]
            page.score[s, i] = score if may & alone else NOT_BIDDING
        if chances != 0:
            packages |= not alone
            code = OUTBID if alone else ROADBLOCK
            page.code[i] = code if inside else FAIRNESS
    if mode != AUCTION:
        score_otherwise(rows, lots, members, mode, page)
    return packages


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def score_otherwise(rows: Rows, lots: Lots, members: U32, mode: int, page: Page) -> None:
    """What an auction would score, as the tier scores it."""
    for i in members:
        for s in range(page.best.size):
            if page.score[s, i] != NOT_BIDDING:
                page.score[s, i] = score_of(rows, lots, mode, np.int64(i), s, page)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def relax(rows: Rows, lots: Lots, members: U32, mode: int, open_slots: int, page: Page) -> bool:
    """Let rows past a hard cap bid for slots that would otherwise stay empty."""
    found = False
    for i in members:
        chances = page.passes[i] & open_slots
        if not page.alive[i] or not chances or rows.package[i] != 0:
            continue
        found = True
        page.code[i] = OUTBID
        for s in range(page.best.size):
            if (chances >> s) & 1:
                page.score[s, i] = score_of(rows, lots, mode, np.int64(i), s, page)
    return found
