"""What a page was worth against what the best ads would have been worth, by the truth.

The oracle knows every true click rate. It fills the page's slots with the ads that fit and can pay,
each ad and each advertiser once as the auction does, for the greatest sum of bid × true click rate
(bid alone where impressions are paid for); bids are the advertisers' own, not what pacing leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from adserver.edition import Edition
from auction.columns import MILLE
from simulator.catalogue import Catalogue
from simulator.market.market import Market
from simulator.market.traffic import Traffic

Choice = tuple[int, float]
"""Advertiser and value; NOBODY takes no slot."""
MIX = 0x9E3779B97F4A7C15
"""Odd constant of splitmix64."""
NOBODY: Choice = (-1, 0.0)


@dataclass(frozen=True, slots=True)
class Worth:
    """What an ad on a slot brings in micros for one impression, if the truth is known."""

    per_click: NDArray[np.bool_]
    """[N] by ad row of the market's catalogue; the same of bid, advertiser and line item."""
    bid: NDArray[np.float64]
    advertiser: NDArray[np.int32]
    line_item: NDArray[np.int32]
    secure: NDArray[np.bool_]

    @classmethod
    def of(cls, made: Catalogue) -> Worth:
        items, item = made.line_items, made.ads.line_item
        return cls(
            items.per_click[item],
            items.bid_micros[item].astype(np.float64),
            made.ad_advertiser(),
            item,
            made.ads.secure,
        )

    def __call__(self, ad: NDArray[np.integer], rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P] expected micros of ads shown once each, clicked at these true rates."""
        bid = self.bid[ad]
        value: NDArray[np.float64] = np.where(self.per_click[ad], bid * rate, bid / MILLE)
        return value


def best_values(
    market: Market, worth: Worth, traffic: Traffic, running: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[B] micros that the best choice of ads would bring on each visit.

    `running` [L]: line items whose budgets last and whose flights run.
    """
    crowd = market.crowd(traffic)
    pairs = market.fitting(traffic).pairs()
    value = worth(pairs.ad, market.truth(crowd, pairs.visit, pairs.ad, pairs.placement))
    floor = np.array([one.floor_micros for one in market.world.placement])[pairs.placement]
    may = running[worth.line_item[pairs.ad]] & worth.secure[pairs.ad] & (value * MILLE >= floor)
    slot, owner, value = pairs.slot[may], worth.advertiser[pairs.ad[may]], value[may]
    ends = np.searchsorted(pairs.visit[may], np.arange(len(traffic) + 1)).tolist()
    return np.array([best_sum(slot[a:b], owner[a:b], value[a:b]) for a, b in pairwise(ends)])


def best_sum(
    slot: NDArray[np.integer], advertiser: NDArray[np.integer], value: NDArray[np.float64]
) -> float:
    """The greatest sum of values with one row per slot at most, and one per advertiser.

    Only each slot's best rows of as many advertisers as there are slots can be in it: any other
    could give way to one of those whose advertiser stands nowhere else.
    """
    numbers = np.unique(slot).tolist()
    choices = [_leaders(advertiser[slot == n], value[slot == n], len(numbers)) for n in numbers]
    return max(map(_sum_if_apart, product(*choices)), default=0.0)


def _leaders(
    advertiser: NDArray[np.integer], value: NDArray[np.float64], most: int
) -> list[Choice]:
    leaders: dict[int, float] = {}
    for row in np.argsort(-value, kind="stable").tolist():
        leaders.setdefault(int(advertiser[row]), float(value[row]))
        if len(leaders) == most:
            break
    return [*leaders.items(), NOBODY]


def _sum_if_apart(chosen: tuple[Choice, ...]) -> float:
    owners = [owner for owner, _ in chosen if owner >= 0]
    return sum(value for _, value in chosen) if len(owners) == len(set(owners)) else 0.0


def running_line_items(edition: Edition, count: int) -> NDArray[np.bool_]:
    """[count] of the market's line items, those that the server could sell now: in flight, not
    paused, with money left. Their ids are row + 1."""
    bits = np.unpackbits(edition.overlay.live.line_item.view(np.uint8), bitorder="little")
    number = edition.snapshot.line_items.line_item_id.astype(np.int64)
    running = np.zeros(count, np.bool_)
    running[number[bits[: len(number)].astype(np.bool_)] - 1] = True
    return running


def sampled(traffic: Traffic, one_in: int) -> NDArray[np.int64]:
    """Rows of people's visits, one in so many; the same ones whatever the server does."""
    mixed = traffic.number.astype(np.uint64) * np.uint64(MIX) >> np.uint64(33)
    return np.flatnonzero((mixed % np.uint64(one_in) == 0) & ~traffic.bot)
