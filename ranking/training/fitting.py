"""Gradient steps: from impressions to a click model, new or continued.

What is drawn at random depends on the seed and the place in the training alone, so a training can
be cut off and go on, and can be shared between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ranking.dataset import Batch, Impressions, batches, thinned
from ranking.features import AD_FIELDS, REQUEST_FIELDS
from ranking.live import Live
from ranking.model import ClickModel, arrays, restore
from ranking.training import softmax
from ranking.training.former import NotTrainable, Weights
from ranking.training.optimisers import Optimisers
from ranking.training.progress import Progress
from ranking.training.ranks import ALONE, Ranks
from ranking.training.saved import Place, Saved
from ranking.training.settings import TrainSettings
from ranking.training.stream import fake_negative

WORD = (1 << 32) - 1


def new_model(
    table: Impressions, settings: TrainSettings, made: Callable[..., ClickModel] = ClickModel
) -> ClickModel:
    """Weights by chance (torch's), over the rows that the table uses; its click rate to all."""
    shown = table.catalogue[np.unique(table.ad)]
    live = Live.of(REQUEST_FIELDS, table.request), Live.of(AD_FIELDS, shown)
    model = made(settings.shape, *live, dropout=settings.dropout)
    rate = table.click_rate()
    with torch.no_grad():
        model.ad.out.bias[-1] = float(np.log(rate / (1 - rate)))
    return model


@dataclass(frozen=True, slots=True)
class Fitted:
    weights: Weights
    """By serving's names; ids are not counted yet."""
    stepped: int
    """Impressions that a step was made on, over all passes."""


def fit(
    table: Impressions,
    settings: TrainSettings,
    seed: int,
    former: Mapping[str, NDArray[np.float32]] | None,
    progress: Progress,
    saved: Saved | None = None,
    ranks: Ranks = ALONE,
) -> Fitted:
    """A model after `settings.epochs` passes, begun where `saved` was left, if anywhere.

    Of a `former` model all layers and rows are continued, rows that the table does not use too.
    """
    torch.manual_seed(seed)
    model = new_model(table, settings)
    rows = (model.request.live, model.ad.live)
    if former is not None:
        try:
            restore(model, former)
        except ValueError as error:
            raise NotTrainable(f"start: {error}") from error
    table = replace(
        table,
        request=rows[0].renumbered(table.request),
        catalogue=rows[1].renumbered(table.catalogue),
    )
    steps = Steps(model, table, settings, seed, former is not None, ranks)
    stepped = steps.all(progress, saved)
    found = arrays(model)
    return Fitted(found if former is None else carried(found, former, rows), stepped)


class Steps:
    """All steps of one training, in order."""

    def __init__(
        self,
        model: ClickModel,
        table: Impressions,
        settings: TrainSettings,
        seed: int,
        continued: bool,
        ranks: Ranks,
    ) -> None:
        self.model, self.table, self.settings = model, table, settings
        self.seed, self.ranks = seed, ranks
        clicked = int(table.click.sum())
        self.rows = clicked + (len(table) - clicked) * settings.negatives
        steps = settings.epochs * (int(self.rows) // settings.batch + 2)
        rate = settings.continued if continued else 1.0
        self.optimisers = Optimisers(model, settings, steps, rate)
        self.loss = Loss(model, table, settings, settings.pull / ranks.count if continued else 0.0)

    def all(self, progress: Progress, saved: Saved | None) -> int:
        """Take them, from where `saved` was left; how many impressions they were on."""
        parameters = list(self.model.parameters())
        done = self._resumed(saved)
        for place, batch in self._batches(done):
            seed = (self.seed * 1_000_003 + 2 * place.step) & WORD
            self.loss(batch, seed).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            self.ranks.add_up(parameters)
            progress("click model", self.optimisers.step())
            done = replace(
                place, batch=place.batch + 1, step=place.step + 1, rows=done.rows + batch.rows
            )
            if saved and self.ranks.first and done.step % self.settings.save_every == 0:
                self._save(saved, done)
        if saved and self.ranks.first:
            self._save(saved, done)
        progress("click model", 1.0)
        return done.rows

    def _batches(self, place: Place) -> Iterator[tuple[Place, Batch]]:
        """This process's parts of the batches that are left."""
        part, step = (self.ranks.rank, self.ranks.count), place.step
        for epoch in range(place.epoch, self.settings.epochs):
            rng = np.random.default_rng([self.seed, epoch])
            skip = place.batch if epoch == place.epoch else 0
            kept = thinned(self.table, self.settings.negatives, rng)
            for number, batch in enumerate(
                batches(kept, self.settings.batch, rng, skip, part), start=skip
            ):
                yield Place(epoch, number, step), batch
                step += 1

    def _save(self, saved: Saved, place: Place) -> None:
        parts = {"model": self.model.state_dict(), "optimisers": self.optimisers.state()}
        saved.write(place, parts)

    def _resumed(self, saved: Saved | None) -> Place:
        known = saved.read() if saved else None
        if known is None:
            return Place()
        place, parts = known
        self.model.load_state_dict(parts["model"])
        self.optimisers.restore(parts["optimisers"])
        return place


class Loss:
    """Log loss of both scores, and what draws a continued model back to where it began."""

    def __init__(
        self, model: ClickModel, table: Impressions, settings: TrainSettings, pull: float
    ) -> None:
        self.model, self.settings, self.pull = model, settings, pull
        self.kept = float(-np.log(settings.negatives))
        self.taken_off = torch.from_numpy(softmax.log_shares(table)) * settings.log_q
        self.began = [one.detach().clone() for one in model.parameters()] if pull else []

    def __call__(self, batch: Batch, seed: int) -> Tensor:
        """Its share of the whole batch's mean; `seed` says what is left out."""
        *inputs, click, weight = (torch.from_numpy(one) for one in batch[:8])
        drawn = (seed, batch.asked), ((seed + 1) & WORD, batch.shown)
        request, of, ad, which, slot, counts = inputs
        sides = self.model.sides(request, ad, drawn)
        full, dot = self.model.scores(sides, of, which, slot, counts)
        if self.settings.stream:
            weight = weight * fake_negative(click, full)
        loss = self._sum(full, click, weight) + self.settings.dot_weight * self._sum(
            dot, click, weight
        )
        if self.settings.softmax_weight:
            own = softmax.chosen(sides, of, which, click * weight, self.taken_off[batch.shown])
            loss = loss + self.settings.softmax_weight * own
        loss = loss / batch.rows
        if self.began:
            pairs = zip(self.model.parameters(), self.began, strict=True)
            moved = torch.stack([(now - then).square().sum() for now, then in pairs])
            loss = loss + self.pull * moved.sum()
        return loss

    def _sum(self, logit: Tensor, click: Tensor, weight: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            logit + self.kept, click, weight, reduction="sum"
        )


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
