"""How an operator says tiers, squashing and reserves, and what becomes of the bids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from auction_records import Market

from adserver import reserve_prices
from adserver.decision import Sold
from adserver.errors import ConfigError
from adserver.prices import Prices
from adserver.settings import Settings, from_environment
from adserver.tier_modes import read_modes
from auction.reserves import ReserveSettings
from auction.settings import Mode
from auction.squash import Squash


def test_a_span_of_tiers_has_one_mode():
    modes = read_modes('{"1-3": "weighted", "12": "guaranteed"}')

    assert modes == {
        1: Mode.WEIGHTED,
        2: Mode.WEIGHTED,
        3: Mode.WEIGHTED,
        12: Mode.GUARANTEED,
    }


def test_the_default_sells_sponsorships_by_share_and_contracts_by_urgency():
    modes = Settings().auction.modes

    assert modes[5] is Mode.WEIGHTED
    assert modes[15] is Mode.GUARANTEED
    assert 50 not in modes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "truncated"),
        ("[]", "object"),
        ('{"0": "auction"}', "1 to 100"),
        ('{"9-3": "auction"}', "lower one first"),
        ('{"ten": "auction"}', "neither a tier"),
        ('{"1-3": "auction", "2": "weighted"}', "twice"),
        ('{"7": "raffle"}', "raffle"),
    ],
)
def test_a_mistake_in_the_modes_is_named(text, told):
    with pytest.raises(ConfigError) as error:
        from_environment({"TIER_MODES": text, "SQUASH_GAMMA": "0.42"})

    assert any(told in mistake and "TIER_MODES" in mistake for mistake in error.value.mistakes)
    assert any("squash.gamma" in mistake for mistake in error.value.mistakes)


def test_reserves_are_learnt_from_records_kept_and_asked_again(tmp_path):
    market = Market(seed=3)
    records = [market.batch(8) for _ in range(60)]

    learnt = reserve_prices.learn(records, ReserveSettings(damping=0.6, minimum_bids=20))
    reserve_prices.save(tmp_path, learnt)
    again = reserve_prices.load(tmp_path)

    assert (learnt.micros > 0).any()
    assert again.key.tolist() == learnt.key.tolist()
    assert again.micros.tolist() == learnt.micros.tolist()
    asked = again.of(records[0].bids.advertiser.astype(np.int64))
    assert (asked >= 0).all()


def test_without_records_nothing_is_asked():
    assert len(reserve_prices.learn([], ReserveSettings()).key) == 0


def test_reserves_that_were_never_learnt_are_a_mistake_of_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match="adserver reserves fit"):
        reserve_prices.load(tmp_path)


def test_a_sale_says_how_its_price_came_about():
    sold = Sold(None, 1000, False, 1000, 900, 1, 0.01, first_price=False)

    assert sold.basis == "second_price"
    assert replace(sold, first_price=True).basis == "first_price"
    assert replace(sold, contract=True).basis == "contract"
    assert replace(sold, fixed_price=True, contract=True).basis == "fixed_price"


def test_contracts_are_the_tiers_that_are_no_auction():
    prices = Prices(Settings(tier_modes='{"7": "auction", "8-9": "guaranteed"}').auction, Squash())

    assert prices.contracts == {8, 9}
