"""Personal reserves: fitted, solved and damped."""

from __future__ import annotations

import math

import numpy as np
import pytest

from auction.reserves import Fits, Reserves, ReserveSettings, fit, hazard, myerson, reserves
from bench.reserves import measure


def expected_revenue(price, mean, deviation):
    """Of one bidder asked `price`."""
    z = (np.log(price) - mean) / deviation
    return price * np.array([math.erfc(one / math.sqrt(2)) / 2 for one in z])


@pytest.mark.parametrize("deviation", [0.1, 0.5, 1.0, 1.5])
def test_no_other_reserve_earns_more_from_a_lone_bidder(deviation):
    best = myerson(14.0, deviation)

    tried = best * np.linspace(0.2, 5, 4_801)

    earned = expected_revenue(tried, 14.0, deviation)
    assert tried[earned.argmax()] == pytest.approx(best, rel=2e-3)


def test_the_reserve_solves_the_equation_it_is_named_after():
    mean, deviation = 13.0, 0.8
    r = myerson(mean, deviation)

    z = (math.log(r) - mean) / deviation
    density = math.exp(-z * z / 2) / (math.sqrt(2 * math.pi) * deviation * r)

    assert r - math.erfc(z / math.sqrt(2)) / 2 / density == pytest.approx(0, abs=1e-6 * r)


def test_the_hazard_rises_everywhere():
    values = [hazard(z) for z in np.linspace(-38, 45, 2_000)]

    assert (np.diff(values) >= 0).all()


def test_extreme_spreads_are_solved_too():
    assert myerson(14.0, 0.0) == pytest.approx(math.exp(14))
    assert 0.9 < myerson(14.0, 0.01) / math.exp(14) < 1
    assert math.isfinite(myerson(14.0, 6.0))


def test_a_fit_finds_the_distribution_it_was_drawn_from():
    rng = np.random.default_rng(1)
    key = rng.permutation(np.repeat([9, 4], 20_000))
    offered = np.exp(rng.normal(np.where(key == 9, 14.0, 13.0), np.where(key == 9, 0.4, 0.9)))

    found = fit(key, offered.astype(np.int64))

    assert found.key.tolist() == [4, 9]
    assert found.count.tolist() == [20_000, 20_000]
    assert found.mean == pytest.approx([13.0, 14.0], abs=0.02)
    assert found.deviation == pytest.approx([0.9, 0.4], rel=0.02)


def test_bids_of_nothing_are_no_bids():
    found = fit(np.array([1, 1, 2]), np.array([0, 1_000, -5]))

    assert (found.key.tolist(), found.count.tolist()) == ([1], [1])


def test_a_reserve_is_damped_and_whole_micros_per_impression():
    fits = Fits(np.array([3]), np.array([500]), np.array([14.0]), np.array([0.7]))

    full, part = (int(reserves(fits, ReserveSettings(damping)).micros[0]) for damping in (1.0, 0.6))

    assert part % 1_000 == 0
    assert part == pytest.approx(0.6 * full, abs=1_000)
    assert full == pytest.approx(myerson(14.0, 0.7), abs=1_000)


def test_too_few_bids_ask_for_nothing():
    fits = Fits(np.array([3, 4]), np.array([199, 200]), np.full(2, 14.0), np.full(2, 0.7))

    asked = reserves(fits, ReserveSettings()).micros

    assert asked[0] == 0
    assert asked[1] > 0


def test_rows_find_the_reserve_of_their_key_and_others_have_none():
    some = Reserves(np.array([2, 7]), np.array([5_000, 9_000]))

    assert some.of(np.array([7, 3, 2, 99, -1])).tolist() == [9_000, 0, 5_000, 0, 0]
    nothing = reserves(fit(np.array([], np.int64), np.array([], np.int64)), ReserveSettings())
    assert nothing.of(np.array([1])).tolist() == [0]


def test_on_auctions_it_has_not_seen_a_damped_reserve_earns_more_and_loses_little_value():
    """`python -m bench.reserves` shows it on more auctions and in other markets."""
    none, damped, full = measure("log-normal", 30_000)

    assert damped["revenue_per_thousand"] > 1.1 * none["revenue_per_thousand"]
    assert damped["welfare_per_thousand"] > 0.98 * none["welfare_per_thousand"]
    assert full["welfare_per_thousand"] < damped["welfare_per_thousand"]


def test_mistakes_are_named_together():
    assert len(list(ReserveSettings(1.5, 1).problems())) == 2
    assert not list(ReserveSettings().problems())
