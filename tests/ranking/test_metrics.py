"""The figures that releases are judged by, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ranking.metrics import auc, ece, logloss, measure


def test_auc_is_the_chance_that_a_click_outranks_the_rest(rng: np.random.Generator):
    click = (rng.random(300) < 0.3).astype(np.uint8)
    score = rng.integers(0, 20, 300) / 20 + click * 0.2

    pairs = score[click == 1][:, None] - score[click == 0][None, :]

    assert auc(click, score) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_auc_of_one_kind_only_is_unknown():
    assert math.isnan(auc(np.zeros(3, np.uint8), np.arange(3.0)))


def test_logloss_of_a_coin_is_ln_2():
    assert logloss(np.array([0, 1], np.uint8), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def test_the_average_rate_has_normalised_entropy_one(rng: np.random.Generator):
    click = (rng.random(5_000) < 0.1).astype(np.uint8)

    found = measure(click, np.full(5_000, click.mean()))

    assert found.normalised_entropy == pytest.approx(1.0)
    assert found.copc == pytest.approx(1.0)


def test_ece_sees_what_copc_does_not():
    """Half the rows twice too high, half of them too low: right on average, wrong everywhere."""
    click = np.concatenate([np.tile([1, 0, 0, 0], 500), np.tile([1, 1, 1, 0], 500)]).astype(
        np.uint8
    )
    rate = np.concatenate([np.full(2_000, 0.45), np.full(2_000, 0.55)])

    assert measure(click, rate).copc == pytest.approx(1.0)
    assert ece(click, rate) == pytest.approx(0.2, abs=0.001)
