"""The regression that learns how far each field's weights may go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking import reference
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, encoded_topic, first_rows
from ranking.training import TrainSettings, logistic_only, train
from ranking.training.evidence import Regression, regression
from ranking.training.linear import as_click_model
from ranking.training.progress import unheard

ALONE = TrainSettings(regression_alone=True, negatives=1.0)


@pytest.fixture(scope="module")
def learnt(table: Impressions) -> Regression:
    return regression(table.part(0, 15_000), unheard)


@pytest.fixture(scope="module")
def alone(table: Impressions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(table.part(0, 15_000), tmp_path_factory.mktemp("alone") / "run", ALONE, seed=1)


def weights_of(run: Path) -> dict[str, np.ndarray]:
    return dict(np.load(run / "weights.npz"))


def true_loss(weights: dict[str, np.ndarray], newest: Impressions) -> float:
    rate, truth = reference.sigmoid(reference.score(weights, newest).full), newest.truth
    return float(-(truth * np.log(rate) + (1 - truth) * np.log1p(-rate)).mean())


def plainly(learnt: Regression, table: Impressions) -> np.ndarray:
    """Log-odds by the definition: sums of weights, means of crossed bags."""
    own, of, ad = learnt.logistic, table.of, table.ad
    topic = encoded_topic(AD_FIELDS, table.catalogue)[ad]
    found = own.intercept + own.request[table.request].sum(axis=1)[of]
    found += own.ad[table.catalogue].sum(axis=1)[ad] + learnt.slot[table.slot].sum(axis=1)
    found += table.counts @ own.count
    found += own.cross[encoded_topic(REQUEST_FIELDS, table.request)[of], topic]
    at = 0
    for field in REQUEST_FIELDS:
        ids = table.request[:, at : at + field.width]
        held = np.maximum((ids > 0).sum(axis=1), 1)
        if field.name != "topic":
            found += (learnt.crossed[ids].sum(axis=1) / held[:, None])[of, topic]
        at += field.width
    return found


def test_the_click_model_scores_as_the_regression_that_it_was_made_of(
    alone: Path, learnt: Regression, table: Impressions
):
    """Embeddings are wide enough for the topics that ads have."""
    some, made = table.part(0, 500), weights_of(alone)

    weights = as_click_model(learnt.logistic, learnt.slot, made, 1, learnt.crossed)
    scores = reference.score(weights, some)

    assert np.abs(learnt.crossed).max() > 0
    assert_allclose(scores.full, plainly(learnt, some), atol=0.05)
    assert_array_equal(scores.full, scores.dot)


def test_of_few_clicks_it_tells_more_than_logistic_regression(
    alone: Path, table: Impressions, tmp_path: Path
):
    plain = logistic_only(table.part(0, 15_000), tmp_path / "plain", ALONE, seed=1)
    newest = table.part(15_000, 18_000)

    assert true_loss(weights_of(alone), newest) < true_loss(weights_of(plain), newest)


def test_what_does_not_matter_is_not_believed_and_what_does_is(table: Impressions, rng):
    """Clicks that depend on the weekday alone: of the many domains nothing is believed."""
    some = table.part(0, 8_000)
    day = first_rows(REQUEST_FIELDS)["weekday"]
    weekday = rng.integers(0, 7, len(some.request))
    column = sum(field.width for field in REQUEST_FIELDS[:9])
    request = some.request.copy()
    request[:, column] = day + weekday
    rate = np.where(weekday[some.of] < 3, 0.2, 0.05)
    click = (rng.random(len(some)) < rate).astype(np.uint8)

    found = regression(replace(some, request=request, click=click), unheard).logistic.request

    effect = found[day : day + 7]
    assert effect[:3].mean() - effect[3:].mean() == pytest.approx(np.log(0.25 * 19), abs=0.3)
    assert np.abs(np.delete(found, np.arange(day, day + 7))).max() < 0.2


def test_an_impression_that_weighs_as_two_counts_as_two(table: Impressions):
    some = table.part(0, 2_000)
    again = Impressions.joined([some, some])

    twice = regression(again, unheard).logistic
    heavy = regression(replace(some, weight=2 * some.weight), unheard).logistic

    assert_allclose(heavy.ad, twice.ad, atol=0.02)
    assert_allclose(heavy.count, twice.count, atol=0.02)
