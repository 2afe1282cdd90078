"""The ranker against logistic regression: never worse for chance, better where there is more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clicked import crossed
from numpy.testing import assert_allclose

from ranking.tabular import compare, logistic, network
from ranking.tabular.inputs import inputs
from ranking.tabular.network import Based, NetSettings
from ranking.tabular.parts import split
from ranking.tabular.vocabulary import Limits

QUIET = NetSettings(seeds=1, epochs=4)


def unheard(stage: str, share: float) -> None:
    pass


def blank(rows):
    """Without running counts, which would give the crossing away."""
    data = inputs(rows, split(rows))
    few = slice(data.embedded)
    kept = {"first": data.first[:, few].copy(), "fields": data.fields[few]}
    return replace(data, **kept, number=data.number[:, :1].copy(), names=data.names[:1])


def test_the_ranker_finds_what_no_sum_of_weights_can():
    rows = crossed(6_000, 1)
    data, parts = blank(rows), split(rows)

    ranker = compare.ranker(data, parts, replace(QUIET, epochs=12), 7, unheard)
    test = data.part(parts.test)
    figures = compare.judged(test.click, ranker.predictions(test), np.random.default_rng(1))
    found = {one.method: one for one in figures}

    assert ranker.share > 0
    assert found[compare.RANKER].auc_over_logistic.low > 0.03
    assert found[compare.RANKER].metrics.logloss < found[compare.LOGISTIC].metrics.logloss


def test_where_the_network_adds_nothing_sure_the_ranker_is_the_logistic_regression():
    rows = crossed(600, 2)
    rows.click[:] = np.random.default_rng(3).random(600) < 0.3
    data, parts = inputs(rows, split(rows)), split(rows)

    ranker = compare.ranker(data, parts, QUIET, 7, unheard)
    one, _, line = ranker.predictions(data.part(parts.test))

    assert ranker.share == 0
    assert_allclose(one.log_odds, line.log_odds)


def test_the_same_seed_trains_the_same_ranker():
    rows = crossed(1_500, 4)
    data, parts = inputs(rows, split(rows)), split(rows)
    test = data.part(parts.test)

    one, other = (compare.ranker(data, parts, QUIET, 5, unheard) for _ in range(2))

    assert_allclose(one.predictions(test)[1].log_odds, other.predictions(test)[1].log_odds)


def test_trees_read_the_same_rows():
    rows = crossed(2_000, 5)
    data, parts = inputs(rows, split(rows)), split(rows)

    found = compare.trees(data, parts, 7, unheard)

    assert found.log_odds.shape == (400,)
    assert np.isfinite(found.log_odds).all()


@pytest.mark.parametrize("limits", [Limits(), Limits(own=4, pairs=8)])
def test_logistic_regression_stands_where_its_gradient_is_nought(limits):
    rows = crossed(800, 6)
    data = inputs(rows, split(rows), limits)
    made = logistic.fit(data, 2.0)
    at_best = loss(made.weight, data)
    rng = np.random.default_rng(1)

    for _ in range(20):
        away = rng.normal(0, 1e-2, len(made.weight))
        away[1 + data.number.shape[1]] = 0.0
        assert loss(made.weight + away, data) > at_best - 1e-3


def loss(weight, data) -> float:
    logit = logistic.Logistic(weight, 2.0).log_odds(data)
    return float(np.sum(np.logaddexp(0, logit) - data.click * logit) + weight[1:] @ weight[1:])


def test_the_network_stays_within_its_parameters():
    rows = crossed(300, 7)
    data = inputs(rows, split(rows))
    wide = replace(data, number=np.zeros((300, 1_500), np.float32))

    assert network.dense(network.Net(wide, QUIET).head) <= network.MOST_DENSE


def test_what_has_two_rows_has_the_sum_of_their_vectors():
    rows = crossed(900, 8)
    data, parts = inputs(rows, split(rows), Limits(own=4, pairs=8)), split(rows)
    assert data.second is not None

    part = data.part(parts.train)
    made = network.fit(Based(part, np.zeros(len(part))), 1, QUIET, 7)

    assert np.isfinite(made.log_odds(data)).all()
