"""Conversion rates from counts: cautious with few clicks, exact with many."""

import numpy as np
import pytest

from ranking.conversion import PRIOR_PPM, STRENGTH, conversion_ppm


def counts(*numbers):
    return np.array(numbers, np.int64)


def test_without_clicks_the_rate_is_the_prior():
    assert conversion_ppm(counts(0), counts(0)).tolist() == [PRIOR_PPM]


def test_as_many_clicks_as_the_prior_is_worth_move_it_half_way():
    rate = conversion_ppm(counts(STRENGTH), counts(STRENGTH // 20))

    assert rate.tolist() == [(PRIOR_PPM + 50_000) // 2]


def test_a_rate_is_always_a_rate():
    rate = conversion_ppm(counts(0, 10**12, 5), counts(0, 0, 10**9), prior_ppm=0)

    assert rate.min() >= 1
    assert rate.max() <= 1_000_000


@pytest.mark.parametrize("clicks", [5, 50, 5_000])
def test_rates_are_calibrated_over_many_line_items(rng, clicks):
    """Line items whose true rates scatter around the prior convert as often as predicted."""
    true = rng.beta(STRENGTH * 0.01, STRENGTH * 0.99, 20_000)
    before = rng.binomial(clicks, true)
    predicted = conversion_ppm(np.full(20_000, clicks), before) / 1e6

    assert predicted.mean() == pytest.approx(true.mean(), rel=0.02)
    high = predicted > np.quantile(predicted, 0.7)
    assert predicted[high].mean() == pytest.approx(true[high].mean(), rel=0.05)
