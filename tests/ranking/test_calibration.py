"""Log-odds become rates that are met on average, and never change places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from ranking.calibration import Calibration, pool_adjacent_violators
from ranking.metrics import ece

ROWS = 250_000


def overconfident(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores twice as extreme as the truth, and the clicks."""
    true = rng.normal(-3.5, 0.8, ROWS)
    click = (rng.random(ROWS) < 1 / (1 + np.exp(-true))).astype(np.uint8)
    return (2 * true + 2).astype(np.float32), click


def test_pooling_gives_the_nearest_rising_sequence():
    value = np.array([1.0, 3.0, 2.0, 2.0, 5.0, 4.0])
    weight = np.array([1.0, 1.0, 1.0, 2.0, 1.0, 3.0])

    pooled = pool_adjacent_violators(value, weight)

    assert_allclose(pooled, [1.0, 2.25, 2.25, 2.25, 4.25, 4.25])


def test_calibration_mends_an_overconfident_model(rng: np.random.Generator):
    score, click = overconfident(rng)
    newer, later_click = overconfident(rng)

    calibrated = Calibration.fit(score, click)

    raw = ece(later_click, Calibration.plain()(newer))
    mended = ece(later_click, calibrated(newer))
    assert mended < 0.2 * raw
    assert mended < 0.005


def test_a_higher_score_is_never_a_lower_rate(rng: np.random.Generator):
    calibrated = Calibration.fit(*overconfident(rng))

    assert len(calibrated.probability) <= 256
    assert (np.diff(calibrated.probability) > 0).all()


def test_without_a_single_click_the_map_still_rises(rng: np.random.Generator):
    calibrated = Calibration.fit(
        rng.normal(-4, 1, 500).astype(np.float32), np.eye(1, 500, dtype=np.uint8)[0]
    )

    assert (np.diff(calibrated.probability) > 0).all()
    assert calibrated.probability[-1] < 1


def test_whole_millionths_agree_with_the_map(rng: np.random.Generator):
    calibrated = Calibration.fit(*overconfident(rng))
    logit = rng.normal(-4, 4, 400).astype(np.float32)
    slot = np.array([0.0, -0.7, 30.0, -30.0], np.float32)

    ppm = calibrated.ppm(logit[:, None] + slot[None, :])

    exact = calibrated((logit[:, None] + slot[None, :]).astype(np.float64)).astype(np.float64) * 1e6
    assert_allclose(ppm, np.clip(exact, 1, 999_999), atol=1.01)
    assert ppm.min() >= 1
    assert ppm.max() <= 999_999


def test_a_stored_map_is_the_same_map(rng: np.random.Generator, tmp_path: Path):
    calibrated = Calibration.fit(*overconfident(rng))
    calibrated.save(tmp_path / "map.npz")

    stored = Calibration.load(tmp_path / "map.npz")

    assert_array_equal(stored.probability, calibrated.probability)
    assert (stored.first, stored.step) == (calibrated.first, calibrated.step)


def test_a_slice_of_fewer_rows_than_bins_gives_a_map_too():
    few = np.linspace(-5, -2, 30).astype(np.float32)

    calibrated = Calibration.fit(few, (few > -2.5).astype(np.uint8))

    assert (np.diff(calibrated.probability) > 0).all()


def test_few_clicks_bend_the_map_little_and_many_follow_it_anywhere(rng: np.random.Generator):
    """A hundred clicks leave the order of ads nearly as the model has it: no flat steps."""
    true = rng.normal(-3.7, 0.8, 4_000)
    click = (rng.random(len(true)) < 1 / (1 + np.exp(-true))).astype(np.uint8)

    few = Calibration.fit(true.astype(np.float32), click)

    at = np.linspace(-5.5, -2.0, 36).astype(np.float32)
    said = np.log(few(at) / (1 - few(at)))
    assert (np.diff(said) < 0.02).mean() < 0.1
    assert np.abs(said - at).max() < 0.6
