"""What comes of an ad on a visit does not depend on what else a server shows."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simulator.market.market import Market, Shown
from simulator.market.responses import Fate, Responses
from simulator.market.settings import MarketSettings

ROWS = 200_000


@pytest.fixture(scope="module")
def market():
    return Market(MarketSettings(ads=300, visits_per_day=4_000, days=1, click_log_odds=1.4))


def shown_of(market, traffic, seed, count):
    rng = np.random.default_rng(seed)
    visit = np.sort(rng.integers(0, len(traffic), count)).astype(np.int32)
    ad = rng.integers(0, 300, count).astype(np.int32)
    return Shown(visit, ad, traffic.visit.placement[visit, 0])


def test_an_ad_on_a_visit_meets_its_fate_in_any_company(market):
    traffic = market.day(0).hour(12)
    crowd, shown = market.crowd(traffic), shown_of(market, traffic, 1, 500)
    some = slice(100, 140)

    whole = market.fated(traffic, crowd, shown)
    part = market.fated(
        traffic, crowd, Shown(shown.visit[some], shown.ad[some], shown.placement[some])
    )

    for one in fields(Responses):
        assert_array_equal(getattr(part, one.name), getattr(whole, one.name)[some])


def test_fated_clicks_come_as_often_as_the_truth_says(market):
    traffic = market.day(0).hour(12)
    shown = shown_of(market, traffic, 2, 60_000)

    seen = market.fated(traffic, market.crowd(traffic), shown)

    decile = np.argsort(np.argsort(seen.truth)) * 10 // len(seen.truth)
    expected = np.bincount(decile, seen.truth)
    spread = np.sqrt(np.bincount(decile, seen.truth * (1 - seen.truth)))
    assert (np.abs(np.bincount(decile, seen.click) - expected) <= 4.5 * spread).all()


def test_fate_is_uniform_and_normal_and_another_seed_is_another(rng):
    number, ad = rng.integers(0, 1 << 40, ROWS), rng.integers(0, 1_000, ROWS)

    fate, other = Fate.of(number, ad, 1), Fate.of(number, ad, 2)

    assert np.abs(fate.uniform.mean(axis=1) - 0.5).max() < 4.5 / np.sqrt(12 * ROWS)
    assert np.abs(fate.normal.mean(axis=1)).max() < 4.5 / np.sqrt(ROWS)
    assert np.abs(fate.normal.std(axis=1) - 1).max() < 4.5 / np.sqrt(2 * ROWS)
    assert (
        np.abs(np.corrcoef(np.vstack([fate.uniform, fate.normal, other.uniform])) - np.eye(8)).max()
        < 0.015
    )


def test_more_log_odds_are_more_clicks(market):
    usual = Market(MarketSettings(ads=300, visits_per_day=4_000, days=1))
    traffic = market.day(0).hour(12)
    shown = shown_of(market, traffic, 3, 2_000)

    more, less = (
        one.truth(one.crowd(traffic), *(getattr(shown, n) for n in ("visit", "ad", "placement")))
        for one in (market, usual)
    )

    assert 3.0 < more[~traffic.bot[shown.visit]].sum() / less[~traffic.bot[shown.visit]].sum() < 4.2
