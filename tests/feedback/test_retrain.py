from dataclasses import replace
from itertools import pairwise

import pytest

from feedback.drift.retrain import Action, State, retrain_decision
from feedback.drift.settings import DriftSettings, RetrainSettings

HOUR = 3_600_000
NOW = 1000 * HOUR
SETTINGS = RetrainSettings()
FRESH = State(trained_ms=NOW - 5 * HOUR, data_ms=NOW - 6 * HOUR)
DRIFTED = ("country", "device")


def action(state, settings=SETTINGS, now=NOW):
    response = retrain_decision(state, settings, now)
    return response and response.action


def test_a_fresh_model_without_evidence_is_left_alone():
    assert retrain_decision(FRESH, SETTINGS, NOW) is None


def test_old_data_asks_for_a_training_by_itself():
    old = replace(FRESH, data_ms=NOW - 24 * HOUR)

    response = retrain_decision(old, SETTINGS, NOW)

    assert response.action is Action.RETRAIN
    assert "24.0 h old" in response.reason


def test_two_drifted_features_ask_for_a_training_and_one_does_not():
    assert action(replace(FRESH, drifted=DRIFTED)) is Action.RETRAIN
    assert action(replace(FRESH, drifted=DRIFTED[:1])) is None


def test_the_reason_names_the_features():
    assert (
        "country, device" in retrain_decision(replace(FRESH, drifted=DRIFTED), SETTINGS, NOW).reason
    )


def test_a_calibration_that_drifts_is_fitted_first_and_the_model_trained_if_it_drifts_again():
    first = replace(FRESH, miscalibrated=True)

    assert action(first) is Action.REFIT
    assert action(replace(first, refit_ms=NOW - 23 * HOUR)) is Action.RETRAIN
    assert action(replace(first, refit_ms=NOW - 25 * HOUR)) is Action.REFIT


def test_no_evidence_makes_trainings_follow_each_other_faster_than_stability_allows():
    wild = replace(FRESH, drifted=DRIFTED, miscalibrated=False, data_ms=NOW - 100 * HOUR)

    assert action(replace(wild, trained_ms=NOW - 4 * HOUR + 1)) is None
    assert action(replace(wild, trained_ms=NOW - 4 * HOUR)) is Action.RETRAIN


def test_while_a_training_has_to_wait_the_calibration_is_still_fitted_but_not_in_a_rush():
    waiting = replace(FRESH, trained_ms=NOW - HOUR, drifted=DRIFTED, miscalibrated=True)

    assert action(waiting) is Action.REFIT
    assert action(replace(waiting, refit_ms=NOW - 899_999)) is None
    assert action(replace(waiting, refit_ms=NOW - 900_000)) is Action.REFIT


def test_over_a_month_of_constant_evidence_trainings_stay_apart_and_never_grow_old():
    """Freshness and stability hold together, whatever drifts."""
    for drifted in ((), DRIFTED):
        trained = [0]
        for now in range(0, 30 * 24 * HOUR, HOUR // 4):
            state = State(trained[-1], trained[-1], drifted=drifted)
            if action(state, now=now) is Action.RETRAIN:
                trained.append(now)
        gaps = {b - a for a, b in pairwise(trained)}
        assert gaps == {4 * HOUR if drifted else 24 * HOUR}


@pytest.mark.parametrize(
    "wrong",
    [
        RetrainSettings(min_interval_s=0),
        RetrainSettings(max_age_s=3600),
        RetrainSettings(features=0),
    ],
)
def test_settings_that_contradict_each_other_are_named(wrong):
    assert list(wrong.problems())


def test_drift_settings_out_of_bounds_are_named():
    wrong = DriftSettings(window_hours=5, lasting=0, significance=1.0)

    assert len(list(wrong.problems())) == 3
    assert not [*DriftSettings().problems(), *RetrainSettings().problems()]
