"""The slots of a page, sold tier by tier."""

from __future__ import annotations

from numba import njit

from auction.kernels.joint import Joint
from auction.kernels.packages import sell_packages
from auction.kernels.pricing import clear_sales
from auction.kernels.scoring import begin_tier, relax
from auction.kernels.singles import sell_rows
from auction.workspace import I64, U32, Code, Flag, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def sell_page(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    order: U32,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> None:
    """Sell an opened page: all its slots."""
    clear_sales(sales)
    open_slots = (1 << page.best.size) - 1
    sell_open(rows, lots, rules, order, open_slots, remaining, page, sales, joint)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sell_open(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    order: U32,
    open_slots: int,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> None:
    """Sell these slots tier by tier inside the caps; then, past them, what would stay empty.

    `order` is that of `sort_by_tier`. The sales name rows of the page.
    """
    for relaxed in (False, True):
        end = 0
        while open_slots and end < order.size:
            begin, tier = end, rows.tier[order[end]]
            while end < order.size and rows.tier[order[end]] == tier:
                end += 1
            members = order[begin:end]
            mode = rules.modes[tier]
            if relaxed:
                if not relax(rows, lots, members, mode, open_slots, page):
                    continue
            elif begin_tier(rows, lots, members, mode, open_slots, page):
                open_slots = sell_packages(
                    rows, lots, rules, members, tier, open_slots, remaining, page, sales, joint
                )
            open_slots = sell_rows(
                rows, lots, rules, members, mode, open_slots, relaxed, remaining, page, sales, joint
            )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sort_by_tier(tier: Code, alive: Flag, count: I64, order: U32) -> int:
    """Fill `order` with the living rows, tier by tier, in each as they come; how many they are.

    `count` [256] is work space. Nothing is sold in tier 0.
    """
    count[:] = 0
    for i in range(tier.size):
        count[tier[i]] += alive[i]
    place = 0
    count[0] = tier.size
    for t in range(1, count.size):
        count[t], place = place, place + count[t]
    for i in range(tier.size):
        if alive[i] and tier[i] != 0:
            order[count[tier[i]]] = i
            count[tier[i]] += 1
    return place
