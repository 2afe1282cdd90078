"""A candidate is held against the model in production, on the same rows, by numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from open_gate import OPEN

from ranking.bundle import Bundle
from ranking.calibration import Calibration
from ranking.challenge import challenge
from ranking.dataset import Impressions
from ranking.export import export
from ranking.gate import GateRefused, GateSettings


def value(report, name):
    (found,) = (one.value for one in report.checks if one.name == name)
    return found


def failed(report):
    return {one.name for one in report.checks if not one.passed}


def forgetful(bundle: Bundle) -> Bundle:
    """Knows nothing of requests but noise."""
    tower = bundle.towers.request_tower
    noise = np.random.default_rng(2).normal(0, 2, tower.wide.shape).astype(np.float32)
    towers = replace(bundle.towers, request_tower=replace(tower, wide=tower.wide + noise))
    return replace(bundle, towers=towers)


def scaled(known: Calibration, factor: float) -> Calibration:
    return replace(known, probability=np.clip(known.probability * np.float32(factor), 0, 1))


@pytest.fixture(scope="module")
def limits() -> GateSettings:
    """The usual ones but for what this little model's own calibration breaks."""
    return replace(GateSettings(), ece=1.0, ece_share=1.0, candidate_copc=0.5)


def test_a_twin_differs_by_nothing_and_passes(bundle: Bundle, table: Impressions, limits):
    report = challenge(bundle, bundle, table, limits)

    assert value(report, "AUC change") == 0.0
    assert value(report, "logloss rise for certain") == 0.0
    assert report.passed


def test_a_model_that_ranks_worse_is_refused_with_its_numbers(bundle, table, limits):
    report = challenge(forgetful(bundle), bundle, table, limits)

    assert {"AUC change", "logloss rise for certain"} <= failed(report)
    with pytest.raises(GateRefused, match=r"candidate is refused: AUC change -0\.\d+ \(limit ≥"):
        report.require()
    (auc,) = (one for one in report.checks if one.name == "AUC change")
    assert auc.interval.low < auc.value < auc.interval.high < 0


def test_the_same_model_the_other_way_round_is_a_gain(bundle, table, limits):
    report = challenge(bundle, forgetful(bundle), table, limits)

    assert report.passed
    assert value(report, "AUC change") > 0.05


def test_rates_that_are_far_off_are_refused_though_they_rank_alike(bundle, table):
    usual = replace(GateSettings(), ece=1.0, ece_share=1.0)
    off = replace(bundle, calibration=scaled(bundle.calibration, 1.6))

    report = challenge(off, bundle, table, usual)

    assert value(report, "AUC change") == pytest.approx(0.0, abs=1e-3)
    assert "COPC off 1" in failed(report)


def test_export_challenges_the_incumbent_and_signs_for_it(checkpoint: Path, bundle, tmp_path: Path):
    manifest = export(checkpoint, tmp_path / "1", settings=OPEN, incumbent=bundle)

    assert manifest["challenge"]["passed"]
    assert manifest["challenge"]["incumbent"] == bundle.version
    assert Bundle.load(tmp_path / "1").manifest["challenge"] == manifest["challenge"]


def test_a_challenger_that_loses_leaves_its_report_and_no_file(
    checkpoint: Path, bundle: Bundle, tmp_path: Path
):
    impossible = replace(OPEN, candidate_auc_drop=-0.5)

    with pytest.raises(GateRefused, match="candidate is refused: AUC change"):
        export(checkpoint, tmp_path / "1", settings=impossible, incumbent=bundle)

    assert not (tmp_path / "1").exists()
    assert not json.loads((checkpoint / "challenge.json").read_text())["passed"]


def test_without_an_incumbent_it_is_said_that_nobody_was_challenged(released: Path):
    assert "skipped" in Bundle.load(released).manifest["challenge"]
