"""The auction of a whole batch as one compiled pass over columns.

Knows rows, slots and integers only. `auction.plain` says the same readably, one sale at a time,
and the tests hold the two equal. The loops release the GIL; only packages allocate per page.
"""

from __future__ import annotations

from numba import njit

from auction.kernels.accounts import take_off
from auction.kernels.exploring import (
    could_be_drawn,
    draw,
    draw_slot,
    note_chances,
    sell_by_lot,
    take_back,
)
from auction.kernels.exposure import (
    count_rivals,
    forget_fairness,
    look_up_fairness,
    remember_page,
)
from auction.kernels.joint import Joint
from auction.kernels.page import keep_opening, open_page, price_in, reopen_page
from auction.kernels.reasons import tell_lost_to_deals, why_unsold
from auction.kernels.room import WON
from auction.kernels.terms import given_terms, keep_terms
from auction.kernels.tiers import sell_page, sort_by_tier
from auction.workspace import (
    I64,
    Caps,
    Code,
    Desk,
    Lots,
    Lottery,
    Memory,
    Page,
    Places,
    Rows,
    Rules,
    Sales,
    Terms,
)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def rows_of(rows: Rows, low: int, high: int) -> Rows:
    """The rows of one request; views, so that the loops over them count from 0."""
    return Rows(
        rows.offset,
        rows.ad[low:high],
        rows.creative[low:high],
        rows.advertiser[low:high],
        rows.account[low:high],
        rows.bid[low:high],
        rows.per_click[low:high],
        rows.ppm[low:high],
        rows.fits[low:high],
        rows.refused[low:high],
        rows.tier[low:high],
        rows.share[low:high],
        rows.weight[low:high],
        rows.full_bid[low:high],
        rows.deal[low:high],
        rows.floor[low:high],
        rows.reserve[low:high],
        rows.fixed[low:high],
        rows.labels[low:high],
        rows.package[low:high],
        rows.kind[low:high],
    )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def sales_of(sales: Sales, base: int, end: int) -> Sales:
    return Sales(
        sales.winner[base:end],
        sales.runner_up[base:end],
        sales.clear[base:end],
        sales.charge[base:end],
        sales.cost[base:end],
        sales.relaxed[base:end],
    )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def blank_page(desk: Desk, slots: int, n: int, weighed: bool) -> Page:
    """Work space for one request, laid out without gaps on the desk of the batch."""
    rank = desk.rank if weighed else desk.value
    return Page(
        desk.unit[:n],
        desk.value[: slots * n].reshape(slots, n),
        rank[: slots * n].reshape(slots, n),
        desk.score[: slots * n].reshape(slots, n),
        desk.passes[:n],
        desk.allowed[:n],
        desk.affords[:n],
        desk.order[:n],
        desk.alive[:n],
        desk.most[:n],
        desk.dual[: slots * n].reshape(slots, n),
        desk.room[: slots * n].reshape(slots, n),
        desk.code[:n],
        desk.best[:slots],
        desk.second[:slots],
        desk.rivals[:slots],
        desk.known,
        desk.kept[: 4 * n].reshape(4, n),
    )


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def sell(
    rows: Rows,
    places: Places,
    rules: Rules,
    caps: Caps,
    remaining: I64,
    memory: Memory,
    desk: Desk,
    sales: Sales,
    plain: Sales,
    rejected: Code,
    reason: Code,
    terms: Terms,
    joint: Joint | None,
    lottery: Lottery,
) -> None:
    """Sell the pages of a batch in order; `memory` moves on with each page.

    So does `remaining`, until the end: then it is again what it was.
    """
    for request in range(places.offset.size - 1):
        low, high = rows.offset[request], rows.offset[request + 1]
        base, end = places.offset[request], places.offset[request + 1]
        here = rows_of(rows, low, high)
        lots = Lots(
            places.floor[base:end],
            places.first_price[request],
            places.seed[request],
            places.scope[base:end],
            places.private[base:end],
        )
        page = blank_page(desk, end - base, high - low, rows.weight.shape[1] > 0)
        sold, unfair = sales_of(sales, base, end), sales_of(plain, base, end)
        price_in(here, remaining, page)
        forget_fairness(page)
        open_page(here, lots, page)
        living = sort_by_tier(here.tier, page.alive, desk.by_tier, page.order)
        order = page.order[:living]
        if caps.on:
            count_rivals(here, rules.modes, page)
        if caps.on or terms.given or lottery.on:
            keep_opening(page)
        sell_page(here, lots, rules, order, remaining, page, unfair, joint)
        if terms.given:
            matters = given_terms(terms, low, page)
        else:
            matters = caps.on and look_up_fairness(
                here, lots.scope, rules.modes, caps, memory, page
            )
        if matters and not terms.given:
            keep_terms(terms, low, page)
        could = lottery.could
        if lottery.on:
            could = could_be_drawn(here, lots, rules, order, page, lottery.could)
        if matters:
            take_back(here, unfair, remaining)
            reopen_page(page)
            sell_page(here, lots, rules, order, remaining, page, sold, joint)
        else:
            copy_sales(unfair, sold)
        if lottery.on:
            note_chances(could, sold, base, low, lottery)
            place = draw_slot(could, end - base, lots.seed) if lottery.explore[request] else -1
            drawn = draw(could, place, lots.seed)
            if drawn >= 0:
                take_back(here, sold, remaining)
                given_terms(terms, low, page)
                reopen_page(page)
                sell_by_lot(here, lots, rules, order, place, drawn, remaining, page, sold, joint)
                copy_sales(sold, unfair)  # of fairness such a page says nothing
                lottery.explored[base + place] = True
                lottery.among[base + place] = True
        tell_lost_to_deals(here, page, sold)
        for i in range(high - low):
            rejected[low + i] = page.code[i]
        for s in range(end - base):
            if sold.winner[s] < 0:
                reason[base + s] = why_unsold(here, lots, s, page)
                continue
            reason[base + s] = WON
        if caps.on:
            remember_page(here, lots.scope, rules.modes, caps, memory, page, sold, unfair)
        name_rows(sold, low)
        name_rows(unfair, low)
    for t in range(sales.winner.size):
        if sales.winner[t] >= 0:
            take_off(remaining, rows.account[sales.winner[t]], -sales.cost[t])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def copy_sales(source: Sales, target: Sales) -> None:
    for s in range(source.winner.size):
        target.winner[s] = source.winner[s]
        target.runner_up[s] = source.runner_up[s]
        target.clear[s] = source.clear[s]
        target.charge[s] = source.charge[s]
        target.cost[s] = source.cost[s]
        target.relaxed[s] = source.relaxed[s]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def name_rows(sales: Sales, low: int) -> None:
    """Rows of the page, which begins at `low`, become rows of the batch."""
    for s in range(sales.winner.size):
        if sales.winner[s] >= 0:
            sales.winner[s] += low
        if sales.runner_up[s] >= 0:
            sales.runner_up[s] += low
