import numpy as np
import pytest

from feedback.drift.cusum import Calibration, delay, run_length, sums

SLACK = 0.5


def windows(z, expected=400.0):
    """Clicks that lie z standard deviations off the prediction."""
    p = np.full(z.shape, expected)
    return Calibration(p + z * np.sqrt(p), p, p)


def test_sums_are_those_of_the_recursion():
    z = np.random.default_rng(1).normal(size=300)
    above = below = 0.0
    expected = []
    for one in z:
        above, below = max(0.0, above + one - SLACK), max(0.0, below - one - SLACK)
        expected.append((above, below))

    found = sums(windows(z), 0.0, SLACK)

    assert np.stack([found.above, found.below], axis=1) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("threshold", [3.0, 4.0, 8.0])
def test_false_alarms_come_as_seldom_as_stated(threshold):
    """Runs without drift, each until its first alarm; the stated mean run length within 10 %."""
    rng = np.random.default_rng(2)
    stated = run_length(threshold, SLACK)
    runs, steps = 3000, 1500
    above = below = np.zeros(runs)
    running = np.ones(runs, np.bool_)
    watched = 0
    for _ in range(steps):
        z = rng.normal(size=runs)
        above, below = np.maximum(0, above + z - SLACK), np.maximum(0, below - z - SLACK)
        watched += int(running.sum())
        running &= np.maximum(above, below) <= threshold

    assert watched / (~running).sum() == pytest.approx(stated, rel=0.1)


def test_the_default_threshold_is_one_false_alarm_in_a_year_of_hours():
    assert 365 * 24 < run_length(8.0, SLACK) < 10_000


def test_summing_how_far_off_without_the_sign_alarms_where_nothing_is_wrong():
    """The mean of |z| is 0.8, so that such a sum climbs by 0.3 a window."""
    z = np.random.default_rng(3).normal(size=200)

    assert np.maximum.accumulate(np.cumsum(np.abs(z) - SLACK))[-1] > 40


@pytest.mark.parametrize("copc", [0.98, 1.0, 1.02])
def test_what_the_release_gate_tolerates_does_not_alarm_in_5000_windows(copc):
    rng = np.random.default_rng(4)
    click = rng.poisson(900 * copc, 5000).astype(np.float64)

    found = sums(Calibration(click, np.full(5000, 900.0), np.full(5000, 900.0)), 0.03, SLACK)

    assert max(found.above.max(), found.below.max()) < 8.0


@pytest.mark.parametrize("copc", [0.8, 0.9, 1.1, 1.3])
def test_a_shift_is_found_within_the_stated_delay(copc):
    rng = np.random.default_rng(5)
    click = rng.poisson(900 * copc, 100).astype(np.float64)

    found = sums(Calibration(click, np.full(100, 900.0), np.full(100, 900.0)), 0.03, SLACK)

    side = found.above if copc > 1 else found.below
    first = int(np.argmax(side > 8.0)) + 1
    assert side[-1] > 8.0
    assert first <= 2 * delay(copc, 900, 0.03, SLACK, 8.0) + 1


def test_what_is_tolerated_is_never_found():
    assert delay(1.02, 1e6, 0.03, SLACK, 8.0) == float("inf")
