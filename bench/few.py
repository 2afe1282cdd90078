"""What few clicks teach, by the way of learning: JSON lines.

    python -m bench.few

Days of the loop's market, logged in bulk, are learnt from by logistic regression, by the regression
with learnt priors, by steps of the network from there, and by the network alone. Each is judged on
the next day by its true rates: `told` is the share of what those would tell, in expected log loss,
beyond the overall click rate; no map of calibration is in between. AUC is expected too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.loop.settings import LoopSettings
from adserver.training import of_market
from ranking import reference
from ranking.dataset import Impressions
from ranking.metrics import auc
from ranking.training import TrainSettings, logistic_only, train
from simulator.market.market import Market

DAY_MS = 86_400_000
SEED = 1
Way = Callable[[Impressions, Path, TrainSettings], Path]


def logistic(table: Impressions, folder: Path, settings: TrainSettings) -> Path:
    return logistic_only(table, folder / "logistic", settings, SEED)


def regression(table: Impressions, folder: Path, settings: TrainSettings) -> Path:
    alone = replace(settings, regression_alone=True)
    return train(table, folder / "regression", alone, SEED)


def stepped_on(table: Impressions, folder: Path, settings: TrainSettings) -> Path:
    """After `regression`."""
    start = folder / "regression"
    return train(table, folder / "stepped", settings, SEED, start=start)


def network(table: Impressions, folder: Path, settings: TrainSettings) -> Path:
    alone = replace(settings, regression_alone=False)
    return train(table, folder / "network", alone, SEED)


WAYS: Mapping[str, Way] = {
    "logistic regression": logistic,
    "regression with learnt priors": regression,
    "the network from there": stepped_on,
    "the network alone": network,
}


def lines(settings: LoopSettings, days: int, seed: int) -> Iterator[dict[str, Any]]:
    market = Market(settings.market)
    table = of_market(market, seed)
    day = (table.time_ms - int(market.midnight_s(0) * 1000)) // DAY_MS
    known, newest = table.where(day < days), table.where(day == days)
    usual = TrainSettings.for_rows(len(known))
    about = {"days": days, "impressions": len(known), "clicks": int(known.click.sum())}
    with tempfile.TemporaryDirectory(prefix="few-") as place:
        for name, way in WAYS.items():
            begin = time.process_time()
            run = way(known, Path(place), usual)
            seconds = time.process_time() - begin
            weights = dict(np.load(run / "weights.npz"))
            judged = _judged(reference.score(weights, newest).full, newest)
            yield {"bench": "few", "way": name, **judged, **about, "cpu_s": round(seconds, 1)}


def _judged(logit: NDArray[np.float32], newest: Impressions) -> dict[str, float]:
    truth = newest.truth.astype(np.float64)
    said = reference.sigmoid(logit)
    even, least = _loss(np.full(len(truth), truth.mean()), truth), _loss(truth, truth)
    return {
        "told": round((even - _loss(said, truth)) / (even - least), 4),
        "auc": round(_auc(said, truth), 4),
        "auc_of_truth": round(_auc(truth, truth), 4),
    }


def _loss(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float(-(truth * np.log(said) + (1 - truth) * np.log1p(-said)).mean())


def _auc(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Every impression is a click by its rate and none by the rest."""
    click = np.repeat(np.array([1, 0], np.uint8), len(truth))
    return auc(click, np.tile(said, 2), np.concatenate((truth, 1 - truth)))


def main() -> int:
    usual = LoopSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--visits", type=int, default=usual.visits, help="a day")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the market and its log")
    parser.add_argument("--quick", action="store_true", help="a day of a small market")
    flags = parser.parse_args()
    settings = replace(usual, visits=flags.visits, seed=flags.seed)
    if flags.quick:
        settings, flags.days = replace(settings, ads=300, visits=5_000, days=1), [1]
    for days in flags.days:
        for line in lines(replace(settings, days=days), days, flags.seed):
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
