"""Intervals as wide as drawing the requests again would make them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ranking.intervals import FIGURES, Sample, differences, intervals
from ranking.metrics import auc, measure


def drawn(rng: np.random.Generator, requests: int) -> tuple[Sample, np.ndarray, np.ndarray]:
    """Requests of 1 to 4 rows with something in common; the truth, and the truth with noise."""
    of = np.repeat(np.arange(requests), rng.integers(1, 5, requests))
    logit = rng.normal(-1.5, 0.8, requests)[of] + rng.normal(0, 0.7, len(of))
    truth = 1 / (1 + np.exp(-logit))
    noisy = 1 / (1 + np.exp(-logit - rng.normal(0, 0.5, len(of))))
    click = (rng.random(len(of)) < truth).astype(np.uint8)
    return Sample(click, of, rng.uniform(0.5, 2.0, len(of))), truth, noisy


def brute(sample: Sample, before, after, rng: np.random.Generator, turns: int = 300):
    """[turns, 2] AUC and logloss of `after` less those of `before`, requests drawn with return."""
    rows = [np.flatnonzero(sample.of == one) for one in range(sample.of[-1] + 1)]
    found = []
    for _ in range(turns):
        pick = np.concatenate([rows[one] for one in rng.integers(0, len(rows), len(rows))])
        one, two = (
            measure(sample.click[pick], model[pick], sample.weight[pick])
            for model in (before, after)
        )
        found.append((two.auc - one.auc, two.logloss - one.logloss, two.copc - one.copc, one.auc))
    return np.array(found)


def test_intervals_are_as_wide_as_those_of_drawing_requests_again(rng: np.random.Generator):
    sample, truth, noisy = drawn(rng, 700)
    low, high = np.quantile(brute(sample, truth, noisy, rng), [0.025, 0.975], axis=0)

    change = differences(sample, truth, noisy, rng)
    own = intervals(sample, truth, rng)["auc"]

    found = [change["auc"], change["logloss"], change["copc"], own]
    for one, least, most in zip(found, low, high, strict=True):
        assert one.high - one.low == pytest.approx(most - least, rel=0.25)
        assert abs(one.low - least) < 0.3 * (most - least)


def test_the_value_is_the_figure_itself(rng: np.random.Generator):
    sample, truth, _ = drawn(rng, 300)

    found = intervals(sample, truth, rng)

    exact = measure(sample.click, truth, sample.weight)
    for name in FIGURES:
        assert found[name].value == pytest.approx(getattr(exact, name), rel=1e-9)


def test_nineteen_in_twenty_intervals_hold_the_truth(rng: np.random.Generator):
    """Of 60 samples; 51 is where chance alone would seldom come."""
    _, truth, _ = drawn(np.random.default_rng(0), 60_000)
    true = auc((np.random.default_rng(1).random(len(truth)) < truth).astype(np.uint8), truth)

    held = 0
    for _ in range(60):
        sample, rate, _ = drawn(rng, 400)
        one = intervals(Sample(sample.click, sample.of), rate, rng)["auc"]
        held += one.low <= true <= one.high

    assert 51 <= held <= 60


def test_twins_differ_by_nothing_however_uncertain_they_are(rng: np.random.Generator):
    sample, truth, _ = drawn(rng, 300)

    change = differences(sample, truth, truth, rng)

    for one in change.values():
        assert one.low == one.value == one.high == 0.0


def test_a_million_rows_take_seconds(rng: np.random.Generator):
    of = np.arange(1_000_000) // 2
    rate = rng.beta(1, 60, len(of))
    sample = Sample((rng.random(len(of)) < rate).astype(np.uint8), of)
    start = time.process_time()

    differences(sample, rate, rate * 1.01, rng)

    assert time.process_time() - start < 10.0
