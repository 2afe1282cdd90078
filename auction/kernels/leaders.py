"""Who leads in each slot of a page, and who comes next."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.kernels.page import NOT_BIDDING
from auction.kernels.ties import outranks
from auction.workspace import I32, I64, U32, Page


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def find_leaders(
    members: U32, scores: I64, advertiser: I32, ad: I32, seed: np.uint64
) -> tuple[int, int]:
    """Of these rows the best in a slot and the best of any other advertiser, in one scan."""
    best, second = np.int64(-1), np.int64(-1)
    top = NOT_BIDDING
    least = NOT_BIDDING + 1
    for i in members:
        score = scores[i]
        if score < least:
            continue
        if best < 0:
            best = np.int64(i)
            top = score
            continue
        rival = advertiser[i] != advertiser[best]
        if score > top or (score == top and outranks(seed, ad[i], ad[best])):
            if rival:
                second = best
                least = top
            best = np.int64(i)
            top = score
        elif rival and (second < 0 or score > least or outranks(seed, ad[i], ad[second])):
            second = np.int64(i)
            least = score
    return int(best), int(second)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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
