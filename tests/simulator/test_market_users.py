"""People of the living market change their minds, segments follow late, bots never do."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.market.interests import Interests
from simulator.market.market import Market, Shown
from simulator.market.settings import DAY_S, MarketSettings
from simulator.market.shifts import Shifts
from simulator.market.traffic import week_shape
from simulator.truth import summed
from simulator.world import World

SETTINGS = MarketSettings(ads=2_000, visits_per_day=60_000, bots=0.03)
USERS = np.arange(4_000)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SETTINGS)


@pytest.fixture(scope="module")
def interests():
    world = World()
    return Interests(world, SETTINGS, Shifts(world, SETTINGS))


def at(day: float) -> np.ndarray:
    return np.full(len(USERS), SETTINGS.midnight_s(0) + day * DAY_S)


def closeness(one, other):
    return float(np.mean((one * other).sum(axis=1)))


def said_by(segments):
    """[B, TOPICS] what a bag of segments tells, rows of length one."""
    total = summed(World().segment.topic, segments)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def test_interests_drift_a_little_each_day_and_far_in_weeks(interests):
    now = interests.vectors(USERS, at(3))

    assert closeness(now, interests.vectors(USERS, at(4))) > 0.9
    assert closeness(now, interests.vectors(USERS, at(40))) < 0.6


def test_a_user_has_one_interest_at_one_moment_whoever_asks_and_when(interests):
    alone = interests.vectors(USERS[7:8], at(3)[:1])

    assert np.array_equal(alone, interests.vectors(USERS, at(3))[7:8])


def test_users_who_never_drift_keep_their_interests_and_segments():
    settings = MarketSettings(drift_days=np.inf)
    still = Interests(World(), settings, Shifts(World(), settings))

    assert np.array_equal(still.vectors(USERS, at(0)), still.vectors(USERS, at(400)))
    assert np.array_equal(still.segments(USERS, at(0)), still.segments(USERS, at(400)))


def test_segments_tell_what_a_user_liked_some_days_ago_better_than_what_is_liked_now(interests):
    said = said_by(interests.segments(USERS, at(6)))

    ago = closeness(said, interests.vectors(USERS, at(6 - SETTINGS.lag_days)))
    now = closeness(said, interests.vectors(USERS, at(6)))

    assert ago > now + 0.02


def test_pages_visited_today_tell_more_than_segments_of_those_who_are_changing(market, interests):
    """Of users who turned to another topic in the last days: recent behaviour beats segments."""
    phase = interests.phase(USERS, at(6))
    late = interests.phase(USERS, at(6 - SETTINGS.lag_days))
    turning = (phase.turned > 0.8) & (late.turned < 0.5) & (phase.number == late.number)
    now = interests.vectors(USERS, at(6))[turning]
    rng = np.random.default_rng(1)

    topics = [
        interests.current(USERS[turning], at(6)[turning], rng.random(turning.sum()))
        for _ in range(6)
    ]
    visited = np.mean([interests.taste[topic] for topic in topics], axis=0)
    visited /= np.linalg.norm(visited, axis=1, keepdims=True)

    segments = said_by(interests.segments(USERS, at(6)))[turning]
    assert turning.sum() > 50
    assert closeness(now, visited) > closeness(now, segments) + 0.1


def test_an_ad_about_the_interest_of_the_moment_is_clicked_more(market):
    traffic = market.day(1).hour(19)
    traffic = traffic.rows(~traffic.bot)
    crowd, pairs = market.crowd(traffic), market.fitting(traffic).pairs()

    own = market.truth_by_part(crowd, pairs.visit, pairs.ad, pairs.placement)["topics"]
    rate = market.truth(crowd, pairs.visit, pairs.ad, pairs.placement)

    assert rate[own > np.quantile(own, 0.9)].mean() > 3 * rate[own < np.quantile(own, 0.1)].mean()


def test_the_click_rate_of_fitting_ads_is_about_one_percent_and_twice_that_or_more_if_chosen(
    market,
):
    traffic = market.day(1).hour(19)
    traffic = traffic.rows(~traffic.bot)
    crowd, fits = market.crowd(traffic), market.fitting(traffic)
    pairs = fits.pairs()

    best = market.best(crowd, fits, market.worth())

    assert 0.007 < market.truth(crowd, pairs.visit, pairs.ad, pairs.placement).mean() < 0.014
    assert 0.02 < best.rate[best.ad >= 0].mean() < 0.06


def test_the_hours_of_the_week_have_their_visits(market):
    counts = [[len(market.day(day).hour(hour)) for hour in (4, 20)] for day in (0, 1, 5)]
    expected = SETTINGS.visits_per_day * week_shape()[np.array([0, 1, 5])][:, [4, 20]]

    assert np.abs(np.array(counts) / expected - 1).max() < 0.2
    assert counts[0][1] > 2 * counts[0][0]
    assert len(market.day(5)) < 0.95 * len(market.day(0))


def test_weekdays_are_those_of_the_calendar(market):
    sunday = market.day(6).hour(12).visit

    assert (sunday.weekday == 6).all()
    assert (sunday.hour == 12).all()


def test_people_click_more_in_the_evening_and_at_weekends(market):
    rng = np.random.default_rng(4)
    rate = {}
    for day, hour in ((1, 4), (1, 20), (5, 20)):
        traffic = market.day(day).hour(hour)
        visit = rng.choice(np.flatnonzero(~traffic.bot), 40_000)
        ad = rng.integers(0, len(market.catalogue.ads), len(visit))
        rate[day, hour] = market.truth(market.crowd(traffic), visit, ad, visit % 40).mean()

    assert rate[1, 20] > 1.2 * rate[1, 4]
    assert rate[5, 20] > 1.05 * rate[1, 20]


def test_bots_come_at_any_hour_alike_and_are_few_who_visit_often(market):
    hours = list(market.day(2).hours())
    bots = np.array([hour.bot.sum() for hour in hours])
    user = np.concatenate([hour.visit.user[hour.bot] for hour in hours])

    assert bots.sum() == pytest.approx(0.03 * SETTINGS.visits_per_day, rel=0.05)
    assert bots.max() - bots.min() <= 1
    assert np.bincount(user)[np.unique(user)].min() > 150
    assert not set(user) & set(hours[5].visit.user[~hours[5].bot])


def test_bots_click_on_a_fifth_of_everything_at_once_and_never_buy(market):
    traffic = market.day(2).hour(3)
    visit = np.repeat(np.flatnonzero(traffic.bot), 300)
    ad = np.random.default_rng(0).integers(0, len(market.catalogue.ads), len(visit))

    seen = market.respond(
        market.crowd(traffic), Shown(visit, ad, ad % 40), np.random.default_rng(8)
    )

    assert (seen.truth == seen.truth[0]).all()
    assert abs(seen.click.mean() - 0.2) < 4.5 * np.sqrt(0.16 / len(visit))
    assert seen.click_delay_s[seen.click].max() < 1
    assert not seen.conversion.any()
