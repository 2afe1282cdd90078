"""From impressions to a checkpoint: the click model, and the logistic regression behind it.

A checkpoint holds float weights as plain arrays and the newest impressions, on which export
calibrates and judges; it needs no torch to be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ranking import reference
from ranking.counted import count_ids
from ranking.dataset import Impressions, batches, split, thinned
from ranking.fallback import fit_logistic
from ranking.features import AD_FIELDS, FEATURE_SCHEMA, REQUEST_FIELDS
from ranking.live import Live
from ranking.metrics import auc, measure
from ranking.model import ClickModel, Shape, arrays, dense_parameters

Progress = Callable[[str, float], None]
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The defaults suit a few million impressions and six minutes of two cores."""

    shape: Shape = field(default_factory=Shape)
    epochs: int = 3
    """Passes over the data. More help until the newest impressions' logloss rises."""
    batch: int = 2_048
    """Impressions per step, about."""
    negatives: float = 0.15
    """Share of the impressions without a click that each pass trains on, drawn anew: time falls
    with it, and a click is worth some ten of them. The log-odds are corrected for it."""
    learning_rate: float = 4e-3
    table_rate: float = 0.1
    """Of embeddings and of single weights."""
    doubt: float = 30.0
    """How much evidence a value must bring before its row moves freely."""
    dropout: float = 0.15
    """Share of the pooled embeddings left out at random in training: less is learnt by heart."""
    dot_weight: float = 0.5
    """Weight of the dot product's own loss: the more, the better retrieval agrees with ranking."""
    threads: int = 1
    """Two wait for each other at every step, which costs more than it gives on a busy machine."""


def train(
    table: Impressions,
    folder: Path,
    settings: TrainSettings,
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> Path:
    """Write a checkpoint to `folder`; the same table, settings and seed train the same model.

    `progress` hears the stage's name and the share of it that is done.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(settings.threads)
    rng = np.random.default_rng(seed)
    parts = split(table)
    model = fit_model(parts.train, settings, rng, progress)
    recent = thinned(parts.train, settings.negatives, rng)
    weights = arrays(model)
    count_ids(weights, recent, settings.negatives)
    logistic = fit_logistic(recent, weights, settings.negatives, rng, progress)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type] # stub: allow_pickle
    logistic.save(folder / "logistic.npz")
    parts.calibration.save(folder / "calibration_slice.npz")
    parts.test.save(folder / "test_slice.npz")
    about = {
        "feature_schema": FEATURE_SCHEMA,
        "seed": seed,
        "settings": asdict(settings),
        "dense_parameters": dense_parameters(model),
        "window": {"requests": len(table.request), "impressions": len(table)},
        "click_rate": float(table.click.mean()),
        "metrics": evaluate(weights, parts.test),
    }
    (folder / "checkpoint.json").write_text(json.dumps(about, indent=1))
    return folder


def fit_model(
    table: Impressions, settings: TrainSettings, rng: np.random.Generator, progress: Progress
) -> ClickModel:
    """Adam, with learning rates that rise for a moment and then fall to nothing."""
    shown = table.catalogue[np.unique(table.ad)]
    live = Live.of(REQUEST_FIELDS, table.request), Live.of(AD_FIELDS, shown)
    model = ClickModel(settings.shape, *live, dropout=settings.dropout)
    table = replace(
        table,
        request=live[0].renumbered(table.request),
        catalogue=live[1].renumbered(table.catalogue),
    )
    rate = float(table.click.mean())
    with torch.no_grad():
        model.ad.out.bias[-1] = float(np.log(rate / (1 - rate)))
    rows = len(table) * (rate + (1 - rate) * settings.negatives)
    steps = settings.epochs * (int(rows) // settings.batch + 2)
    optimisers = _Optimisers(model, settings, steps)
    kept = float(-np.log(settings.negatives))
    loss_of = functional.binary_cross_entropy_with_logits
    for _ in range(settings.epochs):
        for batch in batches(thinned(table, settings.negatives, rng), settings.batch, rng):
            *inputs, click, weight = (torch.from_numpy(one) for one in batch)
            full, dot = model(*inputs)
            loss = loss_of(full + kept, click, weight)
            loss = loss + settings.dot_weight * loss_of(dot + kept, click, weight)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            progress("click model", optimisers.step())
    progress("click model", 1.0)
    return model


class _Optimisers:
    """Adam for the layers, Adagrad for the tables; rates rise for a moment, then fall to nothing.

    Adam would move a value seen once as far as one seen daily. Adagrad's steps shrink with what a
    value has been through, and its first ones are damped by `doubt`.
    """

    def __init__(self, model: ClickModel, settings: TrainSettings, steps: int) -> None:
        tables = list(model.tables())
        own = {id(one) for one in tables}
        dense = [one for one in model.parameters() if id(one) not in own]
        self.each = (
            (torch.optim.Adam(dense, fused=True), settings.learning_rate),
            (
                torch.optim.Adagrad(
                    tables, initial_accumulator_value=settings.doubt / settings.batch**2
                ),
                settings.table_rate,
            ),
        )
        self.steps, self.done = steps, 0

    def step(self) -> float:
        """One step on the gradients at hand, which are then forgotten; the share now done."""
        share = min(self.done / self.steps, 1.0)
        height = min((self.done + 1) / (0.1 * self.steps), 0.5 + 0.5 * float(np.cos(np.pi * share)))
        for optimiser, peak in self.each:
            optimiser.param_groups[0]["lr"] = peak * height
            optimiser.step()
            optimiser.zero_grad()
        self.done += 1
        return min(self.done / self.steps, 1.0)


def evaluate(weights: Weights, test: Impressions) -> dict[str, float | dict[str, float]]:
    """Of the uncalibrated float model on impressions newer than it has seen."""
    scores = reference.score(weights, test)
    found: dict[str, float | dict[str, float]] = {
        "full": asdict(measure(test.click, reference.sigmoid(scores.full))),
        "dot_auc": auc(test.click, scores.dot),
    }
    if len(test.truth):
        found["truth"] = asdict(measure(test.click, test.truth))
        found["full_to_truth"] = _correlation(scores.full, test.truth)
        found["dot_to_full"] = _correlation(scores.dot, reference.sigmoid(scores.full))
    return found


def _correlation(logit: NDArray[np.float32], rate: NDArray[np.floating]) -> float:
    """Of log-odds with the log-odds of a rate."""
    return float(np.corrcoef(logit, np.log(rate / (1 - rate)))[0, 1])
