"""Who leads in each slot of a page, and who comes next."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.kernels.page import NOT_BIDDING
from auction.kernels.ties import outranks
from auction.workspace import Page, Rows


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
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


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def best_open_slot(open_slots: int, page: Page) -> int:
    """The open slot whose leader scores most, the first of equals; -1 when none has a leader."""
    chosen = -1
    top = NOT_BIDDING
    for s in range(page.best.size):
        if (open_slots >> s) & 1 and page.best[s] >= 0 and page.score[s, page.best[s]] > top:
            chosen = s
            top = page.score[s, page.best[s]]
    return chosen


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def lost_a_leader(slot: int, page: Page) -> bool:
    best, second = page.best[slot], page.second[slot]
    if best < 0:
        return False
    gone = page.score[slot, best] == NOT_BIDDING
    return bool(gone or (second >= 0 and page.score[slot, second] == NOT_BIDDING))
