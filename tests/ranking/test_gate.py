"""Every limit refuses by itself, with its number, and keeps silent where it is kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from ranking import gate
from ranking.gate import Compared, GateRefused, GateSettings, Replayed
from ranking.intervals import Interval
from ranking.metrics import Metrics

FLOAT = Metrics(auc=0.75, logloss=0.06, normalised_entropy=0.9, ece=0.0005, copc=1.01)
SAME = Compared(FLOAT, FLOAT, {}, {}, 0.0003, 0.012, 100_000, 1_200, 1.0)
QUIET = Replayed(
    "made up", 10_000, 15_000, Interval(0.002, 0.001, 0.003), Interval(0.0, -0.001, 0.001)
)
LIMITS = GateSettings()


def with_after(**changed: float) -> Compared:
    return replace(SAME, after=replace(FLOAT, **changed))


def test_a_twin_passes_every_gate():
    gate.quantisation(SAME, QUIET, LIMITS).require()
    gate.candidate(SAME, QUIET, LIMITS).require()
    gate.calibration(SAME, LIMITS).require()


@pytest.mark.parametrize(
    ("name", "compared", "replayed"),
    [
        ("AUC change", with_after(auc=0.7494), QUIET),
        ("AUC ratio", with_after(auc=0.7492), QUIET),
        ("logloss rise", with_after(logloss=0.0601), QUIET),
        ("COPC change", with_after(copc=1.016), QUIET),
        ("COPC change", with_after(copc=1.004), QUIET),
        ("ECE beyond chance", with_after(ece=0.0028), QUIET),
        ("winner flips", SAME, replace(QUIET, flips=Interval(0.011, 0.01, 0.012))),
        ("revenue change", SAME, replace(QUIET, revenue=Interval(0.0031, 0.0, 0.01))),
        ("revenue change", SAME, replace(QUIET, revenue=Interval(-0.0031, -0.01, 0.0))),
    ],
)
def test_each_limit_of_quantisation_refuses_with_its_number(name, compared, replayed):
    report = gate.quantisation(compared, replayed, LIMITS)

    with pytest.raises(GateRefused, match=rf"INT8 is refused: .*{name} [+-]\d\.\d+ \(limit"):
        report.require()
    failed = [one["name"] for one in report.as_json()["checks"] if not one["passed"]]
    assert name in failed
    assert set(failed) <= {name, "AUC change"}  # what breaks the ratio breaks the change too


def test_a_number_that_is_none_is_refused():
    report = gate.quantisation(with_after(auc=math.nan), QUIET, LIMITS)

    assert not report.passed
    assert report.as_json()["checks"][0]["value"] is None
    json.dumps(report.as_json(), allow_nan=False)


def test_a_candidate_may_sell_to_others_but_not_rank_worse():
    bold = replace(QUIET, flips=Interval(0.4, 0.3, 0.5), revenue=Interval(0.2, 0.1, 0.3))

    assert gate.candidate(with_after(auc=0.7491, logloss=0.0601), bold, LIMITS).passed
    assert not gate.candidate(with_after(auc=0.7489), bold, LIMITS).passed


def test_the_ece_is_judged_by_the_smaller_limit_and_beyond_chance():
    few_clicks = replace(with_after(ece=0.009), chance=0.0085)
    frequent = replace(with_after(ece=0.0048), click_rate=0.2)

    assert gate.quantisation(few_clicks, QUIET, LIMITS).passed
    assert gate.quantisation(frequent, QUIET, LIMITS).passed
    assert not gate.quantisation(replace(frequent, click_rate=0.012), QUIET, LIMITS).passed


def test_few_clicks_cannot_tell_a_map_from_a_bad_one():
    off = with_after(copc=1.05)

    assert not gate.calibration(replace(off, clicks=100_000), LIMITS).passed
    assert gate.calibration(replace(off, clicks=900), LIMITS).passed


def test_a_report_has_every_number_with_its_limit_and_its_data():
    report = gate.quantisation(SAME, QUIET, LIMITS).as_json()

    names = [one["name"] for one in report["checks"]]
    assert len(names) == len(set(names)) == 7
    assert all(one["least"] is not None or one["most"] is not None for one in report["checks"])
    assert report["data"]["rows"] == 100_000
    assert report["data"]["replay"]["pages"] == 10_000
