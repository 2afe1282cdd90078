"""A catalogue whose ads begin and end day by day.

All ads of all days are made at once: a server that loads them once needs only to look at flight
dates to see a market in which new ads appear each midnight.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.catalogue import FOREVER, Campaigns, Catalogue, LineItems, catalogue
from simulator.market.settings import DAY_S, MarketSettings
from simulator.world import World

STREAM = 91
CENT = 10_000
"""Micros."""


def flown(world: World, settings: MarketSettings) -> Catalogue:
    """The ads of all days; flights begin and end at midnight, budgets fit the market's traffic."""
    total = round(settings.ads * (1 + settings.new_share * settings.days))
    made = catalogue(world, total, settings.seed, settings.start_s)
    rng = np.random.default_rng([STREAM, settings.seed])
    items = _line_items(made.line_items, settings, rng)
    return replace(made, line_items=items, campaigns=_campaigns(made, items, settings))


def _line_items(items: LineItems, settings: MarketSettings, rng: np.random.Generator) -> LineItems:
    """A share begins before day 0, equal numbers on each later day; ends come by chance alone,
    equally likely every day, so that the number in flight stays about the same."""
    count = len(items.campaign)
    first = round(count / (1 + settings.new_share * settings.days))
    day = np.empty(count, np.int64)
    order = rng.permutation(count)
    day[order[:first]] = 0
    day[order[first:]] = 1 + np.arange(count - first) * settings.days // max(1, count - first)
    end = np.full(count, FOREVER)
    if settings.new_share:
        end = settings.start_s + DAY_S * (day + rng.geometric(settings.new_share, count))
    began_earlier = np.where(day == 0, 1 + rng.integers(0, 60, count), 0)
    start = settings.start_s + DAY_S * (day - began_earlier)
    return replace(items, start_s=start.astype(np.float64), end_s=end.astype(np.float64))


def _campaigns(made: Catalogue, items: LineItems, settings: MarketSettings) -> Campaigns:
    """Budgets in the proportions drawn, of the sum that the settings ask for on day 0."""
    budget = made.campaigns.daily_budget_micros
    on_first_day = np.unique(items.campaign[live(items, settings.start_s)])
    wanted = settings.budget_usd_per_visit * settings.visits_per_day * 1_000_000
    scaled = budget * (wanted / max(1, int(budget[on_first_day].sum())))
    micros = np.maximum(np.rint(scaled / CENT), 1).astype(np.int64) * CENT
    return replace(made.campaigns, daily_budget_micros=micros)


def live(items: LineItems, at_s: float) -> NDArray[np.bool_]:
    """[L] line items in flight."""
    running: NDArray[np.bool_] = (items.start_s <= at_s) & (at_s < items.end_s)
    return running
