"""What may no longer win beside a row that has just won."""

from __future__ import annotations

from numba import njit

from auction.columns import PPM, Rejection
from auction.kernels.accounts import money_of
from auction.kernels.page import NOT_BIDDING, may_win, silence
from auction.workspace import I32, I64, Lots, Page, Rows, Rules

WON = int(Rejection.WON)
BUDGET = int(Rejection.BUDGET)
EXCLUSION = int(Rejection.EXCLUSION)
DUPLICATE = int(Rejection.DUPLICATE)
FAIRNESS = int(Rejection.FAIRNESS)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def seat(won: int, page: Page) -> None:
    """The row stands on the page; it bids for nothing else."""
    page.alive[won] = False
    page.code[won] = WON
    silence(page, won)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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
    """Take out what repeats the seated winner or competes with it, or can no longer pay."""
    ad, creative, labels = rows.ad[won], rows.creative[won], rows.labels[won]
    advertiser, account = rows.advertiser[won], rows.account
    joined = joined_slots(lots.scope, slot)
    for i in range(rows.ad.size):
        kin = rows.advertiser[i] == advertiser
        same = (rows.ad[i] == ad) | (rows.creative[i] == creative)
        rival = (rows.labels[i] & labels) != 0
        payer = False
        for level in range(account.shape[1]):
            payer |= (account[i, level] >= 0) & (account[i, level] == account[won, level])
        if not (kin | same | rival | payer) or not page.alive[i]:
            continue
        if same or rival or (kin and rules.advertiser_once):
            page.alive[i] = False
            silence(page, i)
            if page.passes[i] & open_slots:
                page.code[i] = DUPLICATE if same else EXCLUSION
            continue
        if payer:
            tighten(i, money_of(remaining, account[i]) * PPM, open_slots, page)
        if kin:
            use_room(i, joined, open_slots, relaxed, page)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def joined_slots(scope: I32, slot: int) -> int:
    """Bits of the slots that count their exposure together with this one, itself included."""
    joined = 1 << slot
    for s in range(scope.shape[0]):
        for k in range(scope.shape[1]):
            if scope[s, k] >= 0 and scope[s, k] == scope[slot, k]:
                joined |= 1 << s
    return joined


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def use_room(i: int, joined: int, open_slots: int, relaxed: bool, page: Page) -> None:
    """A sale to the row's advertiser: one less in each slot that counts it."""
    for s in range(page.best.size):
        if (joined >> s) & 1:
            page.room[s, i] -= 1
            if page.room[s, i] == 0 and not relaxed:
                page.score[s, i] = NOT_BIDDING
    left = page.passes[i] & open_slots
    if not relaxed and page.alive[i] and left and not may_win(i, open_slots, page):
        page.code[i] = FAIRNESS
