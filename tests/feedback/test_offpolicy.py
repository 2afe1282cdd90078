"""Estimates of what another policy earns: right on average, with intervals that hold the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from adserver.errors import ConfigError
from bench.offpolicy import figures, pool
from feedback.policy.estimate import LEAST_ESS, Slots, difference, read
from feedback.policy.policies import policy_of

RUNS = 60


@pytest.fixture(scope="module")
def market():
    return pool()


def two_ads(rng, pages, explored=0.5, rates=(0.3, 0.1), predicted=(0.3, 0.1)):
    """One slot a page; the log shows the first ad but for half of the explored pages, the policy
    shows the second where the page is odd. Its value is the mean of both rates."""
    wanted = np.arange(pages) % 2
    shown = np.where(rng.random(pages) < explored, rng.integers(0, 2, pages), 0)
    chance = np.where(shown == 0, 1 - explored / 2, explored / 2)
    return Slots(
        page=np.arange(pages),
        sells=np.ones(pages, np.bool_),
        per_click=np.ones(pages),
        per_view=np.zeros(pages),
        predicted=np.array(predicted)[wanted],
        matched=shown == wanted,
        chance=chance,
        click=(rng.random(pages) < np.array(rates)[shown]).astype(np.float64),
    )


@pytest.mark.parametrize("predicted", [(0.3, 0.1), (0.05, 0.6)], ids=["right", "wrong"])
def test_estimates_are_right_on_average_whatever_the_model_thinks(rng, predicted):
    found = [read(two_ads(rng, 2_000, predicted=predicted)) for _ in range(100)]

    for name in ("IPS", "SNIPS", "DR"):
        values = np.array([one.of(name).value for one in found])
        assert abs(values.mean() - 0.2) < 4 * values.std() / 10


def test_a_good_model_makes_the_doubly_robust_estimate_the_narrowest(rng):
    found = [read(two_ads(rng, 2_000)) for _ in range(100)]

    spread = {name: np.std([one.of(name).value for one in found]) for name in ("IPS", "DR")}
    assert spread["DR"] < spread["IPS"]


def test_the_stated_deviation_is_that_of_repeated_logs(rng):
    found = [read(two_ads(rng, 2_000)) for _ in range(200)]

    for name in ("IPS", "SNIPS", "DR"):
        estimates = [one.of(name) for one in found]
        seen = np.std([one.value for one in estimates])
        said = np.mean([one.deviation for one in estimates])
        assert said == pytest.approx(seen, rel=0.2)


def test_little_that_agrees_is_not_told(rng):
    slots = two_ads(rng, 2_000)
    seldom = replace(slots, matched=slots.matched & (slots.page < 300))

    assert read(seldom).refused
    assert read(seldom).estimates == ()
    assert read(seldom).ess < LEAST_ESS <= read(slots).ess


def test_effective_observations_are_fewer_where_weights_differ():
    half = np.arange(400) < 200
    slots = two_ads(np.random.default_rng(0), 400)
    slots = replace(slots, matched=np.ones(400, np.bool_), chance=np.where(half, 1.0, 0.1))

    assert read(slots).ess == pytest.approx(2200**2 / (200 + 200 * 100))


def test_weights_are_cut_and_it_is_said_how_many():
    slots = two_ads(np.random.default_rng(0), 400)
    slots = replace(slots, matched=np.ones(400, np.bool_), chance=np.full(400, 0.01))

    found = read(slots, clip=20)

    assert slots.weights(20).max() == 20
    assert found.clipped == 1.0
    assert found.support == pytest.approx(20)


def test_a_policy_that_sells_nothing_earns_nothing_for_sure(rng):
    slots = two_ads(rng, 2_000)
    closed = slots.page % 4 < 2
    some = replace(slots, sells=slots.sells & closed, predicted=np.zeros(2_000))

    assert some.weights(50)[~closed].sum() == 0
    assert some.expected[~closed].sum() == 0


def test_policies_that_agree_differ_by_nothing(rng):
    slots = two_ads(rng, 2_000)

    found = difference(slots, slots)

    assert (found.value, found.deviation) == (0.0, 0.0)


def test_intervals_hold_the_truth_of_a_market_that_the_real_auction_sold(market):
    """The whole of it, 200 runs at three sizes: `python -m bench.offpolicy`."""
    least = int(binom.ppf(0.001, RUNS, 0.95)) / RUNS

    for found in figures(market, "gamma=0.6", pages=2_500, runs=RUNS):
        assert found["refused"] == 0
        assert found["dr_coverage"] >= least
        assert found["dr_rmse"] <= 1.05 * found["ips_rmse"]


def test_six_times_as_many_pages_are_twice_as_sure(market):
    few, many = (figures(market, "floor=+20%", pages, runs=16)[0] for pages in (1_000, 6_000))

    assert many["dr_rmse"] < few["dr_rmse"] / 1.5


@pytest.mark.parametrize("text", ["gamma=0.42", "floor=10", "floor=-100%", "squash", "gamma=", ""])
def test_a_policy_that_nobody_knows_is_named(text):
    with pytest.raises(ConfigError, match="policy"):
        policy_of(text)
