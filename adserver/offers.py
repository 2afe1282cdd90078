"""Between catalogue and pacer: budgets become plans, multipliers become line items' bids.

Knows where the catalogue keeps goals and periods; not how a multiplier is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adserver.edition import Edition
from adserver.meter import Steps, count_key, money_key
from adserver.pace import Pace, Published
from auction.columns import MILLE, PPM, Bids, Level
from auction.pacing import Goal, Mode, Plans, paced

I64 = NDArray[np.int64]

DAY_S = 86_400
USUAL = 0.5
"""Price over bid that a plan's steps assume until it knows: second prices are about half."""


PAYERS = (Level.ADVERTISER, Level.CAMPAIGN, Level.LINE_ITEM)
COUNTED = (Goal.IMPRESSIONS, Goal.VIEWABLE, Goal.CLICKS)


@dataclass(frozen=True, slots=True)
class Offers:
    """What each line item of one snapshot offers now; replaced once a second, never edited."""

    version: int
    """Of the snapshot; -1: of none, everybody offers its whole bid."""
    multiplier_ppm: I64
    """[L] millionths of the bid, by line item row."""
    urgency_ppm: I64
    """[L] of the most urgent goal of the line item; 0 where it has none left to meet."""


FULL_BIDS = Offers(-1, np.zeros(0, np.int64), np.zeros(0, np.int64))


def offered(bids: Bids, edition: Edition, offers: Offers) -> Bids:
    """The bids as offered now, the whole ones beside them; whole where the offers are of another
    snapshot. A line item with goals to meet shares a guaranteed tier by its urgency."""
    if offers.version != edition.version:
        return bids
    line_item = edition.snapshot.ads.line_item[bids.ad]
    multiplier, urgency = offers.multiplier_ppm[line_item], offers.urgency_ppm[line_item]
    full = bids.bid_micros
    held = np.flatnonzero(multiplier < PPM)
    if held.size:
        bid = full.copy()
        bid[held] = paced(full[held], bids.per_click[held], multiplier[held])
        bids = replace(bids, bid_micros=bid, full_bid_micros=full)
    if urgency.any():
        share = np.zeros_like(urgency) if bids.share is None else bids.share
        bids = replace(bids, share=np.where(urgency > 0, urgency, share))
    return bids


@dataclass(slots=True)
class Planner:
    """The plans of an edition's budgets; the same object as long as nothing has changed."""

    mode: Mode
    _made_of: tuple[object, ...] = ()
    _plans: Plans = field(default_factory=Plans.none)

    def plans(self, edition: Edition, now_s: float) -> Plans:
        overlay, day = edition.overlay, int(now_s // DAY_S)
        made_of = (edition.snapshot, overlay.budget, overlay.bid_micros, day)
        if not _same(made_of, self._made_of):
            self._made_of, self._plans = made_of, daily_plans(edition, self.mode, day)
        return self._plans


def _same(now: tuple[object, ...], then: tuple[object, ...]) -> bool:
    """Arrays are replaced, never edited, so being the same object is being equal; days are not."""
    return (
        len(now) == len(then)
        and now[-1] == then[-1]
        and all(a is b for a, b in zip(now[:-1], then[:-1], strict=True))
    )


def daily_plans(edition: Edition, mode: Mode, day: int) -> Plans:
    """Every campaign spends its budget of the day over that UTC day."""
    budget = edition.overlay.budget
    campaign = np.flatnonzero(budget > 0)
    count = len(campaign)
    return Plans(
        key=money_key(Level.CAMPAIGN, campaign),
        kind=np.full(count, Goal.SPEND, np.uint8),
        amount=budget[campaign],
        unit=_usual_price(edition, len(budget))[campaign],
        mode=np.full(count, mode, np.uint8),
        period=np.full(count, day, np.int64),
        start_s=np.full(count, day * DAY_S, np.float64),
        end_s=np.full(count, (day + 1) * DAY_S, np.float64),
    )


def _usual_price(edition: Edition, campaigns: int) -> NDArray[np.float64]:
    """[C] micros that one event of the campaign's ads usually costs, by campaign id."""
    ads, bid = edition.snapshot.ads, edition.overlay.bid_micros
    cost = USUAL * np.where(ads.per_click, bid, bid / MILLE)
    total = np.bincount(ads.campaign, cost, campaigns)[:campaigns]
    count = np.bincount(ads.campaign, minlength=campaigns)[:campaigns]
    return np.maximum(1.0, total / np.maximum(count, 1))


@dataclass(slots=True)
class Reader:
    """Reads what was published as the offers of an edition's line items."""

    _made_of: tuple[object, I64] = field(default_factory=lambda: (None, np.zeros(0, np.int64)))
    _place: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """[6, L] where each plan of a line item, PAYERS before COUNTED, stands among the keys;
    len(keys) if nowhere."""

    def offers(self, edition: Edition, published: Published) -> Offers:
        """A line item offers the least that any plan above it allows."""
        snapshot, key = self._made_of
        if snapshot is not edition.snapshot or not np.array_equal(key, published.key):
            self._made_of = (edition.snapshot, published.key)
            self._place = _places(edition, published.key)
        multiplier = np.append(published.multiplier_ppm, PPM)[self._place]
        urgency = np.append(published.urgency_ppm, 0)[self._place[len(PAYERS) :]]
        return Offers(edition.version, multiplier.min(axis=0), urgency.max(axis=0))


def _places(edition: Edition, key: I64) -> I64:
    items = edition.snapshot.line_items
    line_item = items.line_item_id.astype(np.int64)
    owners: list[I64] = [items.advertiser.astype(np.int64), items.campaign.astype(np.int64)]
    paid = [
        money_key(level, number) for level, number in zip(PAYERS, [*owners, line_item], strict=True)
    ]
    wanted = np.array(paid + [count_key(line_item, goal) for goal in COUNTED])
    place = np.searchsorted(key, wanted)
    found = np.append(key, -1)[place] == wanted
    where: I64 = np.where(found, place, len(key)).astype(np.int64)
    return where


@dataclass(slots=True)
class Pacing:
    """One worker's pacing, from budgets to offers; `beat` is called from one thread at a time."""

    pace: Pace
    planner: Planner
    reader: Reader = field(default_factory=Reader)

    def beat(self, edition: Edition, now_s: float, requests: int, steps: Steps) -> Offers:
        """Take part in the second that has passed; what to offer in the next one."""
        plans = self.planner.plans(edition, now_s)
        return self.reader.offers(edition, self.pace.beat(now_s, requests, steps, plans))
