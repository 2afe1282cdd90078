"""Good models keep their trial and bad ones lose it soon: simulated seconds, delayed clicks."""

from __future__ import annotations

import pytest

from adserver.releases.guardrails import Call
from adserver.releases.states import State
from bench.trial import FAULTS, USUAL, Trial


def test_hundreds_of_quiet_canaries_lose_no_more_than_the_stated_chance():
    """By each of seven limits 1 in 1000, of 200: more than four has itself a chance of 2 %."""
    seconds = int(USUAL.canary1_s) + 60
    calls = [Trial(every_s=10).judged(seed, seconds)[0].call for seed in range(200)]

    assert calls.count(Call.ROLL_BACK) <= 4
    assert calls.count(Call.ADVANCE) >= 190


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("calibration x 3", "order of size"),
        ("calibration / 3", "order of size"),
        ("slow scorer", "percentile"),
    ],
)
@pytest.mark.parametrize("state", [State.CANARY_1, State.CANARY_10])
def test_a_broken_canary_is_gone_within_a_minute(state, fault, reason):
    for seed in range(5):
        found, age = Trial(state, FAULTS[fault]).judged(seed, 60)

        assert found.call is Call.ROLL_BACK
        assert reason in found.reason
        assert age <= 50


@pytest.mark.parametrize(
    "fault", ["calibration x 1.5", "half of the clicks", "half of the revenue"]
)
def test_what_only_clicks_can_show_is_found_before_a_canary_rises(fault):
    for seed in range(3):
        found, _ = Trial(State.CANARY_10, FAULTS[fault], every_s=10).judged(seed, 1800)

        assert found.call is Call.ROLL_BACK


@pytest.mark.parametrize("fault", ["calibration x 3", "slow scorer", "1 of 100 fails"])
def test_a_production_that_breaks_after_its_promotion_is_gone_within_a_minute(fault):
    for seed in range(3):
        found, _ = Trial(State.PRODUCTION, FAULTS[fault]).judged(seed, 60)

        assert found.call is Call.ROLL_BACK


def test_a_promoted_version_is_not_blamed_for_clicks_that_are_still_to_come():
    calls = [Trial(State.PRODUCTION, every_s=20).judged(seed, 1800)[0].call for seed in range(40)]

    assert set(calls) == {Call.KEEP}
