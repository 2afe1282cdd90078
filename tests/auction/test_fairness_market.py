"""What a cap promises, in a market of forty advertisers of heavy-tailed size.

The same market as `bench.fairness`, which measures it at full length.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.fairness import Market
from feedback.frontier import Outcome, frontier

WINDOW = 3_000
CAPS = (0.25, 0.15, 0.1)


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[float, bool], Outcome]:
    """By cap, and whether the hard limit stood alone."""
    market = Market.drawn(np.random.default_rng(11), 60_000)
    return {(one.cap, one.hard_only): one for one in frontier(market, WINDOW, (1.0, *CAPS))}


def loss(outcomes, cap: float, hard_only: bool = False) -> float:
    return 1 - outcomes[cap, hard_only].welfare_micros / outcomes[1.0, False].welfare_micros


@pytest.mark.parametrize("cap", CAPS)
def test_no_advertiser_passes_the_cap_by_more_than_a_twentieth_in_any_window(outcomes, cap):
    """Every window of 3 000 sales after two; a relaxed sale is one for which nobody else bid."""
    one = outcomes[cap, False]

    assert one.worst_share <= 1.05 * cap + one.relaxed / WINDOW
    assert one.relaxed <= 0.0005 * one.sales
    assert one.spread.top_share <= 1.03 * cap


def test_at_15_percent_the_dual_price_loses_under_a_third_of_what_the_hard_cap_loses(outcomes):
    assert 0.2 < loss(outcomes, 0.15, hard_only=True) < 0.45
    assert loss(outcomes, 0.15) <= 0.33 * loss(outcomes, 0.15, hard_only=True)


@pytest.mark.parametrize("cap", CAPS)
def test_the_dual_price_loses_at_most_two_fifths_of_what_the_hard_cap_loses(outcomes, cap):
    assert 0 < loss(outcomes, cap) <= 0.4 * loss(outcomes, cap, hard_only=True)


@pytest.mark.parametrize("cap", CAPS)
def test_no_slot_stays_empty_for_fairness(outcomes, cap):
    assert outcomes[cap, False].sales == outcomes[1.0, False].sales
    assert outcomes[cap, True].sales == outcomes[1.0, False].sales


def test_a_lower_cap_costs_more_and_spreads_more(outcomes):
    duals = [outcomes[cap, False] for cap in (1.0, *CAPS)]

    welfare = [one.welfare_micros for one in duals]
    assert welfare == sorted(welfare, reverse=True)
    for measure in ("hhi", "gini", "top_share"):
        values = [getattr(one.spread, measure) for one in duals]
        assert values == sorted(values, reverse=True)


def test_what_the_cap_adds_to_revenue_is_no_more_than_the_dual_prices_in_it(outcomes):
    """Rebated, a cap costs the seller; only bids that never answer make it look like a gain."""
    free = outcomes[1.0, False]
    for cap in CAPS:
        one = outcomes[cap, False]

        assert one.rebated_micros < free.revenue_micros < one.revenue_micros
