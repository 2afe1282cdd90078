"""Trains the fallback model on the same impressions, as an understudy that adds to what is known.

Beside a click model it takes over the slots' weights and the counted ids, since serving adds the
slot's share to either, and learns the rest anew. Alone it learns the slots too. Steps are Adagrad's
on one impression at a time (McMahan et al. 2013), which needs no tuning by the table's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.counts import COUNTS
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, TOPICS, encoded_topic
from ranking.logistic import LogisticWeights
from ranking.towers import embedding_rows
from ranking.training.kernels import logistic_pass
from ranking.training.progress import Progress
from ranking.training.settings import TrainSettings

Array = NDArray[np.float32]
RATE = 0.02
DOUBT = 1.0
"""Σ gradient² that every weight begins with: about as much evidence as one click."""
READ = 400_000
"""Impressions read in all, at least: few are read up to `PASSES` times."""
PASSES = 4


@dataclass(frozen=True, slots=True)
class Fitted:
    logistic: LogisticWeights
    slot: Array
    """[slot rows] as given, or as learnt where the logistic regression stands alone."""


def fit_logistic(
    table: Impressions,
    weights: Mapping[str, Array],
    settings: TrainSettings,
    rng: np.random.Generator,
    progress: Progress,
    former: LogisticWeights | None = None,
    alone: bool = False,
) -> Fitted:
    """Over impressions of which a share of the negatives is left, continuing a `former` fit.

    `weights` are a click model's: of slots and counted ids, and nothing else, they are taken over.
    """
    known = {side: _counted_only(weights, side) for side in ("request", "ad")}
    offset = known["request"][table.request].sum(axis=1)[table.of]
    offset += known["ad"][table.catalogue].sum(axis=1)[table.ad]
    slots = weights["slot.wide"]
    if not alone:
        offset += slots[table.slot].sum(axis=1)
    begun = former or nothing(_full_rate(table, settings.negatives), weights)
    learnt = (
        begun.request[: embedding_rows(REQUEST_FIELDS)].copy(),
        begun.ad[: embedding_rows(AD_FIELDS)].copy(),
        slots.copy() if alone else np.zeros(0, np.float32),
        begun.cross.copy(),
        begun.count.copy(),
        np.array([begun.intercept], np.float32),
    )
    _read(table, learnt, offset.astype(np.float32), settings, rng, progress)
    for side, trained in zip(("request", "ad"), learnt[:2], strict=True):
        known[side][: len(trained)] += trained
    logistic = LogisticWeights(
        float(learnt[5][0]), known["request"], known["ad"], learnt[3], learnt[4]
    )
    return Fitted(logistic, learnt[2] if alone else slots)


def _read(
    table: Impressions,
    learnt: tuple[Array, ...],
    offset: Array,
    settings: TrainSettings,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Change the weights by reading the table a few times, each time in another order."""
    passes = min(PASSES, max(1, READ // len(table)))
    spread = tuple(np.full_like(one, DOUBT) for one in learnt)
    topic = (
        encoded_topic(REQUEST_FIELDS, table.request),
        encoded_topic(AD_FIELDS, table.catalogue),
    )
    for done in range(passes):
        logistic_pass(
            rng.permutation(len(table)),
            (table.request, table.catalogue, table.slot),
            (table.of, table.ad),
            topic,
            table.counts,
            table.click,
            table.weight,
            offset,
            float(-np.log(settings.negatives)),
            settings.stream,
            RATE,
            learnt,
            spread,
        )
        progress("logistic regression", (done + 1) / passes)


def nothing(click_rate: float, weights: Mapping[str, Array]) -> LogisticWeights:
    """The click rate, whatever is asked."""
    sizes = (weights["request.wide"].shape, weights["ad.wide"].shape, (TOPICS, TOPICS), (COUNTS,))
    zeros = (np.zeros(size, np.float32) for size in sizes)
    return LogisticWeights(float(np.log(click_rate / (1 - click_rate))), *zeros)


def _full_rate(table: Impressions, negatives: float) -> float:
    """Click rate before the negatives were thinned."""
    share = table.click_rate()
    return share * negatives / (1 - share + share * negatives)


def _counted_only(weights: Mapping[str, Array], side: str) -> Array:
    """The click model's weights of counted ids, zero for the trained ones."""
    kept = weights[f"{side}.wide"].copy()
    kept[: len(weights[f"{side}.embedding"])] = 0.0
    return kept
