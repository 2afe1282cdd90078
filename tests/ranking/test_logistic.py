"""The fallback model: the same sums as the plain formula, and better than nothing."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, encoded_topic
from ranking.kernels import owners
from ranking.logistic import LogisticScorer
from ranking.metrics import auc
from ranking.scorer import Pairs
from ranking.table import AdTable


def test_the_fallback_adds_up_its_weights(
    bundle: Bundle, ads: AdTable, table: Impressions, pairs: Pairs
):
    weights, request = bundle.logistic, table.request[:10]

    score = LogisticScorer(weights).score(request, pairs, ads)

    owner, ad = owners(pairs.offset), table.catalogue[pairs.ad]
    page = encoded_topic(REQUEST_FIELDS, request)[owner]
    plain = (
        weights.intercept
        + weights.request[request[owner]].sum(axis=1)
        + weights.ad[ad].sum(axis=1)
        + weights.cross[page, encoded_topic(AD_FIELDS, ad)]
    )
    assert_allclose(score, plain, atol=1e-4)


def test_the_fallback_ranks_better_than_chance(bundle: Bundle, ads: AdTable, table: Impressions):
    vector = np.zeros((len(table.request), 64), np.float32)
    pairs = Pairs(0, vector, vector[:, 0], table.ad, table.starts().astype(np.int32))

    score = LogisticScorer(bundle.logistic).score(table.request, pairs, ads)

    assert auc(table.click, score + bundle.towers.slot_bias(table.slot)) > 0.6


def test_the_fallback_expects_about_as_many_clicks_as_come(
    bundle: Bundle, ads: AdTable, table: Impressions
):
    """It is trained on few of the impressions without a click, and must not show it."""
    vector = np.zeros((len(table.request), 64), np.float32)
    pairs = Pairs(0, vector, vector[:, 0], table.ad, table.starts().astype(np.int32))

    score = LogisticScorer(bundle.logistic).score(table.request, pairs, ads)
    rate = 1 / (1 + np.exp(-(score + bundle.towers.slot_bias(table.slot))))

    assert 0.7 < table.click.sum() / rate.sum() < 1.4
