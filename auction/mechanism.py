"""Sell the slots of a batch of pages: who wins, at what price, and why everybody else did not.

Knows columns and integers; nothing of requests, creatives or how a click is predicted.

Bids per click and per thousand impressions stand on one scale (`columns`). A row's score is its
value less the dual price of its advertiser (`fairness`; 0 when off). Of one page's open slots the
pair of slot and row with the highest score is always sold next, at the least value that would
still have won it: the floor, or the best score of another advertiser plus the winner's dual price
and the increment; never above the winner's own bid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction import kernels
from auction.columns import MILLE, Bids, Slate, Slots
from auction.fairness import Exposure
from auction.settings import AuctionSettings
from auction.workspace import CLOCK, NO_CAPS, Desk, Memory, Places, Rows, Rules, Sales

MOST_SLOTS = 32
"""Slots of one request are bits of `Bids.slots`."""


def run_auction(
    bids: Bids,
    slots: Slots,
    exposure: Exposure | None,
    remaining_micros: NDArray[np.int64],
    settings: AuctionSettings,
) -> Slate:
    """Sell each page in turn; a sale lowers what its campaign, in this batch, has left.

    `remaining_micros` [C] is by campaign id and is not changed: reserve `Slate.cost_micros` in
    the ledger. A campaign beyond its end has no money. `exposure` counts each sale and covers new
    advertisers by itself. Same columns, same exposure: same slate, on any machine.
    """
    rows, places = _rows(bids), _places(slots, settings)
    _validate(rows, places)
    if exposure is not None and rows.advertiser.size:
        exposure.cover(int(rows.advertiser.max()) + 1)
    total, most_slots = places.floor.size, int(np.diff(places.offset).max(initial=0))
    desk = Desk.sized(int(np.diff(rows.offset).max(initial=0)), most_slots)
    sales, plain = Sales.sized(total), Sales.sized(total)
    rejected, reason = np.empty(rows.ad.size, np.uint8), np.empty(total, np.uint8)
    kernels.sell(
        rows,
        places,
        Rules(settings.increment_micros * MILLE, settings.advertiser_once),
        exposure.caps if exposure is not None else NO_CAPS,
        np.array(remaining_micros, np.int64),
        exposure.memory if exposure is not None else _no_memory(),
        desk,
        sales,
        plain,
        rejected,
        reason,
    )
    return Slate(
        winner=sales.winner,
        runner_up=sales.runner_up,
        clear_micros=sales.clear,
        charge_micros=sales.charge,
        reason=reason,
        rejected=rejected,
        plain_winner=plain.winner,
        plain_clear_micros=plain.clear,
        relaxed=sales.relaxed,
        cost_micros=sales.cost,
    )


def _rows(bids: Bids) -> Rows:
    return Rows(
        offset=_column(bids.offset, np.int32),
        ad=_column(bids.ad, np.int32),
        creative=_column(bids.creative, np.int32),
        advertiser=_column(bids.advertiser, np.int32),
        campaign=_column(bids.campaign, np.int32),
        bid=_column(bids.bid_micros, np.int64),
        per_click=_column(bids.per_click, np.bool_),
        ppm=_column(bids.pctr_ppm, np.int64),
        fits=_column(bids.slots, np.uint32),
        refused=_column(bids.rejected, np.uint8),
    )


def _places(slots: Slots, settings: AuctionSettings) -> Places:
    floor = np.maximum(slots.floor_micros, settings.minimum_floor_micros)
    return Places(
        offset=_column(slots.offset, np.int32),
        floor=_column(floor * MILLE, np.int64),
        first_price=_column(slots.first_price, np.bool_),
        seed=_column(slots.seed, np.uint64),
    )


def _column(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """As the kernel is compiled for (contiguous, writeable); a copy only when it is not."""
    return np.require(values, dtype, ("C", "W"))


def _no_memory() -> Memory:
    nobody = np.zeros(0, np.int64)
    return Memory(nobody, nobody, nobody, np.zeros(0, np.int32), np.zeros(CLOCK, np.int64))


def _validate(rows: Rows, places: Places) -> None:
    """Columns that do not fit together are the caller's bug; the kernel does not look twice."""
    n, slots = rows.ad.size, int(np.diff(places.offset).max(initial=0))
    lengths = {column.shape[0] for column in rows[1:]}
    if lengths != {n} or rows.offset[-1] != n or places.offset[-1] != places.floor.size:
        raise ValueError(
            f"columns of unequal length: {sorted(lengths)} rows, offsets {rows.offset}"
        )
    if not len(rows.offset) == len(places.offset) == places.seed.size + 1:
        raise ValueError("bids and slots are of different batches")
    if slots > MOST_SLOTS or rows.ppm.ndim != 2 or rows.ppm.shape[1] < slots:
        raise ValueError(f"{slots} slots, click rates of shape {rows.ppm.shape}")
    if n and rows.advertiser.min() < 0:
        raise ValueError("advertiser ids are not negative")
