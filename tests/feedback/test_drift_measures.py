import numpy as np
import pytest

from feedback.drift.measures import (
    gap_chance,
    greatest_gap,
    holm,
    psi,
    psi_chance,
    shares,
)

START = np.array([0, 2, 12])
"""Features of two and of ten bins."""


def test_equal_shares_are_no_distance_apart():
    share = shares(np.arange(12.0), START)

    assert np.add.reduceat(share, START[:-1]) == pytest.approx([1, 1])
    assert psi(share, share, START) == pytest.approx([0, 0])
    assert greatest_gap(share, share, START) == pytest.approx([0, 0])


def test_psi_and_gap_are_those_of_the_definition():
    found, expected = (
        np.array([0.6, 0.4, *[0.1] * 10]),
        np.array([0.5, 0.5, 0.2, 0.0125, *[0.1] * 8]),
    )
    expected[2:] /= expected[2:].sum()

    by_hand = 0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5)
    assert psi(found, expected, START)[0] == pytest.approx(by_hand)
    gaps = np.abs(np.cumsum(found[2:]) - np.cumsum(expected[2:])).max()
    assert greatest_gap(found, expected, START) == pytest.approx([0.1, gaps])


def test_without_drift_one_window_in_a_thousand_exceeds_the_critical_values():
    """20,000 pairs of samples; 20 are expected of each measure, and no more than 34 by chance."""
    rng = np.random.default_rng(1)
    start, p = np.array([0, 10]), np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03])
    n, m, runs = 3000, 12_000, 20_000
    noise = np.array([1 / n + 1 / m])
    alarms = np.zeros(2)
    for count, other in zip(rng.multinomial(n, p, runs), rng.multinomial(m, p, runs), strict=True):
        pair = shares(count, start), shares(other, start)
        alarms[0] += psi_chance(psi(*pair, start), np.array([10]), noise)[0] < 0.001
        alarms[1] += gap_chance(greatest_gap(*pair, start), noise)[0] < 0.001

    assert 8 <= alarms[0] <= 34
    assert alarms[1] <= 34  # ten bins only: the gap between the edges is not seen


def test_the_critical_gap_of_a_thousandth_is_1_95_by_the_size_of_the_samples():
    noise = np.array([1 / 5000 + 1 / 20_000])

    assert gap_chance(1.95 * np.sqrt(noise), noise) == pytest.approx(0.001, rel=0.01)


def test_holm_rejects_in_order_until_the_first_that_stands():
    falls = holm(np.array([0.02, 0.0001, np.nan, 0.0004, 0.0006]), 0.001)

    assert falls.tolist() == [False, True, False, False, False]
    assert holm(np.array([0.0001, 0.0002]), 0.001).all()
    assert not holm(np.array([np.nan, np.nan]), 0.001).any()
    assert len(holm(np.empty(0), 0.001)) == 0
