"""The slots of a page, sold tier by tier."""

from __future__ import annotations

from numba import njit

from auction.kernels.joint import Joint
from auction.kernels.packages import sell_packages
from auction.kernels.pricing import clear_sales
from auction.kernels.scoring import begin_tier, relax
from auction.kernels.singles import sell_rows
from auction.workspace import I64, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def sell_page(
    rows: Rows,
    lots: Lots,
    rules: Rules,
    remaining: I64,
    page: Page,
    sales: Sales,
    joint: Joint | None,
) -> None:
    """Sell an opened page tier by tier inside the caps; then, past them, what would stay empty.

    The sales name rows of the page.
    """
    clear_sales(sales)
    open_slots = (1 << page.best.size) - 1
    for relaxed in (False, True):
        tier = 0
        while open_slots:
            tier = next_tier(rows, tier, page)
            if tier == 0:
                break
            mode = rules.modes[tier]
            if relaxed:
                if not relax(rows, lots, tier, mode, open_slots, page):
                    continue
            elif begin_tier(rows, lots, tier, mode, open_slots, page):
                open_slots = sell_packages(
                    rows, lots, rules, tier, open_slots, remaining, page, sales, joint
                )
            open_slots = sell_rows(
                rows, lots, rules, mode, open_slots, relaxed, remaining, page, sales, joint
            )


@njit(cache=True, nogil=True, no_cpython_wrapper=True, error_model="numpy")
def next_tier(rows: Rows, after: int, page: Page) -> int:
    """The lowest tier above this one in which a row is left; 0 when there is none."""
    lowest = 256
    for i in range(rows.tier.size):
        tier = rows.tier[i]
        if page.alive[i] and after < tier < lowest:
            lowest = tier
    return int(lowest) if lowest < 256 else 0
