"""What is known only when a page is sold: why a slot stayed empty, and who lost to a deal."""

from __future__ import annotations

import numpy as np
from numba import njit

from auction.columns import Rejection
from auction.kernels.page import why_below
from auction.kernels.room import BUDGET, DUPLICATE, WON
from auction.kernels.ties import outranks
from auction.workspace import Lots, Page, Rows, Sales

NOT_IN_DEAL = int(Rejection.NOT_IN_DEAL)
OUTBID = int(Rejection.OUTBID)
LOST_TO_DEAL = int(Rejection.LOST_TO_DEAL)
NO_CANDIDATE = int(Rejection.NO_CANDIDATE)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def tell_lost_to_deals(rows: Rows, page: Page, sales: Sales) -> None:
    """Open bids that were outbid, everywhere that they could pay, by deals."""
    deals = 0
    for s in range(sales.winner.size):
        if sales.winner[s] >= 0 and rows.deal[sales.winner[s]] >= 0:
            deals |= 1 << s
    if deals == 0:
        return
    for i in range(rows.ad.size):
        if page.code[i] == OUTBID and rows.deal[i] < 0 and not page.passes[i] & ~deals:
            page.code[i] = LOST_TO_DEAL


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def why_unsold(rows: Rows, lots: Lots, slot: int, page: Page) -> int:
    """What kept the best row that holds no other slot of the page from taking an unsold one."""
    best = best_of_the_unseated(rows, lots.seed, slot, page)
    if best < 0:
        return NO_CANDIDATE if best == -1 else DUPLICATE
    if rows.refused[best] != 0:
        return int(rows.refused[best])
    if not (page.allowed[best] >> slot) & 1:
        return NOT_IN_DEAL
    if not (page.affords[best] >> slot) & 1:
        return BUDGET
    if not (page.passes[best] >> slot) & 1:
        return int(why_below(rows, lots, best, 1 << slot, page))
    return int(page.code[best])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def best_of_the_unseated(rows: Rows, seed: np.uint64, slot: int, page: Page) -> int:
    """The row that fits the slot, stands nowhere and is worth most; -2 when all that fit stand
    elsewhere, -1 when none fits."""
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
    return -2 if best < 0 and elsewhere else best
