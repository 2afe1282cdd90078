"""What the ledger does row by row."""

from __future__ import annotations

from numba import njit

from auction.workspace import I64, Flag


@njit(cache=True, nogil=True)
def reserve(
    campaign: I64, micros: I64, limit: I64, spent: I64, reserved: I64, granted: Flag
) -> None:
    """Row by row: set the whole amount aside, or nothing of it."""
    for i in range(campaign.size):
        c = campaign[i]
        known = 0 <= c < limit.size and micros[i] >= 0
        granted[i] = known and micros[i] <= limit[c] - spent[c] - reserved[c]
        if granted[i]:
            reserved[c] += micros[i]
