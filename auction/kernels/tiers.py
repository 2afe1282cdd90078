"""The slots of a page, sold tier by tier."""

from __future__ import annotations

from numba import njit

from auction.kernels.packages import sell_packages
from auction.kernels.pricing import clear_sales
from auction.kernels.scoring import begin_tier, relax
from auction.kernels.singles import sell_rows
from auction.workspace import I64, Lots, Page, Rows, Rules, Sales


@njit(cache=True, nogil=True)
def sell_page(
    rows: Rows, low: int, lots: Lots, rules: Rules, remaining: I64, page: Page, sales: Sales
) -> None:
    """Sell an opened page tier by tier inside the caps; then, past them, what would stay empty."""
    clear_sales(sales)
    open_slots = (1 << page.best.size) - 1
    tier = next_tier(rows, 0, page)
    while tier > 0 and open_slots:
        mode = rules.modes[tier]
        if begin_tier(rows, lots, tier, mode, open_slots, page):
            open_slots = sell_packages(
                rows, low, lots, rules, tier, open_slots, remaining, page, sales
            )
        open_slots = sell_rows(
            rows, low, lots, rules, mode, open_slots, False, remaining, page, sales
        )
        tier = next_tier(rows, tier, page)
    tier = next_tier(rows, 0, page) if open_slots else 0
    while tier > 0 and open_slots:
        mode = rules.modes[tier]
        if relax(rows, lots, tier, mode, open_slots, page):
            open_slots = sell_rows(
                rows, low, lots, rules, mode, open_slots, True, remaining, page, sales
            )
        tier = next_tier(rows, tier, page)


@njit(cache=True, nogil=True)
def next_tier(rows: Rows, after: int, page: Page) -> int:
    """The lowest tier above this one in which a row is left; 0 when there is none."""
    lowest = 256
    for i in range(rows.tier.size):
        tier = rows.tier[i]
        if page.alive[i] and after < tier < lowest:
            lowest = tier
    return int(lowest) if lowest < 256 else 0
