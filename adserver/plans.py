"""What the catalogue promised, as plans: budgets over a day or a flight, and goals over a flight.

Knows where the catalogue keeps budgets, goals and dates; not how plans are met.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue import codes
from adserver.edition import Edition
from adserver.meter import KEYS, count_key
from auction.books import UNLIMITED
from auction.columns import LEVELS, MILLE, Level
from auction.pacing import Goal, Mode, Plans

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

DAY_S = 86_400
USUAL = 0.5
"""Price over bid that a plan's steps assume until it knows: second prices are about half."""


@dataclass(slots=True)
class Planner:
    """The plans of an edition; the same object as long as nothing has changed."""

    mode: Mode
    """Of budgets above line items; a line item says itself."""
    _made_of: tuple[object, ...] = ()
    _plans: Plans = field(default_factory=Plans.none)

    def plans(self, edition: Edition, now_s: float) -> Plans:
        overlay, day = edition.overlay, int(now_s // DAY_S)
        made_of = (overlay.limits, overlay.items, overlay.bid_micros, day)
        if not _same(made_of, self._made_of):
            self._made_of, self._plans = made_of, plans_of(edition, self.mode, day)
        return self._plans


def _same(now: tuple[object, ...], then: tuple[object, ...]) -> bool:
    """Columns are replaced, never edited, so being the same object is being equal; days are not."""
    return (
        len(now) == len(then)
        and now[-1] == then[-1]
        and all(a is b for a, b in zip(now[:-1], then[:-1], strict=True))
    )


def plans_of(edition: Edition, mode: Mode, day: int) -> Plans:
    """Every limited budget with an end to last until, and every goal of a finite flight.

    A budget with a daily limit is spent over the UTC day, else one with a lifetime limit over the
    flights under it. Deals are not paced: who buys in them is.
    """
    budgets, goals = _budgets(edition, mode, day), _goals(edition)
    joined = {
        name: np.concatenate([getattr(budgets, name), getattr(goals, name)])
        for name in (one.name for one in fields(Plans))
    }
    return _where(Plans(**joined), np.argsort(joined["key"], kind="stable"))


def _budgets(edition: Edition, mode: Mode, day: int) -> Plans:
    limits = edition.overlay.limits
    number, level = np.divmod(limits.account, LEVELS)
    daily = limits.daily_micros < UNLIMITED
    amount = np.where(daily, limits.daily_micros, limits.lifetime_micros)
    start, end, price, modes = _beneath(edition, number, level, mode)
    plans = Plans(
        key=number * KEYS + level,
        kind=np.full(len(number), Goal.SPEND, np.uint8),
        amount=amount,
        unit=price,
        mode=modes,
        period=np.where(daily, day, 0),
        start_s=np.where(daily, day * DAY_S, start),
        end_s=np.where(daily, (day + 1) * DAY_S, end),
    )
    planned = (amount < UNLIMITED) & (amount > 0) & (level != Level.DEAL)
    return _where(plans, np.flatnonzero(planned & np.isfinite(plans.end_s)))


def _beneath(
    edition: Edition, number: I64, level: I64, mode: Mode
) -> tuple[F64, F64, F64, NDArray[np.uint8]]:
    """[K] of the line items that each budget pays for: first start, last end, usual price, mode."""
    items = edition.overlay.items
    start, end, price = np.zeros(len(number)), np.full(len(number), np.inf), np.ones(len(number))
    modes = np.full(len(number), mode, np.uint8)
    for one, owner in (
        (Level.ADVERTISER, items.advertiser),
        (Level.CAMPAIGN, items.campaign),
        (Level.LINE_ITEM, items.line_item_id),
    ):
        rows = np.flatnonzero(level == one)
        if not rows.size or not owner.size:
            continue
        most = 1 + max(int(number[rows].max()), int(owner.max()))
        first, last = np.full(most, np.inf), np.full(most, -np.inf)
        np.minimum.at(first, owner, items.start_s)
        np.maximum.at(last, owner, items.end_s)
        count = np.maximum(1, np.bincount(owner, minlength=most))
        mean = np.bincount(owner, _usual_price(edition), most) / count
        start[rows] = np.where(np.isfinite(first), first, 0.0)[number[rows]]
        end[rows] = np.where(last > -np.inf, last, np.inf)[number[rows]]
        price[rows] = np.maximum(1.0, mean[number[rows]])
    own = np.flatnonzero(level == Level.LINE_ITEM)
    modes[own] = items.pacing[np.searchsorted(items.line_item_id, number[own])]
    return start, end, price, modes


def _usual_price(edition: Edition) -> F64:
    """[L] micros that one event of a line item usually costs; 0 without ads."""
    ads, items, bid = edition.snapshot.ads, edition.overlay.items, edition.overlay.bid_micros
    first = np.minimum(items.ad_start[:-1], max(0, len(bid) - 1))
    if not len(bid):
        return np.zeros(len(items))
    cost = np.where(ads.per_click[first], bid[first], bid[first] / MILLE)
    return np.where(items.ad_start[1:] > items.ad_start[:-1], USUAL * cost, 0.0)


def _goals(edition: Edition) -> Plans:
    """What line items count in other than money, over their flights."""
    items = edition.overlay.items
    counted = (items.goal_kind != codes.NONE) & (items.goal_kind != Goal.SPEND)
    row = np.flatnonzero(counted & np.isfinite(items.end_s) & (items.goal_amount > 0))
    kind = items.goal_kind[row]
    return Plans(
        key=count_key(items.line_item_id[row].astype(np.int64), kind.astype(np.int64)),
        kind=kind,
        amount=items.goal_amount[row],
        unit=np.ones(len(row)),
        mode=items.pacing[row],
        period=np.zeros(len(row), np.int64),
        start_s=items.start_s[row],
        end_s=items.end_s[row],
    )


def _where(plans: Plans, rows: NDArray[np.intp]) -> Plans:
    return Plans(**{one.name: getattr(plans, one.name)[rows] for one in fields(Plans)})
