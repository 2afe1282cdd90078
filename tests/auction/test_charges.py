"""What one billable event costs."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import CALM
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.charges import event_charge, to_reserve
from auction.columns import PPM, Pricing


def charge(pricing, charge_micros, price_micros=0, rate_ppm=0):
    columns = (charge_micros, price_micros, rate_ppm)
    return int(event_charge(np.array([pricing], np.uint8), *map(np.array, zip(columns)))[0])


def test_impressions_and_clicks_cost_what_the_auction_says():
    assert charge(Pricing.CPM, 1_310) == 1_310
    assert charge(Pricing.CPC, 250_000) == 250_000


def test_a_conversion_costs_the_click_over_its_rate():
    """A click at $0.10 of which one in fifty converts: $5 for a conversion."""
    assert charge(Pricing.CPA, 100_000, 20_000_000, 20_000) == 5_000_000


def test_a_conversion_never_costs_more_than_was_bid_for_it():
    assert charge(Pricing.CPA, 100_001, 5_000_000, 20_000) == 5_000_000


def test_a_viewable_impression_costs_the_impression_over_the_viewable_share():
    """An impression at $0.0012 of which six in ten are seen: $0.002 for one that is."""
    assert charge(Pricing.VCPM, 1_200, 5_000, 600_000) == 2_000


def test_a_viewable_impression_never_costs_more_than_was_bid_for_it():
    assert charge(Pricing.VCPM, 1_201, 2_000, 600_000) == 2_000


def test_an_event_of_a_flat_fee_costs_nothing_and_reserves_nothing():
    assert charge(Pricing.FLAT, 1_310) == 0
    assert to_reserve(np.array([Pricing.FLAT, Pricing.CPM]), np.array([7, 7])).tolist() == [0, 7]


@pytest.mark.parametrize("pricing", [Pricing.CPA, Pricing.VCPM])
@given(sold=st.integers(1, 10**12), rate=st.integers(1, PPM))
@settings(CALM, max_examples=300)
def test_a_later_events_charge_is_the_least_that_covers_what_was_sold(pricing, sold, rate):
    """Exact in whole micros, also where a float would not be."""
    assert charge(pricing, sold, 1 << 62, rate) == -(-sold * PPM // rate)


@given(st.integers(1, 10**9), st.integers(1, PPM))
@settings(CALM, max_examples=300)
def test_who_pays_its_whole_click_bid_pays_its_whole_conversion_bid_at_most(price, pcvr):
    click_bid = price * pcvr // PPM

    assert charge(Pricing.CPA, click_bid, price, pcvr) <= price
