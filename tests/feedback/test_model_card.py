"""The card of a trained run: its figures are those of the run, its pictures are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adserver.training import simulated
from feedback.model_card import drift_of, met, roc_of, write_card
from ranking.dataset import Impressions
from ranking.metrics import auc
from ranking.training import TrainSettings, train

PICTURES = ("roc.png", "calibration.png", "drift.png", "scores.png")


@pytest.fixture(scope="module")
def table() -> Impressions:
    return simulated(1_000, 9_000, seed=3)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    settings = TrainSettings(epochs=1, batch=256)
    return train(table, tmp_path_factory.mktemp("card") / "run", settings, seed=1)


def test_a_card_has_its_figures_and_its_pictures(run, table):
    text = write_card(run, table).read_text()

    for name in PICTURES:
        assert (run / name).read_bytes()[:4] == b"\x89PNG"
        assert f"({name})" in text
    assert "before calibration" in text
    assert "of the AUC that the true click rates have" in text
    assert f"{len(table):,} impressions" in text
    assert "2026-01-05 00:" in text


def test_a_run_of_a_real_log_has_no_truth_in_its_card(run, table, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for one in run.iterdir():
        if one.is_file():
            (copy / one.name).write_bytes(one.read_bytes())
    test = Impressions.load(run / "test_slice.npz")
    replace(test, truth=np.zeros(0, np.float32)).save(copy / "test_slice.npz")

    text = write_card(copy, replace(table, time_ms=np.zeros(0, np.int64))).read_text()

    assert "true" not in text.split("## Drift")[0]


def test_the_area_under_the_curve_is_the_auc(table, rng):
    score = rng.random(len(table)) + table.truth

    false, true = roc_of(table, score)

    assert np.trapezoid(true, false) == pytest.approx(auc(table.click, score), abs=0.01)


def test_the_curve_of_calibration_has_rates_by_weight(table, rng):
    """Half of the unclicked, each standing for two: what is seen stays the same."""
    rate = table.truth.astype(np.float64)
    kept = (table.click > 0) | (rng.random(len(table)) < 0.5)
    half = table.where(kept)
    half = replace(half, weight=np.where(half.click > 0, 1, 2).astype(np.float32))

    _, seen, _ = met(table, rate)
    _, again, _ = met(half, rate[kept])

    assert again.mean() == pytest.approx(seen.mean(), rel=0.05)


def test_what_changed_between_the_days_stands_first(table, run):
    weights = dict(np.load(run / "weights.npz"))
    last = table.time_ms > table.time_ms[-1] - 86_400_000
    request = table.request.copy()
    request[np.unique(table.of[last]), 2] = request[0, 2]  # everybody has the same device

    found = drift_of(replace(table, request=request), weights)

    names = [name for name in found.name if not name.startswith("count.")]
    assert names[0] == "device"
    assert found.psi[found.name.index("device")] > 10 * found.critical[found.name.index("device")]
