"""What a run leaves in its folder, the account of it last."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking import reference
from ranking.dataset import Impressions, Split
from ranking.features import FEATURE_SCHEMA
from ranking.logistic import LogisticWeights
from ranking.metrics import auc, measure
from ranking.training.former import Former, Weights
from ranking.training.settings import TrainSettings

ACCOUNT = "checkpoint.json"
NOT_DENSE = (".embedding", ".wide")


def account(
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
        "click_rate": table.click_rate(),
    }


def write(
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
    unfinished = folder / f"{ACCOUNT}.tmp"
    unfinished.write_text(json.dumps(about, indent=1))
    unfinished.replace(folder / ACCOUNT)
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
