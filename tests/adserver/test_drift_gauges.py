"""What Prometheus and operators are told of drift, and when the running system looks for it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import pytest

from adserver import metrics
from adserver.drift.files import DriftFiles, Findings
from adserver.drift.gauges import DriftGauges
from adserver.drift.hourly import MARGIN_S, keep_looking, pause_s
from feedback.drift.report import CalibrationFigures, FeatureFigures, Figures, VectorFigures
from feedback.drift.retrain import Action, Cause, Response

ALERTS = Path(__file__).parent.parent.parent / "deploy" / "alerts.yaml"
DEVICE = FeatureFigures("device", "input", True, 0.3, 0.02, None, None, True, 4, True)
SCORE = FeatureFigures("score", "outcome", False, 0.01, 0.02, 0.03, 0.05, False, 0, False)
FOUND = Findings(
    at_ms=5_000_000,
    model=3,
    data_ms=1_000_000,
    reference="its training data",
    note="",
    figures=Figures(
        windows=7,
        since_ms=0,
        until_ms=3_600_000,
        requests=900,
        features=(DEVICE, SCORE),
        calibration=CalibrationFigures(90.0, 60.0, 1.5, 9.0, 0.0, 8.0, True),
        vectors=VectorFigures(None, None, False),
    ),
    days=None,
    alarms=("device", "calibration"),
    due=Response(Action.REFIT, Cause.CALIBRATION, "clicks are not as predicted"),
)


def told(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_the_findings_in_the_data_folder_are_told_and_change_with_it(tmp_path):
    files, gauges = DriftFiles(tmp_path), DriftGauges(tmp_path)
    files.keep(FOUND)
    asyncio.run(gauges.tell_drift())

    assert told("adserver_drift_psi", feature="device") == 0.3
    assert told("adserver_drift_ks", feature="device") is None  # names have none
    assert told("adserver_drift_alarm", of="device") == 1
    assert told("adserver_drift_alarm", of="calibration") == 1
    assert told("adserver_drift_cusum", side="above") == 9.0
    assert told("adserver_retrain_due", action="refit", cause="calibration") == 1

    files.keep(msgspec.structs.replace(FOUND, due=None))
    asyncio.run(gauges.tell_drift())

    assert told("adserver_retrain_due", action="refit", cause="calibration") == 0


def test_a_data_folder_without_findings_tells_nothing(tmp_path):
    metrics_before = told("adserver_drift_checked_seconds")

    asyncio.run(DriftGauges(tmp_path).tell_drift())

    assert told("adserver_drift_checked_seconds") == metrics_before


def test_every_alert_is_about_a_metric_that_there_is():
    known = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
    known |= {family.name for family in metrics.REGISTRY.collect()}
    known |= {f"{name}_total" for name in known}

    asked = set(
        re.findall(r"adserver_[a-z_]+", " ".join(re.findall(r"expr: .*", ALERTS.read_text())))
    )

    assert len(asked) >= 6
    assert asked <= known


@pytest.mark.parametrize(("now_s", "pause"), [(0, 1230), (1229, 1), (1230, 3600), (4829, 1)])
def test_an_hour_is_looked_at_as_soon_as_its_clicks_are_in(now_s, pause):
    """Twenty minutes after it for impressions and clicks, and a margin."""
    assert MARGIN_S == 30
    assert pause_s(now_s, 3600) == pause


def test_a_look_that_fails_does_not_end_the_looking():
    asked = []

    async def watched():
        third = asyncio.Event()

        def clock():
            asked.append(1230.0)
            if len(asked) == 3:
                third.set()
            return asked[-1]

        command = (sys.executable, "-c", "raise SystemExit(1)")
        looking = asyncio.create_task(keep_looking(0.05, command, clock))
        await asyncio.wait_for(third.wait(), 30)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(watched())

    assert len(asked) >= 3
