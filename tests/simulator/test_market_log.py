"""The log of a market's days: only ads that fit, clicked as often as the truth says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simulator.market.eligible import refused
from simulator.market.log import Logged, logged
from simulator.market.market import Market
from simulator.market.settings import MarketSettings
from simulator.targeting import fitting

SETTINGS = MarketSettings(ads=4_000, visits_per_day=4_000, days=2)


@pytest.fixture(scope="module")
def played() -> Market:
    return Market(SETTINGS)


@pytest.fixture(scope="module")
def hours(played: Market) -> list[Logged]:
    return list(logged(played, np.random.default_rng(3)))


def test_every_ad_shown_fits_its_visit_and_its_slot(played: Market, hours: list[Logged]):
    made, world = played.catalogue, played.world

    for hour in hours[::7]:
        visit = hour.traffic.visit
        blocked = refused(world, visit)
        category = made.campaigns.category[made.ad_campaign()[hour.ad]]
        assert not (category[:, None] == blocked[hour.of]).any()
        assert made.ads.secure[hour.ad].all()
        for row in range(0, len(hour.ad), 5):
            of, number = hour.of[row], hour.number[row]
            assert visit.placement[of, number] == hour.placement[row]
            assert made.ads.size[hour.ad[row]] in world.placement[hour.placement[row]].sizes
            owner = made.ads.line_item[hour.ad[row]]
            assert fitting(world, made.terms, visit, int(of))[owner]


def test_ads_are_shown_while_they_are_in_flight(played: Market, hours: list[Logged]):
    for number, hour in enumerate(hours):
        assert played.live(number // 24)[hour.ad].all()


def test_clicks_come_as_often_as_the_truth_says(played: Market, hours: list[Logged]):
    clicks = sum(hour.click.sum() for hour in hours)
    expected = sum(hour.truth.sum() for hour in hours)

    assert abs(clicks - expected) < 5 * np.sqrt(expected)
    hour = hours[20]
    crowd = played.crowd(hour.traffic)
    assert_array_equal(hour.truth, played.truth(crowd, hour.of, hour.ad, hour.placement))


def test_few_ads_are_shown_often_and_many_sometimes(played: Market, hours: list[Logged]):
    used = np.bincount(np.concatenate([hour.ad for hour in hours]))
    by_use = np.sort(used)[::-1]

    assert by_use[: len(by_use) // 100].sum() > 0.15 * used.sum()
    assert (used > 0).mean() > 0.3


def test_robots_are_not_in_it(hours: list[Logged]):
    assert not any(hour.traffic.bot.any() for hour in hours)


def test_the_same_generator_writes_the_same_log(hours: list[Logged]):
    again = list(logged(Market(SETTINGS), np.random.default_rng(3)))

    for one, other in zip(hours, again, strict=True):
        for column in ("of", "ad", "placement", "number", "click", "truth", "click_delay_s"):
            assert_array_equal(getattr(one, column), getattr(other, column))
