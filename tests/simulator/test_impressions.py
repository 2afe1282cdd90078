"""The simulated log: only ads that fit, clicked as often as the truth says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simulator.catalogue import Catalogue, catalogue
from simulator.impressions import Shown, impressions
from simulator.targeting import fitting
from simulator.world import World


@pytest.fixture(scope="module")
def market() -> Catalogue:
    return catalogue(World(), 5_000)


@pytest.fixture(scope="module")
def shown(market: Catalogue) -> Shown:
    (chunk,) = impressions(market, 4_000, np.random.default_rng(3))
    return chunk


def test_every_ad_shown_fits_its_visit_and_its_slot(market: Catalogue, shown: Shown):
    world, owner = market.world, market.ads.line_item[shown.ad]

    for row in range(0, len(shown.ad), 25):
        assert fitting(world, market.terms, shown.visit, int(shown.of[row]))[owner[row]]
        assert market.ads.size[shown.ad[row]] in world.placement[shown.placement[row]].sizes


def test_flights_that_have_not_begun_or_are_over_are_not_shown(market: Catalogue, shown: Shown):
    owner = market.ads.line_item[shown.ad]

    assert (market.line_items.start_s[owner] <= 0).all()
    assert (market.line_items.end_s[owner] > 0).all()


def test_clicks_come_as_often_as_the_truth_says(shown: Shown):
    expected = shown.truth.sum()

    assert abs(shown.click.sum() - expected) < 5 * np.sqrt(expected)


def test_ads_that_look_good_are_shown_more_often_than_at_random(market: Catalogue, shown: Shown):
    used = np.bincount(shown.ad, minlength=len(market.ads))

    assert used.max() > 10 * max(1, np.median(used))


def test_the_same_seed_writes_the_same_log(market: Catalogue, shown: Shown):
    (again,) = impressions(market, 4_000, np.random.default_rng(3))

    for column in ("of", "ad", "placement", "number", "click", "truth"):
        assert_array_equal(getattr(again, column), getattr(shown, column))
