"""When requests come, learnt from what was counted."""

from __future__ import annotations

import numpy as np
import pytest

from auction.traffic import HOURS, Curve, CurveLearner

HOUR = 3600.0


@pytest.fixture
def learner():
    learner = CurveLearner()
    yield learner
    assert learner.check() == []


def watch(learner, first_hour, counts):
    """Count whole hours, and begin the one after, so that the last is closed."""
    for number, count in enumerate([*counts, 0]):
        begin = (first_hour + number) * HOUR
        for part in range(4):
            learner.observe(begin + part * 900, begin + part * 900 + 899, count // 4)


def test_a_flat_curve_is_the_clock():
    curve = Curve.flat()

    assert curve.between(np.array([0.0, 1800.0]), np.array([HOUR, 9 * 7 * 24 * HOUR])).tolist() == [
        1.0,
        9 * HOURS - 0.5,
    ]


def test_mass_is_counted_across_the_end_of_the_week():
    weight = np.ones(HOURS)
    weight[0], weight[-1] = 4.0, 2.0
    curve = Curve(weight)

    mass = curve.between(np.array((HOURS - 0.5) * HOUR), np.array((HOURS + 0.5) * HOUR))

    assert mass == pytest.approx(3.0)


def test_nothing_known_is_flat(learner):
    assert learner.curve().weight.tolist() == [1.0] * HOURS


def test_one_day_teaches_the_next(learner):
    watch(learner, 24, [400] * 12 + [1200] * 12)

    weight = learner.curve().weight

    assert weight[48:60] == pytest.approx(0.5, rel=0.01)
    assert weight[60:72] == pytest.approx(1.5, rel=0.01)


def test_the_newest_week_counts_for_its_part(learner):
    watch(learner, 0, [1000])
    watch(learner, HOURS, [2000])

    assert learner.mean[0] == pytest.approx(1300, rel=0.01)


def test_a_few_minutes_of_an_hour_teach_nothing(learner):
    learner.observe(0.0, 600.0, 1_000_000)
    learner.observe(HOUR, HOUR + 1, 0)

    assert np.isnan(learner.mean).all()


def test_a_quiet_hour_keeps_a_little_weight(learner):
    watch(learner, 0, [1000] * 3 + [0])

    assert learner.curve().weight.min() > 0


def test_a_curve_without_weight_is_a_mistake():
    with pytest.raises(ValueError, match="168 positive weights"):
        Curve(np.zeros(HOURS))
