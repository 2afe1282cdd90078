"""One run: from a folder of columns to a folder of models and figures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranking.intervals import Interval
from ranking.metrics import Metrics
from ranking.tabular import compare
from ranking.tabular.compare import Figures, Heard, Predictions, Ranker
from ranking.tabular.inputs import Inputs, inputs
from ranking.tabular.logistic import probability
from ranking.tabular.network import NetSettings
from ranking.tabular.parts import Parts, notes, split
from ranking.tabular.rows import Rows, read

METRICS = "metrics.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says."""

    rows: dict[str, int]
    """Of each part, and the clicks among them."""
    figures: list[Figures]
    notes: list[str]


def run(data: Path, folder: Path, settings: NetSettings, seed: int, heard: Heard) -> Outcome:
    """Read, split by time, train, judge and write; TooLittle where the data do not suffice."""
    rows = read(sorted(data.glob("part-*.parquet")))
    parts = split(rows)
    heard("encode", 0.0)
    encoded = inputs(rows, parts)
    told = _counted(rows, parts), notes(rows, parts)
    del rows  # the hashes, no longer needed
    heard("encode", 1.0)
    ranker = compare.ranker(encoded, parts, settings, seed, heard)
    test = encoded.part(parts.test)
    predicted = [*ranker.predictions(test), compare.trees(encoded, parts, seed, heard)]
    figures = compare.judged(test.click, predicted, np.random.default_rng(seed))
    outcome = Outcome(told[0], figures, told[1])
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, encoded, ranker, predicted)
    (folder / METRICS).write_text(json.dumps(_about(outcome, encoded, settings, seed), indent=1))
    return outcome


def _counted(rows: Rows, parts: Parts) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("train", "validation", "test"):
        click = rows.click[getattr(parts, name)]
        found |= {name: len(click), f"{name} clicks": int(click.sum())}
    return found


def _write(folder: Path, data: Inputs, ranker: Ranker, predicted: list[Predictions]) -> None:
    """Weights, and what each method said of the test rows."""
    weight = ranker.line.weight.astype(np.float32)
    numbers = data.number.shape[1]
    held = {"intercept": weight[:1], "number": weight[1 : 1 + numbers]}
    np.savez(folder / "logistic.npz", **held, row=weight[1 + numbers :])  # type: ignore[arg-type] # stub: allow_pickle
    for number, net in enumerate(ranker.nets.nets):
        named = {name: one.numpy() for name, one in net.state_dict().items()}
        np.savez(folder / f"network-{number}.npz", **named)
    rates = {one.method: probability(one.log_odds).astype(np.float32) for one in predicted}
    np.savez(folder / "predictions.npz", **rates)  # type: ignore[arg-type] # stub: allow_pickle


def _about(outcome: Outcome, data: Inputs, settings: NetSettings, seed: int) -> dict[str, Any]:
    return {
        "rows": outcome.rows,
        "notes": outcome.notes,
        "seed": seed,
        "settings": asdict(settings),
        "methods": [_figures(one) for one in outcome.figures],
        "numbers": data.names,
        "vocabulary": [asdict(one) for one in data.load],
    }


def _figures(one: Figures) -> dict[str, Any]:
    """Nested values as JSON has them."""
    metrics: Metrics = one.metrics
    interval: Interval = one.auc
    return {
        "method": one.method,
        **asdict(metrics),
        "auc_interval": [interval.low, interval.high],
        "auc_over_logistic": asdict(one.auc_over_logistic),
        **one.about,
    }
