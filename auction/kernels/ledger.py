"""What the ledger does row by row."""

from __future__ import annotations

from numba import njit

from auction.workspace import I32, I64, Flag


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def reserve(
    account: I32,
    micros: I64,
    limited: Flag,
    free: I64,
    left: I64,
    held: I64,
    used: I64,
    granted: Flag,
    payer: I64,
) -> None:
    """Row by row: set the whole amount aside on all levels, or nothing of it on any."""
    for i in range(account.shape[0]):
        amount = micros[i]
        enough = amount >= 0
        for level in range(account.shape[1]):
            a = account[i, level]
            if a >= limited.size or (a >= 0 and limited[a] and free[a] < amount):
                enough = False
        granted[i] = enough
        for level in range(account.shape[1]):
            a = account[i, level]
            payer[i, level] = -1
            if enough and a >= 0 and limited[a]:
                payer[i, level] = a
                free[a] -= amount
                left[a] -= amount
                held[a] += amount
                used[a] += amount
