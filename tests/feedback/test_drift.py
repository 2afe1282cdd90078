from dataclasses import replace

import numpy as np
import pytest
from drifting import MONDAY_MS, USUAL, Scene, hours
from numpy.testing import assert_array_equal

from feedback.drift.columns import Role
from feedback.drift.hours import Hours, merged
from feedback.drift.judge import judge, lasting
from feedback.drift.reference import Reference, reference_of
from feedback.drift.settings import DriftSettings

SETTINGS = DriftSettings()
DAYS = 3
"""Of the reference; what follows is hours after it."""
RNG = np.random.default_rng(9)


@pytest.fixture(scope="module")
def reference():
    return reference_of(*hours(0, 24 * DAYS, seed=1))


def verdict(reference, *stretches, settings=SETTINGS, requests=2000):
    """Of (hours, scene) stretches one after another, from the end of the reference on."""
    at, parts = 24 * DAYS, []
    for count, scene in stretches:
        parts.append(reference.observe(*hours(at, count, 2, scene, requests)))
        at += count
    return judge(reference, merged(parts), settings, np.random.default_rng(3))


def first_alarm(alarm, began=24):
    """Windows from the beginning of the shift until it is reported; None if it is not."""
    after = np.flatnonzero(alarm[began:])
    return int(after[0]) + 1 if len(after) else None


def alarms_of(found, name):
    return found.alarm[:, found.name.tolist().index(name)]


def test_ten_quiet_days_give_no_alarm_though_every_hour_has_a_mix_of_its_own(reference):
    found = verdict(reference, (240, USUAL), requests=600)

    assert len(found.hour) > 220
    assert not found.alarm.any()
    assert not found.miscalibrated.any()
    assert not found.displaced.any()
    assert found.drifted == ()


def test_hours_compared_with_the_whole_reference_would_alarm_each_night(reference):
    """What matching by the clock is for: one hour's mix is not the day's."""
    quiet = verdict(reference, (24, USUAL))
    mixed = replace(reference.hours, count=np.tile(reference.hours.count.sum(0) // 72, (72, 1)))

    naive = verdict(replace(reference, hours=mixed), (24, USUAL))

    assert not quiet.alarm.any()
    assert alarms_of(naive, "device").any()


def test_another_mix_of_devices_is_reported_after_three_windows(reference):
    found = verdict(reference, (24, USUAL), (12, Scene(devices=(0.3, 0.6, 0.1))))

    assert first_alarm(alarms_of(found, "device")) == SETTINGS.lasting
    assert "device" in found.drifted
    assert not alarms_of(found, "country").any()


def test_a_value_never_seen_before_is_a_drift(reference):
    found = verdict(reference, (24, USUAL), (6, Scene(devices=(0.5, 0.3, 0.05, 0.15))))

    assert first_alarm(alarms_of(found, "device")) == SETTINGS.lasting


def test_a_shift_that_is_gone_after_two_windows_is_not_reported(reference):
    found = verdict(reference, (24, USUAL), (2, Scene(devices=(0.3, 0.6, 0.1))), (10, USUAL))

    assert found.differs[24:26].any()
    assert not found.alarm.any()


@pytest.mark.parametrize("copc", [0.7, 1.4])
def test_clicks_that_are_not_as_predicted_are_reported_whichever_way_they_go(reference, copc):
    found = verdict(reference, (24, USUAL), (24, Scene(copc=copc)))

    assert 1 <= first_alarm(found.miscalibrated) <= 10
    assert not found.alarm[:, found.top].any()  # the world looks the same, it only clicks otherwise


def test_request_vectors_that_move_are_reported(reference):
    found = verdict(reference, (24, USUAL), (12, Scene(turned=0.8)))

    assert first_alarm(found.displaced) == SETTINGS.lasting


def test_a_window_of_few_requests_is_not_judged(reference):
    found = verdict(reference, (24, USUAL), requests=150)

    assert 0 < len(found.hour) < 24  # the night's hours are too small
    assert not found.alarm.any()


def test_hours_that_the_reference_does_not_know_are_not_compared():
    mornings = reference_of(*hours(6, 6, seed=1))

    found = verdict(mornings, (24, Scene(devices=(0.1, 0.8, 0.1))))

    compared = ~np.isnan(found.psi[:, found.name.tolist().index("device")])
    assert_array_equal(found.hour[compared] % 24, np.arange(6, 12))


def test_outcomes_are_compared_with_the_first_day_of_the_model_itself(reference):
    """A model that predicts other rates than its reference's is no drift; a change later is."""
    at = 24 * DAYS
    table, score, vector = hours(at, 48, 2)
    doubled = reference.observe(table, np.minimum(score * 2, 1), vector)
    table, score, vector = hours(at + 48, 6, 2)
    doubled_again = reference.observe(table, np.minimum(score * 4, 1), vector)

    found = judge(reference, merged([doubled, doubled_again]), SETTINGS, RNG)

    assert first_alarm(alarms_of(found, "score"), began=48) == SETTINGS.lasting
    assert not alarms_of(found, "score")[:48].any()


def test_only_inputs_are_among_the_features_that_ask_for_another_model(reference):
    found = verdict(reference, (2, USUAL))

    assert 0 < found.top.sum() <= SETTINGS.top
    assert (reference.bins.role[found.top] == Role.INPUT).all()
    assert found.top[found.name.tolist().index("device")]  # of the inputs only it moves the score


def test_a_day_may_be_a_window(reference):
    daily = replace(SETTINGS, window_hours=24)

    quiet = verdict(reference, (120, USUAL), settings=daily, requests=600)
    other = verdict(reference, (72, Scene(devices=(0.3, 0.6, 0.1))), settings=daily, requests=600)

    assert len(quiet.hour) == 5
    assert not quiet.alarm.any()
    assert alarms_of(other, "device").tolist() == [False, False, True]


def test_nothing_observed_gives_no_verdict(reference):
    nothing = reference.hours.where(np.zeros(len(reference.hours), np.bool_))

    found = judge(reference, nothing, SETTINGS, RNG)

    assert len(found.hour) == 0
    assert found.drifted == ()


def test_a_reference_survives_its_file(reference, tmp_path):
    reference.save(tmp_path / "drift_reference.npz")

    loaded = Reference.load(tmp_path / "drift_reference.npz")

    found = [
        judge(one, reference.hours, SETTINGS, np.random.default_rng(1)).psi
        for one in (reference, loaded)
    ]
    assert_array_equal(*found)
    assert (tmp_path / "drift_reference.npz").stat().st_size < 300_000


def test_hours_observed_in_parts_are_the_hours_observed_at_once(reference):
    whole = reference.observe(*hours(80, 4, 2))
    parts = merged([reference.observe(*hours(80, 2, 2)), reference.observe(*hours(82, 2, 2))])

    for name in Hours.__dataclass_fields__:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name))
    assert whole.hour[0] == MONDAY_MS // 3_600_000 + 80


def test_lasting_means_in_a_row():
    differs = np.array([[1, 1, 0, 1, 1, 1, 1]], bool).T

    assert lasting(differs, 3)[:, 0].tolist() == [False] * 5 + [True] * 2
    assert not lasting(differs[:2], 3).any()
