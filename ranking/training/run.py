"""From impressions to a run's folder: the click model, and the logistic regression behind it.

A run holds float weights as plain arrays and the newest impressions, on which export calibrates
and judges; it needs no torch to be read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranking import reference
from ranking.dataset import Impressions, Split, split, thinned
from ranking.features import FEATURE_SCHEMA
from ranking.logistic import LogisticWeights
from ranking.metrics import auc, measure
from ranking.model import arrays
from ranking.training.counted import count_ids
from ranking.training.fallback import fit_logistic, nothing
from ranking.training.fitting import Weights, fit, new_model
from ranking.training.linear import as_click_model
from ranking.training.progress import Progress, unheard
from ranking.training.settings import TrainSettings
from ranking.training.stream import fake_negative

NOT_DENSE = (".embedding", ".wide")


class NotTrainable(Exception):
    """The table, the settings or the run to start from do not allow a training; says which."""


@dataclass(frozen=True, slots=True)
class Former:
    """What is continued of an earlier run."""

    name: str
    weights: Weights
    logistic: LogisticWeights

    @classmethod
    def load(cls, folder: Path) -> Former:
        """NotTrainable if there is no run, or one of other features."""
        try:
            about = json.loads((folder / "checkpoint.json").read_text())
            weights = dict(np.load(folder / "weights.npz"))
            logistic = LogisticWeights.load(folder / "logistic.npz")
        except (OSError, ValueError) as error:
            raise NotTrainable(f"start: {folder} holds no run: {error}") from error
        if about["feature_schema"] != FEATURE_SCHEMA:
            raise NotTrainable(
                f"start: {folder} was made for feature schema {about['feature_schema']}, "
                f"this program encodes {FEATURE_SCHEMA}"
            )
        return cls(folder.name, weights, logistic)


def train(
    table: Impressions,
    folder: Path,
    settings: TrainSettings,
    seed: int,
    progress: Progress = unheard,
    start: Path | None = None,
) -> Path:
    """Write a run to `folder`; the same table, settings, seed and start train the same model.

    With the folder of a former run as `start`, all layers and rows of it are continued; values that
    it never saw begin fresh. NotTrainable if that cannot be.
    """
    parts, former = _prepared(table, settings, start)
    rng = np.random.default_rng([seed, 1 << 20])
    weights = fit(parts.train, settings, seed, former.weights if former else None, progress)
    recent = thinned(parts.train, settings.negatives, rng)
    count_ids(weights, recent, settings)
    before = former.logistic if former else None
    fitted = fit_logistic(recent, weights, settings, rng, progress, before)
    about = _about("click model", table, settings, seed, former)
    return _write(folder, about, weights, fitted.logistic, _weighed(parts, weights, settings))


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
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1 << 20])
    recent = thinned(parts.train, settings.negatives, rng)
    made = arrays(new_model(parts.train, settings))
    known = former.weights if former else {name: np.zeros_like(one) for name, one in made.items()}
    before = former.logistic if former else None
    fitted = fit_logistic(recent, known, settings, rng, progress, before, alone=True)
    weights = as_click_model(fitted.logistic, fitted.slot, made, seed)
    count_ids(weights, recent, settings)
    own = replace(fitted.logistic, request=weights["request.wide"], ad=weights["ad.wide"])
    about = _about("logistic regression", table, settings, seed, former)
    return _write(folder, about, weights, own, _weighed(parts, weights, settings))


def untrained(folder: Path, seed: int, table: Impressions) -> Path:
    """A run that knows the click rate and the values of `table`, and else is chance: a start."""
    torch.manual_seed(seed)
    settings = TrainSettings()
    weights = arrays(new_model(table, settings))
    logistic = nothing(table.click_rate(), weights)
    about = _about("untrained", table, settings, seed, None)
    return _write(folder, about, weights, logistic, split(table))


def _prepared(
    table: Impressions, settings: TrainSettings, start: Path | None
) -> tuple[Split, Former | None]:
    problems = list(settings.problems())
    if problems:
        raise NotTrainable("; ".join(problems))
    if not table.click.any() or table.click.all():
        raise NotTrainable(f"table: {len(table)} impressions, {table.click.sum()} with a click")
    return split(table), None if start is None else Former.load(start)


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


def _about(
    kind: str, table: Impressions, settings: TrainSettings, seed: int, former: Former | None
) -> dict[str, Any]:
    """What the run was made of."""
    window: dict[str, int] = {"requests": len(table.request), "impressions": len(table)}
    if len(table.time_ms):
        window |= {"since_ms": int(table.time_ms[0]), "until_ms": int(table.time_ms[-1]) + 1}
    return {
        "kind": kind,
        "feature_schema": FEATURE_SCHEMA,
        "seed": seed,
        "start": former.name if former else None,
        "settings": asdict(settings),
        "window": window,
        "click_rate": float(table.click.mean()),
    }


def _write(
    folder: Path,
    about: dict[str, Any],
    weights: Weights,
    logistic: LogisticWeights,
    parts: Split,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type] # stub: allow_pickle
    logistic.save(folder / "logistic.npz")
    parts.calibration.save(folder / "calibration_slice.npz")
    parts.test.save(folder / "test_slice.npz")
    dense = [one.size for name, one in weights.items() if not name.endswith(NOT_DENSE)]
    about |= {"dense_parameters": sum(dense), "metrics": evaluate(weights, parts.test)}
    (folder / "checkpoint.json").write_text(json.dumps(about, indent=1))
    return folder


def evaluate(weights: Weights, test: Impressions) -> dict[str, float | dict[str, float]]:
    """Of the uncalibrated float model on impressions newer than it has seen."""
    scores = reference.score(weights, test)
    found: dict[str, float | dict[str, float]] = {
        "full": asdict(measure(test.click, reference.sigmoid(scores.full), test.weight)),
        "dot_auc": auc(test.click, scores.dot, test.weight),
    }
    if len(test.truth):
        found["truth"] = asdict(measure(test.click, test.truth, test.weight))
        found["full_to_truth"] = _correlation(scores.full, test.truth)
        found["dot_to_full"] = _correlation(scores.dot, reference.sigmoid(scores.full))
    return found


def _correlation(logit: NDArray[np.float32], rate: NDArray[np.floating]) -> float:
    """Of log-odds with the log-odds of a rate."""
    return float(np.corrcoef(logit, np.log(rate / (1 - rate)))[0, 1])
