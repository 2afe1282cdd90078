"""What pacing leaves of the bids of a snapshot's line items, and how urgent their goals are.

Knows which plans a line item is under; not how a multiplier is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adserver.edition import Edition
from adserver.meter import Steps, count_key, money_key
from adserver.pace import Pace, Published
from adserver.plans import Planner
from auction.columns import PPM, Bids, Level
from auction.pacing import Goal, Mode, paced

I64 = NDArray[np.int64]


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
class Reader:
    """Reads what was published as the offers of an edition's line items."""

    _made_of: tuple[object, I64] = field(default_factory=lambda: (None, np.zeros(0, np.int64)))
    _place: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """[6, L] where each plan of a line item, PAYERS before COUNTED, stands among the keys;
    len(keys) if nowhere."""

    def offers(self, edition: Edition, published: Published) -> Offers:
        """A line item offers the least that any plan above it allows; its whole bid if it is to
        deliver as soon as possible."""
        snapshot, key = self._made_of
        if snapshot is not edition.snapshot or not np.array_equal(key, published.key):
            self._made_of = (edition.snapshot, published.key)
            self._place = _places(edition, published.key)
        multiplier = np.append(published.multiplier_ppm, PPM)[self._place].min(axis=0)
        multiplier[edition.overlay.items.pacing == Mode.ASAP] = PPM
        urgency = np.append(published.urgency_ppm, 0)[self._place[len(PAYERS) :]]
        return Offers(edition.version, multiplier, urgency.max(axis=0))


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

    def last(self, edition: Edition) -> Offers:
        """What was published last, for an edition that is about to serve; from any thread."""
        return Reader().offers(edition, self.pace.published)
