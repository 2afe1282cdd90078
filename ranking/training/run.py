"""From impressions to a run's folder: the click model, and the logistic regression behind it.

A run holds float weights as plain arrays and the newest impressions, on which export calibrates
and judges; it needs no torch to be read.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ranking import reference
from ranking.dataset import Impressions, Split, split, thinned
from ranking.logistic import LogisticWeights
from ranking.model import Shape, arrays
from ranking.training.counted import count_ids
from ranking.training.evidence import regression
from ranking.training.fallback import fit_logistic, nothing
from ranking.training.fitting import Fitted, fit, new_model
from ranking.training.former import UNTRAINED, Former, NotTrainable, Weights
from ranking.training.linear import as_click_model
from ranking.training.progress import Progress, unheard
from ranking.training.ranks import ALONE, Ranks
from ranking.training.record import ACCOUNT, account, write
from ranking.training.saved import Saved, fingerprint
from ranking.training.settings import TrainSettings
from ranking.training.stream import fake_negative

UNDER_WAY = "under_way.pt"
BEHIND = 1 << 20
"""Of the seeds of what follows the passes, which are numbered from 0."""


def train(
    table: Impressions,
    folder: Path,
    settings: TrainSettings,
    seed: int,
    progress: Progress = unheard,
    start: Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
) -> Path:
    """Write a run to `folder`; the same table, settings, seed and start train the same model.

    With the folder of a former run as `start`, all layers and rows of it are continued, in its own
    shape; values that it never saw begin fresh. With `resume`, a training that was cut off in this
    folder goes on and ends as it would have. Of several processes, all call this alike and the
    first one writes. NotTrainable if something of this cannot be.
    """
    parts, former = _prepared(table, settings, start)
    torch.set_num_threads(settings.threads)
    known = former.weights if former and former.learnt else None
    if known is not None:
        settings = replace(settings, shape=Shape.of(known))
    saved = Saved(folder / UNDER_WAY, fingerprint(table, settings, seed, known))
    if resume and _ended(folder, saved):
        return folder
    if not resume:
        ranks.wait()
        saved.forget()
        ranks.wait()
    if known is None and settings.regression_alone and not settings.stream:
        fitted = _regressed(parts.train, settings, seed, progress)
    else:
        fitted = fit(parts.train, settings, seed, known, progress, saved, ranks)
    if ranks.first:
        rng = np.random.default_rng([seed, BEHIND])
        weights, recent = fitted.weights, thinned(parts.train, settings.negatives, rng)
        count_ids(weights, parts.train, settings, _weighed(parts, weights, settings).calibration)
        before = former.logistic if former and former.learnt else None
        beside = fit_logistic(recent, weights, settings, rng, progress, before)
        about = account("click model", table, settings, seed, former)
        about |= {"of": saved.of, "trained": {"rows": len(parts.train), "stepped": fitted.stepped}}
        write(folder, about, weights, beside.logistic, _weighed(parts, weights, settings))
        saved.forget()
    ranks.wait()
    return folder


def _regressed(
    table: Impressions, settings: TrainSettings, seed: int, progress: Progress
) -> Fitted:
    """A model behind whose towers the network adds nothing yet."""
    torch.manual_seed(seed)
    made = arrays(new_model(table, settings))
    learnt = regression(table, progress)
    weights = as_click_model(learnt.logistic, learnt.slot, made, seed, learnt.crossed)
    return Fitted(weights, 0)


def _ended(folder: Path, saved: Saved) -> bool:
    """Whether the same training has been here and wrote all it had to."""
    file = folder / ACCOUNT
    return file.exists() and json.loads(file.read_text()).get("of") == saved.of


def logistic_only(
    table: Impressions,
    folder: Path,
    settings: TrainSettings,
    seed: int,
    progress: Progress = unheard,
    start: Path | None = None,
) -> Path:
    """The same of a logistic regression alone: the network of the run adds nothing to its score."""
    parts, former = _prepared(table, settings, start)
    learnt = former if former and former.learnt else None
    weights, logistic = _plain(parts.train, settings, seed, progress, learnt)
    count_ids(weights, parts.train, settings, _weighed(parts, weights, settings).calibration)
    own = replace(logistic, request=weights["request.wide"], ad=weights["ad.wide"])
    about = account("logistic regression", table, settings, seed, former)
    return write(folder, about, weights, own, _weighed(parts, weights, settings))


def _plain(
    table: Impressions,
    settings: TrainSettings,
    seed: int,
    progress: Progress,
    former: Former | None,
) -> tuple[Weights, LogisticWeights]:
    """A logistic regression alone, as a click model too; ids are not counted yet."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, BEHIND])
    recent = thinned(table, settings.negatives, rng)
    made = arrays(new_model(table, settings))
    known = former.weights if former else {name: np.zeros_like(one) for name, one in made.items()}
    before = former.logistic if former else None
    fitted = fit_logistic(recent, known, settings, rng, progress, before, alone=True)
    return as_click_model(fitted.logistic, fitted.slot, made, seed), fitted.logistic


def untrained(folder: Path, seed: int, table: Impressions) -> Path:
    """A run that knows the click rate and the values of `table`, and else is chance: a start."""
    torch.manual_seed(seed)
    settings = TrainSettings()
    weights = arrays(new_model(table, settings))
    logistic = nothing(table.click_rate(), weights)
    about = account(UNTRAINED, table, settings, seed, None)
    return write(folder, about, weights, logistic, split(table))


def _prepared(
    table: Impressions, settings: TrainSettings, start: Path | None
) -> tuple[Split, Former | None]:
    problems = list(settings.problems())
    if problems:
        raise NotTrainable("; ".join(problems))
    if not table.click.any() or table.click.all():
        raise NotTrainable(f"table: {len(table)} impressions, {table.click.sum()} with a click")
    parts = split(table, settings.calibration, settings.test)
    return parts, None if start is None else Former.load(start)


def _weighed(parts: Split, weights: Weights, settings: TrainSettings) -> Split:
    """Slices of a stream, weighed by the finished model: what calibrates and judges needs it."""
    if not settings.stream:
        return parts
    return replace(
        parts,
        calibration=_once(parts.calibration, weights),
        test=_once(parts.test, weights),
    )


def _once(table: Impressions, weights: Weights) -> Impressions:
    logit = torch.from_numpy(reference.score(weights, table).full)
    own = fake_negative(torch.from_numpy(table.click), logit).numpy()
    return replace(table, weight=table.weight * own)
