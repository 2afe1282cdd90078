"""Money of a row's accounts while a batch is sold."""

from __future__ import annotations

from numba import njit

from auction.columns import PPM
from auction.workspace import I32, I64

MOST_MONEY = 2**63 // PPM - 1
"""Budgets above this (nine million dollars) compare as this, which keeps products in 64 bits."""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def take_off(remaining: I64, account: I32, micros: int) -> None:
    """A sale lowers what each account of its row has left; negative: it is taken back."""
    for level in range(account.size):
        if account[level] >= 0:
            remaining[account[level]] -= micros
