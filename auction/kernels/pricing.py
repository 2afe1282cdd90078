"""What the winner of a slot pays for one billable event."""

from __future__ import annotations

from numba import njit

from auction.columns import MILLE, PPM
from auction.kernels.page import event_rate, floor_of
from auction.settings import Mode
from auction.workspace import Lots, Page, Rows, Rules, Sales

AUCTION = int(Mode.AUCTION)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def weight_of(rows: Rows, i: int, slot: int) -> int:
    """Rank per micro of bid."""
    return int(rows.weight[i, slot]) if rows.weight.shape[1] > 0 else event_rate(rows, i, slot)


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def floor_price(rows: Rows, lots: Lots, i: int, slot: int) -> int:
    return int(-(-floor_of(rows, lots, i, slot) // event_rate(rows, i, slot)))


@njit(cache=True, nogil=True, inline="always", no_cpython_wrapper=True, error_model="numpy")
def pays_its_bid(rows: Rows, lots: Lots, mode: int, i: int) -> bool:
    return bool((lots.first_price or mode != AUCTION) and not rows.fixed[i])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def price_against(
    rows: Rows, lots: Lots, rules: Rules, i: int, slot: int, asked: int, page: Page
) -> int:
    """The least price at which the row's rank is `asked` and its event is worth the increment
    more: the rank's weight, quality and all, is divided out. At least the floor, at most its bid.

    Exact: asked / weight + increment / event rate, rounded up once.
    """
    event = event_rate(rows, i, slot)
    weight = weight_of(rows, i, slot)
    whole, rest = asked // weight, asked % weight
    price = whole - (-(rest * event + rules.increment * weight) // (weight * event))
    return int(min(max(price, floor_price(rows, lots, i, slot)), page.unit[i]))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def price_of_leader(rows: Rows, lots: Lots, rules: Rules, mode: int, slot: int, page: Page) -> int:
    """The critical bid of the slot's leader; its own bid where that is the rule."""
    won, second = page.best[slot], page.second[slot]
    if pays_its_bid(rows, lots, mode, won):
        return int(page.unit[won])
    if second < 0 or rows.fixed[won]:
        return int(floor_price(rows, lots, won, slot))
    asked = page.score[slot, second] + page.dual[slot, won]
    return int(price_against(rows, lots, rules, won, slot, asked, page))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def write_sale(
    rows: Rows, slot: int, won: int, second: int, charge: int, relaxed: bool, sales: Sales
) -> int:
    """Record a sale at whole micros for one event; its expected cost, rounded up.

    The clear price of a bid per click is rounded down, as its bid is when shown per thousand.
    """
    event = event_rate(rows, won, slot)
    cost = -(-(charge * event) // PPM)
    sales.winner[slot] = won
    sales.runner_up[slot] = second
    sales.clear[slot] = charge * event // MILLE
    sales.charge[slot] = charge
    sales.cost[slot] = cost
    sales.relaxed[slot] = relaxed
    return int(cost)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def clear_sales(sales: Sales) -> None:
    sales.winner[:] = -1
    sales.runner_up[:] = -1
    sales.clear[:] = 0
    sales.charge[:] = 0
    sales.cost[:] = 0
    sales.relaxed[:] = False
