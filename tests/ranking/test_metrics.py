"""The figures that releases are judged by, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ranking.metrics import auc, ece, ece_by_chance, logloss, measure


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


def test_a_weight_of_two_is_the_row_twice(rng: np.random.Generator):
    click = (rng.random(400) < 0.3).astype(np.uint8)
    rate = np.round(rng.random(400), 2)
    weight = rng.integers(1, 4, 400)

    weighed = measure(click, rate, weight.astype(np.float32))
    repeated = measure(np.repeat(click, weight), np.repeat(rate, weight))

    for name in ("auc", "logloss", "normalised_entropy", "copc"):
        assert getattr(weighed, name) == pytest.approx(getattr(repeated, name))
    # bins of equal mass are cut between rows, so heavy rows move their edges a little
    assert weighed.ece == pytest.approx(repeated.ece, rel=0.1)


def test_the_ece_of_the_truth_is_what_chance_gives(rng: np.random.Generator):
    rate = rng.beta(1, 60, 50_000)

    found = [ece((rng.random(50_000) < rate).astype(np.uint8), rate) for _ in range(20)]

    assert np.mean(found) == pytest.approx(ece_by_chance(rate), rel=0.15)


def test_ece_has_twenty_bins_of_equal_mass(rng: np.random.Generator):
    """Against the definition, bin by bin."""
    rate = rng.random(2_000)
    click = (rng.random(2_000) < rate**2).astype(np.uint8)

    parts = np.array_split(np.argsort(rate), 20)

    plain = sum(len(one) * abs(rate[one].mean() - click[one].mean()) for one in parts) / 2_000
    assert ece(click, rate) == pytest.approx(plain)
