"""Rows that stand for themselves: one by one, or all slots at once."""

from __future__ import annotations

from numba import njit

from auction.kernels.greedy import sell_one_by_one
from auction.kernels.joint import sell_jointly
from auction.kernels.pricing import AUCTION
from auction.workspace import I64, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True)
def sell_rows(
    rows: Rows,
    low: int,
    lots: Lots,
    rules: Rules,
    mode: int,
    open_slots: int,
    relaxed: bool,
    remaining: I64,
    page: Page,
    sales: Sales,
) -> int:
    """Sell open slots to the rows that have a score in them; what stays open."""
    if rules.jointly and mode == AUCTION:
        return int(
            sell_jointly(rows, low, lots, rules, mode, open_slots, relaxed, remaining, page, sales)
        )
    return int(
        sell_one_by_one(rows, low, lots, rules, mode, open_slots, relaxed, remaining, page, sales)
    )
