"""What a cap on shares would give and cost: the same auctions sold again under other caps.

Bids stay as they are: what advertisers would bid under another cap, nobody knows. Knows columns,
not where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, Bids, Slate, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings
from feedback.spread import Spread, greatest_share, spread

CAPS = (1.0, 0.5, 0.25, 0.15, 0.1, 0.05)
Auctions = Iterable[tuple[Bids, Slots]]
"""In the order in which they were held; gone through once per cap."""
NEVER = 10**15
"""Sales that a dual price would need to reach the median: the hard limit stands alone."""
ENOUGH = 1 << 60
"""Money that no account runs out of, so that caps alone make the difference."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All auctions under one cap. Money in micros per thousand impressions, summed over sales."""

    cap: float
    hard_only: bool
    """The limit alone, without the dual price that lets a giant win where it is worth most."""
    slots: int
    sales: int
    relaxed: int
    welfare_micros: int
    """What the winners would have paid at most."""
    revenue_micros: int
    rebated_micros: int
    """Revenue when each winner is given back the dual price in it. It raises revenue only as long
    as bids do not answer to it."""
    spread: Spread
    worst_share: float
    """Largest share of any advertiser in any whole window after the first two."""


def frontier(
    auctions: Auctions, window: int, caps: Iterable[float] = CAPS, hard: bool = True
) -> tuple[Outcome, ...]:
    """One outcome per cap by the dual price; with `hard`, one by the hard limit alone as well."""
    runs = [(cap, alone) for cap, alone in product(caps, (False, True)[: 1 + hard])]
    return tuple(
        sell_again(auctions, cap, window, alone) for cap, alone in runs if cap < 1 or not alone
    )


def sell_again(auctions: Auctions, cap: float, window: int, hard_only: bool = False) -> Outcome:
    caps = FairnessSettings(max_share=cap, window=window)
    exposure = Exposure(replace(caps, steps=NEVER) if hard_only else caps)
    return outcome(_sold(auctions, exposure), exposure, hard_only)


def outcome(
    sold: Iterable[tuple[Bids, Slots, Slate]], exposure: Exposure, hard_only: bool
) -> Outcome:
    winners, worth, paid, rebates = [], 0, 0, 0
    slots = 0
    for bids, places, slate in sold:
        won = slate.winner >= 0
        slots += len(won)
        winners.append(bids.advertiser[slate.winner[won]])
        worth += int(value_of(bids, places, slate).sum())
        paid += int(slate.clear_micros.sum())
        rebates += int(rebate_of(bids, places, slate).sum())
    sales = np.concatenate(winners) if winners else np.zeros(0, np.int32)
    window = exposure.settings.window
    return Outcome(
        cap=exposure.settings.max_share,
        hard_only=hard_only,
        slots=slots,
        sales=len(sales),
        relaxed=exposure.relaxed,
        welfare_micros=worth,
        revenue_micros=paid,
        rebated_micros=paid - rebates,
        spread=spread(np.bincount(sales)[1:].astype(np.int64)),
        worst_share=greatest_share(sales[2 * window :], window),
    )


def _sold(auctions: Auctions, exposure: Exposure) -> Iterator[tuple[Bids, Slots, Slate]]:
    settings, money = AuctionSettings(), np.zeros(0, np.int64)
    for bids, slots in auctions:
        accounts = int(bids.account.max(initial=0)) + 1
        if accounts > len(money):
            money = np.full(2 * accounts, ENOUGH)
        yield bids, slots, run_auction(bids, slots, exposure, money, settings)


def value_of(bids: Bids, slots: Slots, slate: Slate) -> NDArray[np.int64]:
    """[sales] what the winners offered, micros per thousand impressions."""
    row, place = _won(slots, slate)
    per_click = bids.bid_micros[row] * bids.pctr_ppm[row, place] // MILLE
    worth: NDArray[np.int64] = np.where(bids.per_click[row], per_click, bids.bid_micros[row])
    return worth


def rebate_of(bids: Bids, slots: Slots, slate: Slate) -> NDArray[np.int64]:
    """[sales] at most this much of the price is the winner's own dual price."""
    row, place = _won(slots, slate)
    if slate.dual is None:
        return np.zeros(len(row), np.int64)
    sold = slate.winner >= 0
    above = np.maximum(slate.clear_micros[sold] - slots.floor_micros[sold], 0)
    dual = np.maximum(slate.dual[row, place], 0) // MILLE
    return np.asarray(np.minimum(dual, above), np.int64)


def _won(slots: Slots, slate: Slate) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Row, and slot within its request, of each sale."""
    sold = np.flatnonzero(slate.winner >= 0)
    request = np.searchsorted(slots.offset, sold, side="right") - 1
    return slate.winner[sold], sold - slots.offset[request]
