"""Squashed click rates and quality, in whole millionths on any machine."""

from __future__ import annotations

import numpy as np
import pytest

from auction.columns import PPM
from auction.squash import STEPS, Squash, exact_powers, powers, weights

CLICKS = np.ones(1, np.bool_)
RATES = np.array([[1, 20, 500, 2_000, 50_000, PPM]])


@pytest.mark.parametrize("steps", range(1, STEPS))
def test_no_entry_of_the_table_is_so_near_a_half_that_another_machine_could_round_it_otherwise(
    steps,
):
    """A `pow` may be off by a few units in the last place: 1e-15 of a value, with the division and
    the product before and after it, 1e-9 of the millionths here. Nothing is within ten times that.
    """
    power = exact_powers(steps)

    distance = abs(power - np.floor(power) - 0.5)

    assert distance.min() > 1e-8


@pytest.mark.parametrize("gamma", [0.5, 0.65, 0.95, 1.0])
def test_weights_follow_the_formula_to_the_millionth(gamma):
    quality = np.array([1_500_000])

    found = weights(RATES, CLICKS, quality, Squash(gamma, 2_000))

    exact = RATES * (2_000 / RATES) ** (1 - gamma) * 1.5
    assert (abs(found - np.maximum(exact, 1)) <= 1 + 1e-3 * exact).all()


def test_without_squashing_a_weight_is_the_click_rate_itself():
    assert weights(RATES, CLICKS, None, Squash(1.0)).tolist() == RATES.tolist()
    assert weights(RATES, CLICKS, np.array([PPM]), Squash(1.0)).tolist() == RATES.tolist()


@pytest.mark.parametrize("steps", range(10, STEPS + 1))
def test_an_ad_at_the_reference_rate_ranks_as_before(steps):
    found = weights(np.array([[2_000]]), CLICKS, None, Squash(steps / STEPS, 2_000))

    assert abs(found[0, 0] - 2_000) <= 1


def test_squashing_narrows_gaps_and_never_turns_the_order():
    rates = np.arange(1, PPM + 1, 37)[None]
    for gamma in (0.5, 0.75, 0.95):
        weight = weights(rates, CLICKS, None, Squash(gamma))[0]

        assert (np.diff(weight) >= 0).all()
        assert weight[-1] / weight[100] < rates[0, -1] / rates[0, 100]


def test_bids_per_thousand_impressions_weigh_their_quality_only():
    per_click = np.zeros(2, np.bool_)
    rates = np.full((2, 3), 500)

    found = weights(rates, per_click, np.array([PPM, 250_000]), Squash(0.5))

    assert found.tolist() == [[PPM] * 3, [250_000] * 3]


def test_a_weight_is_never_nothing():
    assert weights(np.array([[1]]), CLICKS, np.array([1]), Squash(1.0)).tolist() == [[1]]


def test_tables_cannot_be_written_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        powers(10)[5] = 1


def test_mistakes_are_named_together():
    assert len(list(Squash(0.42, 0).problems())) == 2
    assert len(list(Squash(0.52).problems())) == 1
    assert not list(Squash(0.65).problems())
    assert Squash().off
