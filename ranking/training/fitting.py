"""Gradient steps: from impressions to a click model, new or continued.

Knows no files. What is drawn at random in a pass depends on the seed and the pass alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ranking.dataset import Batch, Impressions, batches, thinned
from ranking.features import AD_FIELDS, REQUEST_FIELDS
from ranking.live import Live
from ranking.model import ClickModel, arrays, restore
from ranking.training.optimisers import Optimisers
from ranking.training.progress import Progress
from ranking.training.settings import TrainSettings
from ranking.training.stream import fake_negative

Weights = dict[str, NDArray[np.float32]]


def new_model(table: Impressions, settings: TrainSettings) -> ClickModel:
    """Weights by chance (torch's), over the rows that the table uses; its click rate to all."""
    shown = table.catalogue[np.unique(table.ad)]
    live = Live.of(REQUEST_FIELDS, table.request), Live.of(AD_FIELDS, shown)
    model = ClickModel(settings.shape, *live, dropout=settings.dropout)
    rate = table.click_rate()
    with torch.no_grad():
        model.ad.out.bias[-1] = float(np.log(rate / (1 - rate)))
    return model


def fit(
    table: Impressions,
    settings: TrainSettings,
    seed: int,
    former: Mapping[str, NDArray[np.float32]] | None,
    progress: Progress,
) -> Weights:
    """Weights after `settings.epochs` passes, by serving's names; ids are not counted yet.

    Of a `former` model all layers and rows are continued, rows that the table does not use too.
    """
    torch.manual_seed(seed)
    model = new_model(table, settings)
    rows = (model.request.live, model.ad.live)
    if former is not None:
        restore(model, former)
    table = replace(
        table,
        request=rows[0].renumbered(table.request),
        catalogue=rows[1].renumbered(table.catalogue),
    )
    kept = table.click.sum() + (table.click == 0).sum() * settings.negatives
    steps = settings.epochs * (int(kept) // settings.batch + 2)
    optimisers = Optimisers(model, settings, steps, settings.continued if former else 1.0)
    loss_of = Loss(model, settings, pull=settings.pull if former else 0.0)
    for epoch in range(settings.epochs):
        rng = np.random.default_rng([seed, epoch])
        for batch in batches(thinned(table, settings.negatives, rng), settings.batch, rng):
            loss_of(batch).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            progress("click model", optimisers.step())
    progress("click model", 1.0)
    return arrays(model) if former is None else carried(arrays(model), former, rows)


class Loss:
    """Log loss of both scores, and what draws a continued model back to where it began."""

    def __init__(self, model: ClickModel, settings: TrainSettings, pull: float) -> None:
        self.model, self.settings, self.pull = model, settings, pull
        self.kept = float(-np.log(settings.negatives))
        self.began = [one.detach().clone() for one in model.parameters()] if pull else []

    def __call__(self, batch: Batch) -> Tensor:
        *inputs, click, weight = (torch.from_numpy(one) for one in batch)
        full, dot = self.model(*inputs)
        if self.settings.stream:
            weight = weight * fake_negative(click, full)
        loss_of = functional.binary_cross_entropy_with_logits
        loss = loss_of(full + self.kept, click, weight)
        loss = loss + self.settings.dot_weight * loss_of(dot + self.kept, click, weight)
        if self.began:
            pairs = zip(self.model.parameters(), self.began, strict=True)
            moved = torch.stack([(now - then).square().sum() for now, then in pairs])
            loss = loss + self.pull * moved.sum()
        return loss


def carried(
    weights: Weights, former: Mapping[str, NDArray[np.float32]], live: tuple[Live, Live]
) -> Weights:
    """What the former model knew of rows that were not trained now stays as it was."""
    for side, used in zip(("request", "ad"), live, strict=True):
        for name in (f"{side}.embedding", f"{side}.wide"):
            whole = former[name].copy()
            whole[used.row] = weights[name][used.row]
            weights[name] = whole
    return weights
