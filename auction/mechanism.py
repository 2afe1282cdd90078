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
from auction.columns import LEVELS, MILLE, SCOPES, STANDARD_TIER, Bids, Slate, Slots
from auction.fairness import Exposure
from auction.kernels.joint import Joint
from auction.settings import VCG, AuctionSettings, Mode
from auction.workspace import (
    CLOCK,
    ENTRY,
    MOST_ROOM,
    NO_CAPS,
    Desk,
    Lottery,
    Memory,
    Places,
    Rows,
    Rules,
    Sales,
    Terms,
)

TIERS = 256
"""Tiers that a column could name."""
MOST_SLOTS = 32
"""Slots of one request are bits of `Bids.slots`."""


def run_auction(
    bids: Bids,
    slots: Slots,
    exposure: Exposure | Slate | None,
    remaining_micros: NDArray[np.int64],
    settings: AuctionSettings,
) -> Slate:
    """Sell each page in turn; a sale lowers what its accounts, in this batch, have left.

    `remaining_micros` [A] is by account (`account_of`); an account beyond its end has no money. It
    is unchanged when the call returns, but sales are taken off it meanwhile: share it with nobody.
    Reserve `Slate.cost_micros` in the ledger. `exposure` counts each sale. Same columns, same
    exposure: same slate, on any machine. A slate in its place holds the auction on the terms of
    fairness on which that one was, row by row, and counts nothing: a recorded page is sold as it
    was.
    """
    rows, places = _rows(bids, settings), _places(slots, settings)
    total, most_rows, most_slots = places.floor.size, _most(rows.offset), _most(places.offset)
    _validate(rows, places, most_slots)
    terms = _terms(exposure, rows, most_slots)
    if isinstance(exposure, Slate):
        exposure = None
    if exposure is not None:
        exposure.prepare(total)
    desk = Desk.sized(most_rows, most_slots)
    sales, plain = Sales.sized(total), Sales.sized(total)
    lottery = Lottery.sized(_explore(slots), total, most_rows)
    rejected, reason = np.empty(rows.ad.size, np.uint8), np.empty(total, np.uint8)
    kernels.sell(
        rows,
        places,
        _rules(settings),
        exposure.caps if exposure is not None else NO_CAPS,
        np.require(remaining_micros, np.int64, ("C", "W")),
        exposure.memory if exposure is not None else _no_memory(),
        desk,
        sales,
        plain,
        rejected,
        reason,
        terms,
        Joint.sized(most_rows, most_slots) if settings.mechanism == VCG else None,
        lottery,
    )
    return _slate(sales, plain, rejected, reason, terms, lottery)


def _slate(
    sales: Sales,
    plain: Sales,
    rejected: NDArray[np.uint8],
    reason: NDArray[np.uint8],
    terms: Terms,
    lottery: Lottery,
) -> Slate:
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
        dual=terms.dual,
        room=terms.room,
        eligible=lottery.eligible if lottery.on else None,
        among=lottery.among if lottery.on else None,
        greedy=lottery.greedy if lottery.on else None,
        explored=lottery.explored if lottery.on else None,
    )


def _most(offset: NDArray[np.int32]) -> int:
    """How many the request has that has most."""
    return int(np.diff(offset).max(initial=0))


def _terms(exposure: Exposure | Slate | None, rows: Rows, slots: int) -> Terms:
    size = rows.ad.size, slots
    if not isinstance(exposure, Slate):
        return Terms(False, np.zeros(size, np.int64), np.full(size, MOST_ROOM, np.int8))
    if exposure.dual is None or exposure.room is None:
        raise ValueError("this slate does not say on what terms it was sold")
    narrow = exposure.dual.shape[1] < size[1]
    if narrow or len(exposure.dual) != size[0] or exposure.room.shape != exposure.dual.shape:
        raise ValueError(f"terms of shape {exposure.dual.shape} for bids of shape {size}")
    return Terms(True, _column(exposure.dual, np.int64), _column(exposure.room, np.int8))


def _rows(bids: Bids, settings: AuctionSettings) -> Rows:
    rows = len(bids.ad)
    floor = _optional(bids.floor_micros, rows, -1, np.int64)
    fixed = _optional(bids.fixed_price, rows, 0, np.bool_)
    reserve = _optional(bids.reserve_micros, rows, 0, np.int64)
    return Rows(
        offset=_column(bids.offset, np.int32),
        ad=_column(bids.ad, np.int32),
        creative=_column(bids.creative, np.int32),
        advertiser=_column(bids.advertiser, np.int32),
        account=_column(bids.account, np.int32),
        bid=_column(bids.bid_micros, np.int64),
        per_click=_column(bids.per_click, np.bool_),
        ppm=_column(bids.pctr_ppm, np.int64),
        fits=_column(bids.slots, np.uint32),
        refused=_column(bids.rejected, np.uint8),
        tier=_optional(bids.tier, rows, STANDARD_TIER, np.uint8),
        share=_optional(bids.share, rows, 1, np.int64),
        weight=_weight(bids.weight_ppm, rows),
        full_bid=_column(
            bids.bid_micros if bids.full_bid_micros is None else bids.full_bid_micros, np.int64
        ),
        deal=_optional(bids.deal, rows, -1, np.int32),
        floor=np.where(floor < 0, -1, np.maximum(floor, settings.minimum_floor_micros) * MILLE),
        reserve=np.where(fixed, 0, reserve * MILLE),
        fixed=fixed,
        labels=_optional(bids.labels, rows, 0, np.uint64),
        package=_optional(bids.package, rows, 0, np.int32),
        kind=_optional(bids.package_kind, rows, 0, np.uint8),
    )


def _places(slots: Slots, settings: AuctionSettings) -> Places:
    floor = np.maximum(slots.floor_micros, settings.minimum_floor_micros)
    return Places(
        offset=_column(slots.offset, np.int32),
        floor=_column(floor * MILLE, np.int64),
        first_price=_column(slots.first_price, np.bool_),
        seed=_column(slots.seed, np.uint64),
        scope=_scope(slots),
        private=_optional(slots.private, len(floor), 0, np.bool_),
    )


def _rules(settings: AuctionSettings) -> Rules:
    modes = np.full(TIERS, Mode.AUCTION, np.uint8)
    for tier, mode in settings.modes.items():
        modes[tier] = mode
    return Rules(
        increment=settings.increment_micros * MILLE,
        advertiser_once=settings.advertiser_once,
        modes=modes,
    )


def _explore(slots: Slots) -> NDArray[np.bool_] | None:
    explore = slots.explore
    if explore is not None and len(explore) != len(slots.seed):
        raise ValueError(f"{len(explore)} requests to explore of {len(slots.seed)}")
    return None if explore is None else _column(explore, np.bool_)


def _scope(slots: Slots) -> NDArray[np.int32]:
    if slots.scope is not None:
        return _column(slots.scope, np.int32)
    scope = np.full((len(slots.floor_micros), SCOPES), -1, np.int32)
    scope[:, 0] = 0
    return scope


def _weight(weight_ppm: NDArray[np.int64] | None, rows: int) -> NDArray[np.int64]:
    return np.empty((rows, 0), np.int64) if weight_ppm is None else _column(weight_ppm, np.int64)


def _optional(
    values: NDArray[Any] | None, size: int, default: int, dtype: type[np.generic]
) -> NDArray[Any]:
    """The column, or what its absence means in every row."""
    return np.full(size, default, dtype) if values is None else _column(values, dtype)


def _column(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """As the kernel is compiled for (contiguous, writeable); a copy only when it is not."""
    if values.dtype == dtype and values.flags.carray:
        return values  # nothing to look into further: this is asked for each column
    return np.require(values, dtype, ("C", "W"))


def _no_memory() -> Memory:
    return Memory(
        entry=np.zeros((1, ENTRY), np.int64),
        used=np.zeros(1, np.int64),
        ring=np.zeros(0, np.int32),
        clock=np.zeros((1, CLOCK), np.int64),
    )


def _validate(rows: Rows, places: Places, slots: int) -> None:
    """Columns that do not fit together are the caller's bug; the kernel does not look twice."""
    n = rows.ad.size
    lengths = {column.shape[0] for column in rows[1:]}
    if lengths != {n} or rows.offset[-1] != n or places.offset[-1] != places.floor.size:
        raise ValueError(
            f"columns of unequal length: {sorted(lengths)} rows, offsets {rows.offset}"
        )
    if not len(rows.offset) == len(places.offset) == places.seed.size + 1:
        raise ValueError("bids and slots are of different batches")
    if slots > MOST_SLOTS or rows.ppm.ndim != 2 or rows.ppm.shape[1] < slots:
        raise ValueError(f"{slots} slots, click rates of shape {rows.ppm.shape}")
    if rows.account.shape != (n, LEVELS) or places.scope.shape != (places.floor.size, SCOPES):
        raise ValueError(f"accounts of shape {rows.account.shape}, scopes {places.scope.shape}")
    if n and rows.advertiser.min() < 0:
        raise ValueError("advertiser ids are not negative")
