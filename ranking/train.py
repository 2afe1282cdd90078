"""From impressions to a checkpoint: the click model, and the logistic regression behind it.

A checkpoint holds float weights as plain arrays and the newest impressions, on which export
calibrates and judges; it needs no torch to be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ranking import reference
from ranking.dataset import Impressions, split
from ranking.features import (
    AD_FIELDS,
    FEATURE_SCHEMA,
    REQUEST_FIELDS,
    TOPICS,
    encoded_topic,
    rows,
)
from ranking.logistic import LogisticWeights
from ranking.metrics import auc, measure
from ranking.model import ClickModel, Shape, arrays, dense_parameters

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    shape: Shape = field(default_factory=Shape)
    epochs: int = 2
    """Passes over the data. More help until the newest impressions' logloss rises."""
    batch: int = 8_192
    """Impressions per step, about."""
    learning_rate: float = 2e-3
    dot_weight: float = 0.5
    """Weight of the dot product's own loss: the more, the better retrieval agrees with ranking."""
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Batch:
    request: torch.Tensor
    of: torch.Tensor
    ad: torch.Tensor
    slot: torch.Tensor
    click: torch.Tensor


def batches(table: Impressions, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Every impression once, whole requests at a time, in random order."""
    start = table.starts()
    order = rng.permutation(len(table.request))
    step = max(1, round(size * len(order) / max(len(table), 1)))
    for at in range(0, len(order), step):
        chosen = order[at : at + step]
        count = (start[chosen + 1] - start[chosen]).astype(np.int64)
        of = np.repeat(np.arange(len(chosen)), count)
        before = np.cumsum(count) - count
        row = np.arange(count.sum()) + np.repeat(start[chosen] - before, count)
        yield Batch(
            torch.from_numpy(table.request[chosen]),
            torch.from_numpy(of),
            torch.from_numpy(table.catalogue[table.ad[row]]),
            torch.from_numpy(table.slot[row]),
            torch.from_numpy(table.click[row].astype(np.float32)),
        )


def train(
    table: Impressions,
    folder: Path,
    settings: TrainSettings,
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> Path:
    """Write a checkpoint to `folder`; the same table, settings and seed train the same model."""
    torch.manual_seed(seed)
    torch.set_num_threads(settings.threads)
    parts = split(table)
    model = fit_model(parts.train, settings, np.random.default_rng(seed), progress)
    weights = arrays(model)
    _forget_unseen(weights, parts.train)
    logistic = fit_logistic(parts.train, weights["slot.wide"], seed, progress)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type] # numpy's stub takes allow_pickle for one of them
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
    """Adam with a learning rate that rises for a moment and then falls to nothing."""
    model = ClickModel(settings.shape)
    with torch.no_grad():
        rate = float(table.click.mean())
        model.ad.out.bias[-1] = float(np.log(rate / (1 - rate)))
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
    steps = settings.epochs * (len(table) // settings.batch + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps + settings.epochs, pct_start=0.1
    )
    loss_of = functional.binary_cross_entropy_with_logits
    for epoch in range(settings.epochs):
        for step, batch in enumerate(batches(table, settings.batch, rng)):
            full, dot = model(batch.request, batch.of, batch.ad, batch.slot)
            loss = loss_of(full, batch.click) + settings.dot_weight * loss_of(dot, batch.click)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch types it not
            optimiser.step()
            schedule.step()
            done = (epoch + step * settings.epochs / steps) / settings.epochs
            progress("click model", min(done, 1.0))
    return model


def _forget_unseen(weights: dict[str, NDArray[np.float32]], table: Impressions) -> None:
    """Zero the rows that no impression used: what was never seen counts as none."""
    seen = {"request": table.request, "ad": table.catalogue[np.unique(table.ad)]}
    for side, ids in seen.items():
        for name in (f"{side}.embedding", f"{side}.wide"):
            used = np.zeros(len(weights[name]), bool)
            used[ids[ids < len(used)]] = True
            weights[name][~used] = 0.0


class _Logistic(nn.Module):
    def __init__(self, click_rate: float) -> None:
        super().__init__()
        self.intercept = nn.Parameter(torch.tensor(float(np.log(click_rate / (1 - click_rate)))))
        self.request = nn.Parameter(torch.zeros(rows(REQUEST_FIELDS), 1))
        self.ad = nn.Parameter(torch.zeros(rows(AD_FIELDS), 1))
        self.cross = nn.Parameter(torch.zeros(TOPICS, TOPICS))


def fit_logistic(
    table: Impressions,
    slot_wide: NDArray[np.float32],
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> LogisticWeights:
    """One pass; the slots' weights are the click model's, since serving adds the same to both."""
    model = _Logistic(float(table.click.mean()))
    slot = torch.from_numpy(slot_wide)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3, fused=True)
    total = len(table) // 16_384 + 1
    for step, batch in enumerate(batches(table, 16_384, np.random.default_rng(seed))):
        bag = functional.embedding_bag
        own = bag(batch.request, model.request, mode="sum", padding_idx=0)[:, 0]
        ads = bag(batch.ad, model.ad, mode="sum", padding_idx=0)[:, 0]
        page = torch.from_numpy(encoded_topic(REQUEST_FIELDS, batch.request.numpy()))[batch.of]
        topic = torch.from_numpy(encoded_topic(AD_FIELDS, batch.ad.numpy()))
        logit = model.intercept + own[batch.of] + ads + model.cross[page, topic]
        logit = logit + slot[batch.slot].sum(dim=1)
        loss = functional.binary_cross_entropy_with_logits(logit, batch.click)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch types it not
        optimiser.step()
        progress("logistic regression", min((step + 1) / total, 1.0))
    return LogisticWeights(
        float(model.intercept.detach()),
        model.request.detach().numpy()[:, 0],
        model.ad.detach().numpy()[:, 0],
        model.cross.detach().numpy(),
    )


def evaluate(
    weights: dict[str, NDArray[np.float32]], test: Impressions
) -> dict[str, float | dict[str, float]]:
    """Of the uncalibrated float model on impressions newer than it has seen."""
    scores = reference.score(weights, test)
    found: dict[str, float | dict[str, float]] = {
        "full": asdict(measure(test.click, 1 / (1 + np.exp(-scores.full.astype(np.float64))))),
        "dot_auc": auc(test.click, scores.dot),
    }
    if len(test.truth):
        found["truth"] = asdict(measure(test.click, test.truth))
        found["agreement"] = _agreement(scores.full, test.truth)
    return found


def _agreement(logit: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Correlation of predicted with true log-odds."""
    true = np.log(truth / (1 - truth))
    return float(np.corrcoef(logit, true)[0, 1])
