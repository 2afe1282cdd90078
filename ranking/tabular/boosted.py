"""Boosted trees by LightGBM, on the same inputs: what is hard to beat on tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ranking.metrics import losses
from ranking.tabular.inputs import Inputs
from ranking.tabular.logistic import probability

SHAPES = ((7, 20), (7, 100), (31, 20), (31, 100))
"""Leaves, and rows that each must hold, tried on the validation rows."""
MANY = 200_000
"""Training rows from which on only the last shape is tried: it costs minutes."""
ROUNDS = 500
PATIENCE = 30
LEARNING_RATE = 0.05
BINS = {"feature_pre_filter": False, "verbosity": -1}
"""Of the binned rows: all numbers are kept, or the rows of a leaf could not be changed."""
MOST_CATEGORIES = 256
"""Fields with fewer rows are told to be categories; of the others trees read the counts."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What validation settled."""

    leaves: int
    leaf_rows: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Trees:
    """Fitted trees."""

    booster: Any
    shape: Shape

    def log_odds(self, data: Inputs) -> NDArray[np.float64]:
        """[R]"""
        found = self.booster.predict(_table(data), raw_score=True, num_threads=1)
        return np.asarray(found, np.float64)


def settled(train: Inputs, validation: Inputs, seed: int) -> Trees:
    """Of the shape, and with as many rounds, as predict the validation rows best."""
    best, least = None, np.inf
    known, judged = _dataset(train), _dataset(validation)
    shapes = SHAPES if len(train) < MANY else SHAPES[-1:]
    for leaves, leaf_rows in shapes:
        stop = lgb.early_stopping(PATIENCE, verbose=False)
        made = lgb.train(
            _parameters(leaves, leaf_rows, seed), known, ROUNDS, [judged], callbacks=[stop]
        )
        one = Trees(made, Shape(leaves, leaf_rows, max(1, made.best_iteration)))
        loss = losses(validation.click, probability(one.log_odds(validation))).mean()
        if loss < least:
            best, least = one, float(loss)
    assert best is not None
    return best


def fit(data: Inputs, shape: Shape, seed: int) -> Trees:
    """So many rounds of this shape."""
    parameters = _parameters(shape.leaves, shape.leaf_rows, seed)
    return Trees(lgb.train(parameters, _dataset(data), shape.rounds), shape)


def _parameters(leaves: int, leaf_rows: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "num_leaves": leaves,
        "min_data_in_leaf": leaf_rows,
        "learning_rate": LEARNING_RATE,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "seed": seed,
        "deterministic": True,
        "num_threads": 1,
        **BINS,
    }


def _dataset(data: Inputs) -> lgb.Dataset:
    table, few = _table(data), len(_few(data))
    fields = list(range(table.shape[1] - few, table.shape[1]))
    return lgb.Dataset(
        table, data.click, categorical_feature=fields, params=BINS, free_raw_data=False
    )


def _few(data: Inputs) -> list[int]:
    """Fields of few values."""
    rows = {one.field: one.rows for one in data.load}
    return [
        at
        for at, field in enumerate(data.fields[: data.embedded])
        if rows.get(field, MOST_CATEGORIES) < MOST_CATEGORIES
    ]


def _table(data: Inputs) -> NDArray[np.float32]:
    few = _few(data)
    own = data.first[:, few] - data.first_row[few]
    return np.concatenate([data.number, np.maximum(own, 0).astype(np.float32)], axis=1)
