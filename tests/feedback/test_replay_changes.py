"""What somebody wants to try, from a command line to the auction's columns."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import Ad, Request, columns

from adserver.errors import ConfigError
from auction.columns import LEVELS, Level, account_of
from auction.settings import AuctionSettings
from feedback.replay.changes import Amount, changes_of

RULES = AuctionSettings()


def changes(bids=(), budgets=(), floor="", gamma=1.0, cap=0.0):
    return changes_of(bids, budgets, floor, gamma, cap, RULES)


def market():
    """Line items 1 (per thousand) and 2 (per click), one page."""
    bids, slots = columns(
        [Request((Ad(1, 1, 2_000_000), Ad(2, 2, 500_000, ppm=(1_000,))), floors=(300_000,))]
    )
    bids.account[:, Level.LINE_ITEM] = np.array([1, 2]) * LEVELS + Level.LINE_ITEM
    return bids, slots


def test_a_bid_is_multiplied_or_replaced_and_stays_one_that_the_auction_takes():
    bids, _ = market()

    times = changes(["1=x1.2345678"]).bids(bids)
    money = changes(["2=0.123456", "1=3.5"]).bids(bids)

    assert times.bid_micros.tolist() == [2_469_000, 500_000]
    assert money.bid_micros.tolist() == [3_500_000, 123_456]
    assert bids.bid_micros.tolist() == [2_000_000, 500_000]


def test_a_bid_of_nothing_is_the_least_bid():
    bids, _ = market()

    assert changes(["1=0", "2=0"]).bids(bids).bid_micros.tolist() == [1_000, 1]


def test_budgets_are_of_any_level():
    made = changes(budgets=["3=x2", "campaign:4=50", "advertiser:5=×0.5", "deal:6=1"])

    assert made.budget == {
        account_of(Level.LINE_ITEM, 3): Amount(times=2.0),
        account_of(Level.CAMPAIGN, 4): Amount(micros=50_000_000),
        account_of(Level.ADVERTISER, 5): Amount(times=0.5),
        account_of(Level.DEAL, 6): Amount(micros=1_000_000),
    }


def test_a_floor_is_multiplied_or_raised_and_never_lowered_by_an_amount():
    _, slots = market()

    assert changes(floor="x1.5").slots(slots).floor_micros.tolist() == [450_000]
    assert changes(floor="0.80").slots(slots).floor_micros.tolist() == [800_000]
    assert changes(floor="0.10").slots(slots).floor_micros.tolist() == [300_000]
    assert changes().slots(slots) is slots


def test_squashing_sets_weights_and_gamma_1_sets_none():
    bids, _ = market()

    assert changes().bids(bids).weight_ppm is None
    assert changes(gamma=0.5).bids(bids).weight_ppm.tolist() == [[1_000_000], [1_414]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bids": ["7"]},
        {"bids": ["7=twice"]},
        {"bids": ["7=-1"]},
        {"bids": ["campaign:7=x2"]},
        {"bids": ["7=x9999999"]},
        {"bids": ["99999999999999999999=1"]},
        {"budgets": ["site:1=5"]},
        {"floor": "high"},
        {"gamma": 0.42},
        {"cap": 1.5},
    ],
)
def test_a_mistake_is_named(wrong):
    with pytest.raises(ConfigError):
        changes(**wrong)


def test_all_mistakes_are_listed_together():
    with pytest.raises(ConfigError) as caught:
        changes(["7"], ["x=1"], "high", 0.3, -1.0)

    assert len(caught.value.mistakes) == 5
