"""A small simulated market, quiet and shifted; `bench.drift` does the same at size."""

import pytest

from bench.drift import Scene, delay, quiet
from feedback.drift.settings import DriftSettings
from simulator.market.settings import MarketSettings, ShiftKind

SETTINGS = DriftSettings()
DAYS = 3
"""Of the reference: Monday to Wednesday."""


@pytest.fixture(scope="module")
def scene():
    return Scene.of(MarketSettings(seed=4, ads=300, visits_per_day=12_000, days=8), DAYS)


def test_two_quiet_days_give_no_alarm(scene):
    found = quiet(scene, DAYS, 2, SETTINGS)

    assert found["windows"] >= 36
    assert found["alarms"] == {}


@pytest.mark.parametrize(
    ("kind", "by"),
    [(ShiftKind.DOMAIN_FLOODS, "categories"), (ShiftKind.SEGMENTS_VANISH, "segments")],
)
def test_an_abrupt_shift_is_told_after_three_hours_and_by_its_name(scene, kind, by):
    found = delay(scene, kind, DAYS, SETTINGS, days=2)

    assert found["value"] == SETTINGS.lasting
    assert by in found["told_by"]
