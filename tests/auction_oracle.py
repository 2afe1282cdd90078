"""The plain auction over the columns of a batch, for comparison with the compiled one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction.columns import (
    MILLE,
    PPM,
    SCOPES,
    STANDARD_TIER,
    Bids,
    PackageKind,
    Rejection,
    Slate,
    Slots,
)
from auction.fairness_rules import MOST_RIVALS
from auction.plain import PlainPage
from auction.plain_bidder import Bidder
from auction.plain_exposure import PlainExposure
from auction.plain_lottery import could_be_drawn, drawn, drawn_slot
from auction.settings import AuctionSettings


def plain_auction(
    bids: Bids,
    slots: Slots,
    exposure: PlainExposure | None,
    remaining_micros: NDArray[np.int64],
    settings: AuctionSettings,
) -> Slate:
    """`mechanism.run_auction`, said plainly."""
    left = [int(micros) for micros in remaining_micros]
    slate = _empty_slate(len(bids.ad), len(slots.floor_micros))
    if slots.explore is not None:
        slate = replace(slate, **_no_chances(len(slots.floor_micros)))
    for request in range(len(slots.seed)):
        unfair = _page(bids, slots, request, settings, list(left))
        unfair.sell()
        page = _page(bids, slots, request, settings, left)
        scopes = _scopes(slots, request)
        if exposure is not None:
            _set_terms(page, exposure, scopes, _rivals(_page(bids, slots, request, settings, left)))
        again = _page(bids, slots, request, settings, list(left))
        again.dual, again.room = dict(page.dual), dict(page.room)
        page.sell()
        if slots.explore is not None and _explore(slate, slots, request, page, again):
            left[:] = again.left
            page = unfair = again
        _write(slate, int(slots.offset[request]), page, unfair)
        if exposure is not None:
            _remember(page, unfair, exposure, scopes)
    return slate


def _explore(slate: Slate, slots: Slots, request: int, page: PlainPage, again: PlainPage) -> bool:
    """Note the chances of a page as it was sold; sell it `again` if one of its slots is drawn."""
    could, base = could_be_drawn(again), int(slots.offset[request])
    explore = slots.explore is not None and bool(slots.explore[request])
    place = drawn_slot(could, page.seed) if explore else -1
    lucky = drawn(could[place], place, page.seed) if place >= 0 else None
    for slot, bidders in enumerate(could):
        won = page.sales[slot].winner.row if slot in page.sales else -1
        slate.eligible[base + slot] = len(bidders)
        slate.greedy[base + slot] = won
        slate.among[base + slot] = won in {b.row for b in bidders}
    if lucky is None:
        return False
    again.sell((place, lucky))
    slate.explored[base + place] = slate.among[base + place] = True
    return True


def _scopes(slots: Slots, request: int) -> list[list[int]]:
    low, high = int(slots.offset[request]), int(slots.offset[request + 1])
    if slots.scope is None:
        return [[0] + [-1] * (SCOPES - 1)] * (high - low)
    return [list(scope) for scope in slots.scope[low:high].tolist()]


def _rivals(page: PlainPage) -> list[int]:
    """By slot: advertisers that could buy it, counted as far as any rule asks."""
    for bidder in page.bidders:
        page.admit(bidder)
    rivals = [bidder for bidder in page.bidders if page.competes(bidder)]
    able = [{b.advertiser for b in rivals if t in b.passes} for t in range(len(page.floors))]
    return [min(len(advertisers), MOST_RIVALS) for advertisers in able]


def _set_terms(
    page: PlainPage, exposure: PlainExposure, scopes: list[list[int]], rivals: list[int]
) -> None:
    for slot, scope in enumerate(scopes):
        for advertiser in {bidder.advertiser for bidder in page.bidders}:
            page.dual[slot, advertiser] = exposure.dual(scope, advertiser, rivals[slot])
            page.room[slot, advertiser] = exposure.room(scope, advertiser, rivals[slot])


def _remember(
    page: PlainPage, unfair: PlainPage, exposure: PlainExposure, scopes: list[list[int]]
) -> None:
    """Count the sales; who raised a winner's score pays for what the page sold for less."""
    plain, fair = (sum(sale.clear for sale in p.sales.values()) for p in (unfair, page))
    loss = max(0, plain - fair)
    sold = [(slot, s) for slot, s in sorted(page.sales.items()) if page.competes(s.winner)]
    owing = {
        scope
        for slot, sale in sold
        for scope in scopes[slot]
        if scope in exposure.scopes and exposure.scopes[scope].boost_of(sale.winner.advertiser) > 0
    }
    for slot, sale in sold:
        for scope in scopes[slot]:
            if scope in exposure.scopes:
                exposure.scopes[scope].earn(sale.clear, loss if scope in owing else 0)
                owing.discard(scope)
        back = _held_back(page, slot, sale.winner)
        exposure.remember(sale.winner.advertiser, sale.winner.rank(slot), scopes[slot], back)


def _held_back(page: PlainPage, slot: int, winner: Bidder) -> tuple[int, int] | None:
    """Advertiser, and rank, of who would have won the slot but for a hard cap."""

    def score(bidder: Bidder) -> int:
        return bidder.rank(slot) - page.dual_of(slot, bidder)

    past = [
        bidder
        for bidder in page.bidders
        if bidder.code is Rejection.FAIRNESS
        and slot in bidder.passes
        and page.room_of(slot, bidder) <= 0
        and score(bidder) > score(winner)
    ]
    if not past:
        return None
    best = max(past, key=lambda bidder: (score(bidder), -bidder.row))
    return best.advertiser, best.rank(slot)


def _page(
    bids: Bids, slots: Slots, request: int, settings: AuctionSettings, left: list[int]
) -> PlainPage:
    low, high = int(slots.offset[request]), int(slots.offset[request + 1])
    least = settings.minimum_floor_micros
    rows = range(int(bids.offset[request]), int(bids.offset[request + 1]))
    return PlainPage(
        bidders=[_bidder(bids, row, high - low, least) for row in rows],
        floors=[max(least, int(floor)) * MILLE for floor in slots.floor_micros[low:high]],
        private=_of(slots.private, slice(low, high), [False] * (high - low)),
        first_price=bool(slots.first_price[request]),
        seed=int(slots.seed[request]),
        settings=settings,
        left=left,
        dual={},
        room={},
        scope=[tuple(scope) for scope in _scopes(slots, request)],
    )


def _bidder(bids: Bids, row: int, slots: int, least: int) -> Bidder:
    per_click = bool(bids.per_click[row])
    event = bids.pctr_ppm[row].tolist() if per_click else [PPM] * slots
    floor = _of(bids.floor_micros, row, -1)
    return Bidder(
        row=row,
        ad=int(bids.ad[row]),
        creative=int(bids.creative[row]),
        advertiser=int(bids.advertiser[row]),
        account=tuple(bids.account[row].tolist()),
        unit=_unit(int(bids.bid_micros[row]), per_click),
        event=event,
        weight=_of(bids.weight_ppm, row, event),
        fits={slot for slot in range(slots) if int(bids.slots[row]) >> slot & 1},
        refused=Rejection(int(bids.rejected[row])),
        full_unit=_unit(_of(bids.full_bid_micros, row, int(bids.bid_micros[row])), per_click),
        tier=_of(bids.tier, row, STANDARD_TIER),
        share=_of(bids.share, row, 1),
        deal=_of(bids.deal, row, -1),
        floor=max(floor, least) * MILLE if floor >= 0 else None,
        reserve=_of(bids.reserve_micros, row, 0) * MILLE,
        fixed=_of(bids.fixed_price, row, False),
        labels=_of(bids.labels, row, 0),
        package=_of(bids.package, row, 0),
        kind=PackageKind(_of(bids.package_kind, row, 0)),
    )


def _unit(bid: int, per_click: bool) -> int:
    return bid if per_click else bid // MILLE


def _of(column: NDArray[Any] | None, at: int | slice, default: Any) -> Any:
    """A place of an optional column, in plain Python."""
    return default if column is None else column[at].tolist()


def _empty_slate(rows: int, slots: int) -> Slate:
    return Slate(
        winner=np.full(slots, -1, np.int32),
        runner_up=np.full(slots, -1, np.int32),
        clear_micros=np.zeros(slots, np.int64),
        charge_micros=np.zeros(slots, np.int64),
        reason=np.zeros(slots, np.uint8),
        rejected=np.zeros(rows, np.uint8),
        plain_winner=np.full(slots, -1, np.int32),
        plain_clear_micros=np.zeros(slots, np.int64),
        relaxed=np.zeros(slots, np.bool_),
        cost_micros=np.zeros(slots, np.int64),
    )


def _no_chances(slots: int) -> dict[str, NDArray[Any]]:
    return {
        "eligible": np.zeros(slots, np.int32),
        "among": np.zeros(slots, np.bool_),
        "greedy": np.full(slots, -1, np.int32),
        "explored": np.zeros(slots, np.bool_),
    }


def _write(slate: Slate, base: int, page: PlainPage, unfair: PlainPage) -> None:
    for slot in range(len(page.floors)):
        if slot not in page.sales:
            slate.reason[base + slot] = page.why_unsold(slot)
    for slot, sale in page.sales.items():
        slate.winner[base + slot] = sale.winner.row
        slate.runner_up[base + slot] = sale.runner_up.row if sale.runner_up else -1
        slate.clear_micros[base + slot] = sale.clear
        slate.charge_micros[base + slot] = sale.charge
        slate.cost_micros[base + slot] = sale.cost
        slate.relaxed[base + slot] = sale.relaxed
    for slot, sale in unfair.sales.items():
        slate.plain_winner[base + slot] = sale.winner.row
        slate.plain_clear_micros[base + slot] = sale.clear
    for bidder in page.bidders:
        slate.rejected[bidder.row] = bidder.code
