import numpy as np
import pytest

from feedback.experiments.ratios import MISMATCH, Measured, effect, mismatch, users_needed


def drawn(rng, users=2000, lift=0.0, constancy=4.0, shown=10.0):
    """Clicks and impressions of users whose own rates and visits differ widely, before and now."""
    arm = rng.integers(0, 2, users).astype(np.int8)
    rate = np.clip(0.05 * rng.gamma(constancy, 1 / constancy, users), 0, 0.8)
    visits = rng.gamma(2, shown / 2, users)
    before, now = rng.poisson(visits), rng.poisson(visits) + 1
    clicks_before = rng.binomial(before, rate)
    clicks = rng.binomial(now, np.clip(rate * (1 + lift * arm), 0, 1))
    columns = (clicks, now, clicks_before, before)
    return Measured(arm, *(column.astype(np.float64) for column in columns))


def test_sizes_that_chance_gives_are_no_mismatch():
    asked = np.array([0.7, 0.2, 0.1])

    drawn_sizes = np.random.default_rng(1).multinomial(20_000, asked)

    assert mismatch(drawn_sizes, asked) > MISMATCH


def test_of_1000_experiments_without_effect_one_in_twenty_is_significant():
    """Nominal 5 %: 36 to 64 of 1,000 with 95 % certainty, with and without CUPED."""
    rng = np.random.default_rng(1)
    alarms = np.zeros(2)
    for _ in range(1000):
        users = drawn(rng, users=600)
        alarms += [effect(users, 0, 1, cuped).chance < 0.05 for cuped in (False, True)]

    assert 36 <= alarms[0] <= 64
    assert 36 <= alarms[1] <= 64


def test_taking_impressions_for_independent_would_find_effects_that_are_not_there():
    """Why the variance is taken over users: clicks of one user come together."""
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(400):
        users = drawn(rng, users=400, constancy=0.3, shown=60)
        shown = [users.below[users.arm == arm].sum() for arm in (0, 1)]
        rate = [users.above[users.arm == arm].sum() / n for arm, n in enumerate(shown)]
        error = np.sqrt(sum(r * (1 - r) / n for r, n in zip(rate, shown, strict=True)))
        wrong += abs(rate[1] - rate[0]) > 1.96 * error

    assert wrong > 0.15 * 400


def test_cuped_leaves_the_variance_that_the_past_does_not_explain():
    """1 - ρ² of the correlation between what users add to the ratio now and before."""
    rng = np.random.default_rng(3)
    users = drawn(rng, users=40_000, constancy=0.5, shown=40)
    now = users.above - users.above.sum() / users.below.sum() * users.below
    before = users.above_before - (
        users.above_before.sum() / users.below_before.sum() * users.below_before
    )
    rho = np.corrcoef(now, before)[0, 1]

    found, plain = effect(users, 0, 1), effect(users, 0, 1, cuped=False)

    assert rho > 0.5
    assert found.left == pytest.approx(1 - rho**2, rel=0.01)
    assert (found.error / plain.error) ** 2 == pytest.approx(1 - rho**2, rel=0.01)


def test_the_intervals_of_a_true_effect_hold_it():
    rng = np.random.default_rng(4)
    covered, found = 0, []
    for _ in range(300):
        one = effect(drawn(rng, lift=0.2), 0, 1)
        low, high = one.interval
        covered += low < 0.05 * 0.2 < high
        found.append(one.difference)

    assert 0.92 * 300 <= covered <= 0.98 * 300
    assert np.mean(found) == pytest.approx(0.01, rel=0.05)


def test_a_difference_of_the_size_planned_for_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    users = drawn(rng, users=50_000)
    rest = users.above - users.above.sum() / users.below.sum() * users.below
    needed = users_needed(float((rest / users.below.mean()).var()), 0.05 * 0.2)

    powers = [
        effect(drawn(rng, 2 * needed, lift=0.2), 0, 1, cuped=False).chance for _ in range(300)
    ]

    assert np.mean(np.array(powers) < 0.05) == pytest.approx(0.8, abs=0.06)


def test_a_lost_part_of_one_arm_is_a_mismatch():
    even = np.array([0.5, 0.5])

    assert mismatch(np.array([5000, 5050]), even) > 0.5
    assert mismatch(np.array([5000, 5400]), even) < 0.001
    assert mismatch(np.array([100, 9900]), np.array([0.01, 0.99])) == pytest.approx(1.0)
    assert mismatch(np.array([5, 100]), np.array([0.0, 1.0])) == 0.0


def test_an_arm_without_impressions_shows_no_effect():
    nobody = Measured(np.zeros(3, np.int8), np.ones(3), np.ones(3), np.zeros(3), np.zeros(3))

    found = effect(nobody, 0, 1)

    assert (found.difference, found.chance) == (0.0, 1.0)
