"""Whole days of paced campaigns, forecast right, half and double; `bench.pacing_day` plays more.

A day has 24 hours of 150 clock seconds here, so every second of learning costs 24 times as much of
the plan as it would.
"""

from __future__ import annotations

import pytest

from bench.pacing_day import FORECASTS, Day, Scene

SMALL = {"campaigns": 1, "hour_s": 150, "budget_micros": 10_000_000}
BID_MICROS = 80_000
"""The dearest event: one click."""


@pytest.mark.parametrize(
    ("shape", "workers", "killed", "deviation"),
    [
        ("flat", 1, False, 0.1),
        ("double", 1, False, 0.1),
        ("double", 4, False, 0.1),
        ("flat", 4, True, 0.1),
        ("spiky", 4, True, 0.15),
    ],
)
def test_a_day_ends_with_its_budget_spent_hour_by_hour_as_planned(
    shape, workers, killed, deviation
):
    """What bursts spent too much of is missing in the last hours: spiky days may deviate more."""
    scene = Scene(shape, workers, killed, **SMALL)

    outcome = Day(scene).run()

    assert outcome.faults == []
    assert len(outcome.spent) == 2 * len(FORECASTS)
    assert (outcome.delivered >= 0.975).all()
    over = outcome.spent - scene.budget_micros
    assert (over <= max(BID_MICROS, scene.budget_micros // 200)).all()
    per_impression = ~outcome.per_click
    assert outcome.deviation(outcome.hourly)[:, per_impression].max() <= deviation
