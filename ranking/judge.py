"""Scores of impressions in each form that a model has, and what they say of one another.

What is judged as "served" goes the way of a request: the ad table of rounded rows, the INT8 graph,
the shares of slot and counts added after it, the calibration map. Knows no limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ranking import reference
from ranking.bundle import Bundle
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.field_copc import field_copc
from ranking.gate import Compared, Rate
from ranking.int8 import LocalScorer
from ranking.intervals import Sample, differences, intervals
from ranking.logistic import LogisticScorer
from ranking.metrics import Mass, ece_by_chance, measure
from ranking.scorer import Pairs
from ranking.table import AdTable

Logits = Callable[[Impressions], NDArray[np.float32]]
"""Log-odds f32[R] of impressions, all in, before calibration."""
SEED = 7
"""Of the resampling."""
WORST_FIELDS = 8
"""Fields whose worst value is reported."""


def plain(weights: Mapping[str, NDArray[np.float32]]) -> Logits:
    """The float weights by plain products."""
    return lambda table: reference.score(weights, table).full


def served(bundle: Bundle) -> Logits:
    """The released files, by the code that serves them."""

    def score(table: Impressions) -> NDArray[np.float32]:
        shown = _of_its_ads(table)
        scorer = LocalScorer(bundle)
        scorer.add(0, AdTable.build(bundle, shown.catalogue))
        return scorer.score(_pairs(bundle, shown)) + _beside(bundle, table)

    return score


def _beside(bundle: Bundle, table: Impressions) -> NDArray[np.float32]:
    """[R] what a worker adds to the network's answer."""
    return bundle.towers.slot_bias(table.slot) + bundle.count(table.counts)


def fallback(bundle: Bundle) -> Logits:
    """The logistic regression that answers when the network does not."""

    def score(table: Impressions) -> NDArray[np.float32]:
        shown = _of_its_ads(table)
        ads = AdTable.build(bundle, shown.catalogue)
        pairs = _pairs(bundle, shown)
        logit = LogisticScorer(bundle.logistic).score(shown.request, pairs, ads)
        slot = bundle.towers.slot_bias(table.slot)
        total: NDArray[np.float32] = logit + slot + table.counts @ bundle.logistic.count
        return total

    return score


def _of_its_ads(table: Impressions) -> Impressions:
    """The same impressions over the ads that occur: a catalogue may be a hundred times larger."""
    used, ad = np.unique(table.ad, return_inverse=True)
    return replace(table, catalogue=table.catalogue[used], ad=ad.astype(np.int32))


def _pairs(bundle: Bundle, table: Impressions) -> Pairs:
    vector, bias = bundle.towers.request(table.request)
    return Pairs(0, vector, bias, table.ad, table.starts().astype(np.int32))


def rate(logits: Logits, calibration: Calibration) -> Rate:
    """Click rates as the auction gets them: whole millionths."""
    return lambda table: calibration.ppm(logits(table))


def weight_of(table: Impressions) -> Mass:
    """The table's weights, None where all rows weigh the same."""
    same = len(table.weight) == 0 or (table.weight == table.weight[0]).all()
    return None if same else table.weight


def compared(
    table: Impressions,
    logits: tuple[NDArray[np.float32], NDArray[np.float32]],
    maps: tuple[Calibration, Calibration],
) -> Compared:
    """One model before and one after on labelled impressions: log-odds and map of each."""
    before, after = (calibration(logit) for calibration, logit in zip(maps, logits, strict=True))
    sample = Sample(table.click, table.of, weight_of(table))
    return Compared(
        before=measure(table.click, before, sample.weight),
        after=measure(table.click, after, sample.weight),
        change=differences(sample, before, after, np.random.default_rng(SEED)),
        own=intervals(sample, after, np.random.default_rng(SEED)),
        chance=ece_by_chance(after, sample.weight),
        click_rate=float(np.average(table.click, weights=sample.weight)),
        rows=len(table),
        clicks=int(table.click.sum()),
        correlation=float(np.corrcoef(*logits)[0, 1]),
        fields=tuple(field_copc(table, after, sample.weight)[:WORST_FIELDS]),
    )
