"""A week of the simulated marketplace as auctions, for replays that need no log.

The simulator's ads, visits and true click rates meet the auction's columns here; predictions are
the truth with an error, as a model's would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, PPM, Bids, Level, Slots, account_of
from auction.traffic import HOURS, Curve
from feedback.replay.changes import Amount, Changes
from feedback.replay.held import DAY_S, Held
from feedback.replay.money import Money
from feedback.replay.run import Outcome, Run
from simulator.catalogue import catalogue
from simulator.contenders import Contenders, contenders
from simulator.impressions import Pools, pools_of
from simulator.visits import HOUR_WEIGHT, Visits, visits
from simulator.world import World

CHUNK = 2_000
"""Visits whose contenders are found at a time."""
BATCH = 64
"""Pages sold at a time."""
MONDAY_S = 4 * DAY_S
"""A Monday, 00:00 UTC."""
TYPICAL_MICROS = 2_000.0
"""Price of an impression, roughly."""
ERROR = 0.2
"""Standard deviation of a prediction's logarithm around the truth."""


@dataclass(frozen=True)
class Setup:
    ads: int = 5_000
    pages_per_day: int = 200_000
    one_in: int = 100
    """Of these pages, one in so many is simulated, with that part of all budgets."""
    contenders: int = 8
    """Ads per slot that fit and are scored."""
    floor_micros: int = 100_000
    seed: int = 1

    @property
    def share(self) -> float:
        return 1 / self.one_in


class Marketplace:
    """The ads of one catalogue and their budgets."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._catalogue = catalogue(World(setup.seed), setup.ads, setup.seed, MONDAY_S)

    @cached_property
    def _market(self) -> Pools:
        return pools_of(self._catalogue, MONDAY_S)

    @property
    def curve(self) -> Curve:
        """What a pacer would have learnt of the hours of a week."""
        hour = np.arange(HOURS) % len(HOUR_WEIGHT)
        return Curve(HOUR_WEIGHT[hour] / HOUR_WEIGHT.mean())

    def budgets(self) -> dict[int, int]:
        """Micros a day by account, of the whole traffic: the campaigns have one each."""
        daily = self._catalogue.campaigns.daily_budget_micros
        return {account_of(Level.CAMPAIGN, row + 1): int(daily[row]) for row in range(len(daily))}

    def week(self, number: int) -> Iterator[Held]:
        """The pages of one week, in order; weeks differ by chance alone."""
        setup = self.setup
        rng = np.random.default_rng([setup.seed, number])
        count = 7 * setup.pages_per_day // setup.one_in
        sample = visits(self._catalogue.world, rng, count)
        at_s = (sample.weekday * 24 + sample.hour + rng.random(count)) * 3600.0
        order = np.argsort(at_s)
        at_s, sample = at_s[order] + MONDAY_S + number * 7 * DAY_S, sample.rows(order)
        for start in range(0, count, CHUNK):
            part = slice(start, start + CHUNK)
            found = contenders(self._market, sample.rows(part), setup.contenders, rng)
            yield from self._batches(at_s[part], found, rng)

    def _batches(
        self, at_s: NDArray[np.float64], found: Contenders, rng: np.random.Generator
    ) -> Iterator[Held]:
        noise = np.exp(rng.normal(0, ERROR, (len(found.ad), 1)))
        ppm = np.clip(np.rint(found.truth * noise * PPM), 1, PPM).astype(np.int64)
        seed = rng.integers(0, 2**63, len(at_s)).astype(np.uint64)
        for low in range(0, len(at_s), BATCH):
            high = min(low + BATCH, len(at_s))
            page = slice(low, high)
            row = slice(found.offset[low], found.offset[high])
            offset = found.offset[low : high + 1] - found.offset[low]
            bids = self._bids(offset.astype(np.int32), found.ad[row], found.fits[row], ppm[row])
            yield Held(at_s[page], bids, self._slots(found.visit.rows(page), seed[page]))

    def _bids(
        self,
        offset: NDArray[np.int32],
        ad: NDArray[np.int32],
        fits: NDArray[np.uint32],
        ppm: NDArray[np.int64],
    ) -> Bids:
        made = self._catalogue
        item = made.ads.line_item[ad]
        campaign = made.line_items.campaign[item]
        advertiser = made.campaigns.advertiser[campaign]
        account = np.full((len(ad), LEVELS), -1, np.int32)
        for level, row in (
            (Level.ADVERTISER, advertiser),
            (Level.CAMPAIGN, campaign),
            (Level.LINE_ITEM, item),
        ):
            account[:, level] = (row + 1) * LEVELS + level
        bid = made.line_items.bid_micros[item] // MILLE * MILLE
        return Bids(
            offset=offset,
            ad=ad + 1,
            creative=ad + 1,
            advertiser=advertiser + 1,
            account=account,
            bid_micros=bid,
            per_click=made.line_items.per_click[item],
            pctr_ppm=ppm,
            slots=fits,
            rejected=np.zeros(len(ad), np.uint8),
            full_bid_micros=bid,
        )

    def _slots(self, visit: Visits, seed: NDArray[np.uint64]) -> Slots:
        """The placements of a page; a page's slots are numbered as the visit has them."""
        count = 1 + np.where(visit.placement >= 0, np.arange(visit.placement.shape[1]), -1).max(1)
        total = int(count.sum())
        return Slots(
            offset=np.concatenate([[0], np.cumsum(count)]).astype(np.int32),
            floor_micros=np.full(total, self.setup.floor_micros, np.int64),
            first_price=np.zeros(len(visit), np.bool_),
            seed=seed,
        )


def simulated_change(market: Marketplace, changes: Changes, weeks: int) -> tuple[Outcome, Outcome]:
    """The same pages sold as they would be and with a change, both paced for their budgets."""
    runs = [_run(market, one) for one in (Changes(), changes)]
    for number in range(weeks):
        for held in market.week(number):
            for run in runs:
                run.hold(held)
    before, after = (run.outcome() for run in runs)
    return before, after


def _run(market: Marketplace, changes: Changes) -> Run:
    share = market.setup.share
    daily = {
        account: int(_changed(changes.budget.get(account), micros) * share)
        for account, micros in (dict.fromkeys(changes.budget, 0) | market.budgets()).items()
    }
    return Run(changes, Money(daily, TYPICAL_MICROS, market.curve, pace=True), share)


def _changed(amount: Amount | None, micros: int) -> int:
    return micros if amount is None else int(amount.of(np.array([micros]))[0])
