import numpy as np
import pytest

from simulator import truth
from simulator.truth import LEAST, MOST, appeal, audience, ctr
from simulator.visits import visits
from simulator.world import World

WORLD = World(1)


@pytest.fixture(scope="module")
def sides(market):
    sample = visits(WORLD, np.random.default_rng(20), 4_000)
    return sample, audience(WORLD, sample), appeal(market)


def test_the_truth_is_the_same_each_time_it_is_asked(sides, market):
    sample, who, what = sides
    rows = np.arange(1_000)

    first = ctr(WORLD, who, rows, what, rows * 7, rows % 5)
    again = ctr(WORLD, audience(WORLD, sample), rows, appeal(market), rows * 7, rows % 5)

    assert np.array_equal(first, again)


def test_click_rates_lie_where_banners_lie(sides, rng):
    _, who, what = sides
    visit, ad = rng.integers(0, 4_000, 100_000), rng.integers(0, 100_000, 100_000)

    rate = ctr(WORLD, who, visit, what, ad, rng.integers(0, 8, 100_000))

    assert LEAST <= rate.min() <= rate.max() <= MOST
    assert 0.005 < rate.mean() < 0.02
    assert (rate <= LEAST).mean() < 0.1
    assert (rate >= MOST).mean() < 0.01


def test_an_ad_is_clicked_less_further_down_the_page(sides):
    _, who, what = sides
    visit, ad = np.arange(100), np.arange(100)

    top = ctr(WORLD, who, visit, what, ad, np.zeros(100, int))
    bottom = ctr(WORLD, who, visit, what, ad, np.full(100, 7))

    assert (bottom <= top).all()
    assert (bottom < top).mean() > 0.9


def test_an_ad_about_the_users_interest_is_clicked_more(sides, rng):
    sample, who, what = sides
    interested = np.flatnonzero((sample.segment >= 0).sum(axis=1) > 3)[:200]
    ad = rng.integers(0, 100_000, (len(interested), 200))
    visit = np.repeat(interested, 200)

    rate = ctr(WORLD, who, visit, what, ad.ravel(), np.zeros(ad.size, int))
    closeness = (who.user_topic[visit] * what.topic[ad.ravel()]).sum(axis=1)

    near, far = closeness > np.quantile(closeness, 0.9), closeness < np.quantile(closeness, 0.1)
    assert rate[near].mean() > 3 * rate[far].mean()


def test_a_pair_has_one_rate_whatever_it_is_asked_with(sides):
    _, who, what = sides

    alone = ctr(WORLD, who, np.array([3]), what, np.array([77]), np.array([1]))
    among = ctr(WORLD, who, np.array([9, 3, 4]), what, np.array([5, 77, 6]), np.array([0, 1, 2]))

    assert alone[0] == pytest.approx(among[1], rel=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((728, 90), "wide"), ((300, 250), "box"), ((160, 600), "tall"), ((320, 50), "small")],
)
def test_a_size_has_a_shape(size, expected):
    assert truth.shape(*size) == expected
