"""The plain auction over the columns of a batch, for comparison with the compiled one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, PPM, Bids, Rejection, Slate, Slots
from auction.plain import Bidder, PlainExposure, PlainPage
from auction.settings import BASIS_POINTS, AuctionSettings


def plain_auction(
    bids: Bids,
    slots: Slots,
    exposure: PlainExposure | None,
    remaining_micros: NDArray[np.int64],
    settings: AuctionSettings,
) -> Slate:
    """`mechanism.run_auction`, said plainly."""
    left = [int(micros) for micros in remaining_micros]
    if exposure is not None and exposure.settings.share_bp >= BASIS_POINTS:
        exposure = None
    slate = _empty_slate(len(bids.ad), len(slots.floor_micros))
    for request in range(len(slots.seed)):
        unfair = _page(bids, slots, request, settings, list(left))
        unfair.sell()
        page = _page(bids, slots, request, settings, left)
        if exposure is not None:
            pairs = [(slot, b.advertiser) for slot in range(len(page.floors)) for b in page.bidders]
            page.dual = {pair: exposure.dual[pair[1]] for pair in pairs}
            page.room = {pair: exposure.room(pair[1]) for pair in pairs}
        page.sell()
        _write(slate, int(slots.offset[request]), page, unfair)
        for slot in range(len(page.floors)):
            if exposure is not None and slot in page.sales:
                sale = page.sales[slot]
                exposure.remember(sale.winner.advertiser, sale.winner.value[slot], sale.relaxed)
    return slate


def _page(
    bids: Bids, slots: Slots, request: int, settings: AuctionSettings, left: list[int]
) -> PlainPage:
    low, high = int(slots.offset[request]), int(slots.offset[request + 1])
    least = settings.minimum_floor_micros
    rows = range(int(bids.offset[request]), int(bids.offset[request + 1]))
    return PlainPage(
        bidders=[_bidder(bids, row, high - low) for row in rows],
        floors=[max(least, int(floor)) * MILLE for floor in slots.floor_micros[low:high]],
        first_price=bool(slots.first_price[request]),
        seed=int(slots.seed[request]),
        settings=settings,
        left=left,
        dual={},
        room={},
        scope=[(0,)] * (high - low),
    )


def _bidder(bids: Bids, row: int, slots: int) -> Bidder:
    bid, per_click = int(bids.bid_micros[row]), bool(bids.per_click[row])
    ppm = [int(rate) for rate in bids.pctr_ppm[row]]
    return Bidder(
        row=row,
        ad=int(bids.ad[row]),
        creative=int(bids.creative[row]),
        advertiser=int(bids.advertiser[row]),
        account=tuple(bids.account[row].tolist()),
        value={
            slot: bid * ppm[slot] if per_click else bid // MILLE * PPM
            for slot in range(slots)
            if int(bids.slots[row]) >> slot & 1
        },
        ppm=ppm if per_click else None,
        refused=Rejection(int(bids.rejected[row])),
    )


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
