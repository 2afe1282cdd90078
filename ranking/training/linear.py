"""A logistic regression in the click model's clothes: the same arrays, the same scores.

So it is exported, served, searched by and judged like any other run, which makes it the baseline
that a learning loop has to beat. The network behind the towers adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.features import AD_FIELDS, REQUEST_FIELDS, TOPICS, Field, bag_starts, first_rows
from ranking.logistic import LogisticWeights

Weights = dict[str, NDArray[np.float32]]
APART = 0.8
"""Codes of two topics point at most so far in the same direction."""


def as_click_model(
    logistic: LogisticWeights,
    slot: NDArray[np.float32],
    made: Weights,
    seed: int,
    crossed: NDArray[np.float32] | None = None,
) -> Weights:
    """Arrays like those of `made`, any click model's, that score as the regression does.

    A topic's embedding is a code, the hidden layer reads it back as one of `TOPICS`, and the
    vectors of page and ad meet in the cross term. Units that this leaves free are those of `made`,
    with nothing behind them: a click model that is trained from here can use them. Values of the
    request that are `crossed` [request rows, TOPICS] with the ad's topic reach the vector beside
    the hidden layer, as nearly as their embeddings' width allows.
    """
    weights = {name: np.zeros_like(one) for name, one in made.items()}
    for name in ("first.request", "first.ad", "first.bias", "second.weight", "third.weight"):
        weights[name] = made[name].copy()
    weights["slot.wide"] = slot.copy()
    code = topic_codes(weights["ad.embedding"].shape[1], seed)
    sides = (
        ("request", REQUEST_FIELDS, logistic.request, logistic.cross, logistic.intercept),
        ("ad", AD_FIELDS, logistic.ad, np.eye(TOPICS, dtype=np.float32), 0.0),
    )
    for side, fields, wide, vector, bias in sides:
        weights[f"{side}.wide"] = wide.copy()
        weights[f"{side}.w1"][:, TOPICS:] = made[f"{side}.w1"][:, TOPICS:]
        _read_topic(weights, side, fields, code)
        weights[f"{side}.w2"][:TOPICS, :TOPICS] = vector
        weights[f"{side}.b2"][-1] = bias
    if crossed is not None:
        _read_crossed(weights, crossed)
    weights["count.w1"][:, 2:] = made["count.w1"][:, 2:]
    weights["count.w1"][:, 0], weights["count.w1"][:, 1] = logistic.count, -logistic.count
    weights["count.w2"][:2] = 1.0, -1.0
    return weights


def topic_codes(dim: int, seed: int) -> NDArray[np.float32]:
    """[TOPICS, dim] unit vectors, no two nearer than `APART`."""
    rng, found = np.random.default_rng(seed), np.empty((0, dim))
    while len(found) < TOPICS:
        one = rng.normal(size=dim)
        one /= np.linalg.norm(one)
        if (found @ one <= APART).all():
            found = np.vstack((found, one))
    return found.astype(np.float32)


def _read_topic(
    weights: Weights, side: str, fields: Sequence[Field], code: NDArray[np.float32]
) -> None:
    """Hidden unit t is 1 where the topic is t and 0 elsewhere."""
    first, dim = first_rows(fields)["topic"], code.shape[1]
    weights[f"{side}.embedding"][first : first + TOPICS] = code
    at = [field.name for field in fields].index("topic") * dim
    assert bag_starts(fields)[at // dim + 1] - bag_starts(fields)[at // dim] == 1
    weights[f"{side}.w1"][at : at + dim, :TOPICS] = code.T / (1 - APART)
    weights[f"{side}.b1"][:TOPICS] = -APART / (1 - APART)


def _read_crossed(weights: Weights, crossed: NDArray[np.float32]) -> None:
    """Embeddings, and what reads them, whose products are the crossed weights' best of their rank
    (Eckart and Young 1936)."""
    embedding = weights["request.embedding"]
    row = np.flatnonzero(crossed[: len(embedding)].any(axis=1))
    left, size, right = np.linalg.svd(crossed[row], full_matrices=False)
    rank, hidden = min(embedding.shape[1], len(size)), len(weights["request.b1"])
    root = np.sqrt(size[:rank])
    embedding[row, :rank] = left[:, :rank] * root
    first = list(first_rows(REQUEST_FIELDS).items())
    for number, (_, begin) in enumerate(first):
        end = first[number + 1][1] if number + 1 < len(first) else len(crossed)
        if ((row >= begin) & (row < end)).any():
            at = hidden + number * embedding.shape[1]
            weights["request.w2"][at : at + rank, :TOPICS] = root[:, None] * right[:rank]
