"""Rows that stand for themselves: one by one, or all slots at once."""

from __future__ import annotations

from numba import njit

from auction.kernels.greedy import sell_one_by_one
from auction.kernels.joint import Joint, sell_jointly
from auction.kernels.pricing import AUCTION
from auction.workspace import I64, U32, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sell_rows(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    members: U32,
    mode: int,
    open_slots: int,
    relaxed: bool,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> int:
    """Sell open slots to the rows of a tier that have a score in them; what stays open.

    Without `joint` what VCG needs is not even compiled.
    """
    if joint is None:
        return int(
            sell_one_by_one(
                rows, lots, rules, members, mode, open_slots, relaxed, remaining, page, sales
            )
        )
    if mode != AUCTION:
        return int(
            sell_one_by_one(
                rows, lots, rules, members, mode, open_slots, relaxed, remaining, page, sales
            )
        )
    return int(
        sell_jointly(rows, lots, rules, mode, open_slots, relaxed, remaining, page, sales, joint)
    )
