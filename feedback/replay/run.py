"""Held auctions sold again, with what somebody wants to try, and what came of it.

Everything goes through `run_auction`, `Pacer` and `Exposure` as they serve. What cannot be known
from a log stays as it was: who was eligible, what a click is worth, how other servers bid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import FairnessSettings
from feedback.replay.changes import Changes
from feedback.replay.held import HOUR_S, Held, Sales, in_steps, joined, sales_of
from feedback.replay.money import Money

RESAMPLES = 400
STEP_S = 300.0
"""Pages of no more than this time are sold between two looks at the money."""


@dataclass(slots=True)
class Outcome:
    """What was sold in a run."""

    sales: Sales
    pages: int
    slots: int
    hours: NDArray[np.int64]
    """Hours of the clock that have pages, ascending."""
    ended: dict[int, list[float]] = field(default_factory=dict)
    """By account, the hours at which a day's money was gone."""
    share: float = 1.0
    """Part of all traffic that was replayed; totals are divided by it."""

    @property
    def spent_micros(self) -> int:
        return int(self.sales.cost.sum())

    @property
    def value_micros(self) -> int:
        return int(self.sales.value.sum())

    def by_line_item(self, most: int) -> dict[str, NDArray[np.float64]]:
        """[most] impressions, clicks, spend and value of each line item, scaled to all traffic."""
        sales = self.sales
        columns = {"impressions": None, "clicks": sales.click_ppm / 1e6}
        columns |= {"spend": sales.cost / 1e6, "value": sales.value / 1e6}
        return {
            name: np.bincount(sales.line_item, weight, most)[:most] / self.share
            for name, weight in columns.items()
        }


class Run:
    """One replay: give it the pages in order with `hold`, then ask for `outcome`."""

    def __init__(self, changes: Changes, money: Money, share: float) -> None:
        self._changes, self._money, self._share = changes, money, share
        self._exposure = Exposure(FairnessSettings(changes.cap)) if changes.cap else None
        self._sales: list[Sales] = []
        self._hours: set[int] = set()
        self._pages = self._slots = 0

    def hold(self, held: Held) -> None:
        """Sell these pages; on the terms of fairness on which they were, unless a cap is tried."""
        for part in in_steps(held, STEP_S):
            self._sell(part)
        self._note(held)

    def _sell(self, held: Held) -> None:
        money, now_s = self._money, float(held.at_s[0])
        money.cover(held.bids)
        money.turn(now_s)
        bids, slots = self._changes.bids(held.bids), self._changes.slots(held.slots)
        bids = replace(bids, bid_micros=money.offered(bids), full_bid_micros=bids.full_bid_micros)
        terms = self._exposure or (held.slate if has_terms(held) else None)
        slate = run_auction(bids, slots, terms, money.left, self._changes.rules)
        sold = np.flatnonzero(slate.winner >= 0)
        money.pay(bids, slate.winner[sold], slate.cost_micros[sold], now_s)
        self._sales.append(sales_of(held, bids, slate))

    def _note(self, held: Held) -> None:
        self._pages += len(held)
        self._slots += len(held.slots.floor_micros)
        self._hours.update((held.at_s // HOUR_S).astype(np.int64).tolist())

    def outcome(self) -> Outcome:
        return Outcome(
            sales=joined(self._sales),
            pages=self._pages,
            slots=self._slots,
            hours=np.array(sorted(self._hours), np.int64),
            ended=self._money.ended,
            share=self._share,
        )


def has_terms(held: Held) -> bool:
    return held.slate is not None and held.slate.dual is not None


def as_recorded(log: Iterable[Held], share: float) -> Outcome:
    """What was sold at the time."""
    sales, hours, pages, slots = [], set(), 0, 0
    for held in log:
        if held.slate is not None:
            sales.append(sales_of(held, held.bids, held.slate))
        hours.update((held.at_s // HOUR_S).astype(np.int64).tolist())
        pages, slots = pages + len(held), slots + len(held.slots.floor_micros)
    return Outcome(joined(sales), pages, slots, np.array(sorted(hours), np.int64), {}, share)


def resampled(
    outcome: Outcome,
    weight: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """[RESAMPLES] totals of `weight` [W] over the chosen sales, had other hours like these come.

    A bootstrap by hours (Künsch 1989, blocks): pages of an hour resemble each other. Scaled to all
    traffic.
    """
    place = np.searchsorted(outcome.hours, (outcome.sales.at_s[chosen] // HOUR_S).astype(np.int64))
    per_hour = np.bincount(place, weight[chosen], len(outcome.hours))
    drawn = rng.poisson(1.0, (RESAMPLES, len(outcome.hours)))
    totals: NDArray[np.float64] = drawn @ per_hour / outcome.share
    return totals
