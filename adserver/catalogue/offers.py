"""What line items offer for one event, on the auction's scale: whole micros of US dollars.

Convert, then adjust, then compare: a price in any currency becomes dollars first, rounded down.
A conversion's price times its rate is a bid per click; a viewable impression's price times its
rate, and a fee over its goal, are bids per thousand impressions. Knows neither the database nor
what a request is worth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.columns import CampaignColumns, LineItemColumns
from adserver.catalogue.currency import Rates, to_usd
from auction.books import UNLIMITED
from auction.columns import MILLE, PPM, Pricing

I64 = NDArray[np.int64]
PRIOR_VIEWABILITY_PPM = 600_000
"""Viewable impressions per million impressions where nobody has counted."""


BY_MILLE = (Pricing.CPM, Pricing.VCPM)
"""Whose price is for a thousand of the billable events."""


def per_click(items: LineItemColumns) -> NDArray[np.bool_]:
    """[L] bids per click: CPC and CPA."""
    return np.isin(items.pricing, (Pricing.CPC, Pricing.CPA))


def rates_of(campaigns: CampaignColumns, rates: Rates) -> I64:
    """[C] units of each campaign's currency for a million dollars; KeyError where there is none."""
    known, place = np.unique(campaigns.currency, return_inverse=True)
    return np.array([rates.of(str(one)) for one in known], np.int64)[place]


def event_rates(items: LineItemColumns, viewability_ppm: int) -> I64:
    """[L] billable events per million of what is sold, where the two differ: CPA and VCPM."""
    rates: I64 = np.where(items.pricing == Pricing.VCPM, viewability_ppm, items.pcvr_ppm)
    return rates


def bids(items: LineItemColumns, rate: I64, event_rate: I64) -> I64:
    """[L] the bid per thousand impressions (a multiple of 1000) or per click, at least the least.

    CPA bids price · pCVR per click; VCPM bids price · viewability per thousand, a fee bids
    fee · 1000 / goal. Rounded down. `event_rate` [L] as `event_rates` gives it.
    """
    dollars = to_usd(items.price_micros, rate)
    goal = np.maximum(items.goal_amount, 1)
    wholes, rest = np.divmod(dollars, goal)
    implied = wholes * MILLE + rest * MILLE // goal
    millions, rest = np.divmod(dollars, PPM)
    expected = millions * event_rate + rest * event_rate // PPM
    later = np.isin(items.pricing, (Pricing.CPA, Pricing.VCPM))
    by_event = np.where(later, expected, dollars)
    by_click = np.maximum(by_event, 1)
    by_mille = np.where(items.pricing == Pricing.FLAT, implied, by_event)
    offered: I64 = np.where(per_click(items), by_click, np.maximum(by_mille // MILLE, 1) * MILLE)
    return offered


def event_costs(items: LineItemColumns, rate: I64) -> I64:
    """[L] most that one billable event can cost; a fee costs nothing by the event."""
    dollars = to_usd(items.price_micros, rate)
    cost = np.where(np.isin(items.pricing, BY_MILLE), -(-dollars // MILLE), dollars)
    cost[items.pricing == Pricing.FLAT] = 0
    return cost


def in_usd(micros: I64, rate: I64) -> I64:
    """Budgets, rounded down; UNLIMITED stays so."""
    budgets: I64 = np.where(micros == UNLIMITED, UNLIMITED, to_usd(micros, rate))
    return budgets
