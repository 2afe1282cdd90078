"""Impressions per second of the click model's training, and where the time goes; JSON lines.

    python -m bench.training

The default network on a simulated market, one pass. `stepped` are impressions that a gradient step
was made on; `covered` those of the log behind them: with every impression of the log the two are
the same, with the negatives thinned to 15 % each of those left stands for several. One process has
one thread; two share every batch over gloo. The first pass, which compiles, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from adserver.training import simulated
from ranking.dataset import Impressions
from ranking.lookups import kernels
from ranking.training import Ranks, TrainSettings, fitting, optimisers
from ranking.training.progress import unheard

SIZES = (100_000, 300_000, 1_000_000)
ADS = 100_000
PER_VISIT = 1.7
SEED = 5
NEGATIVES = (1.0, 0.15)
PARTS = {
    "batching": ((fitting, "thinned"), (fitting, "batches")),
    "embeddings": tuple(
        (kernels, name) for name in ("pool_forward", "pool_backward", "sum_forward", "sum_backward")
    ),
    "optimisers": ((optimisers.Optimisers, "step"),),
    "exchange": ((Ranks, "add_up"),),
}
"""What is timed by itself; the rest of a step is the layers and the loss, forward and back."""


def timed(spent: dict[str, float]) -> None:
    """Let every part add the seconds it takes to `spent`, from now on."""
    for part, places in PARTS.items():
        for owner, name in places:
            setattr(owner, name, _watched(getattr(owner, name), part, spent))


def _watched(
    function: Callable[..., Any], part: str, spent: dict[str, float]
) -> Callable[..., Any]:
    def watched(*arguments: Any) -> Any:
        begin = time.perf_counter()
        found = function(*arguments)
        spent[part] += time.perf_counter() - begin
        return _each(found, part, spent) if isinstance(found, Iterator) else found

    return watched


def _each(batches: Iterator[Any], part: str, spent: dict[str, float]) -> Iterator[Any]:
    while True:
        begin = time.perf_counter()
        found = next(batches, None)
        spent[part] += time.perf_counter() - begin
        if found is None:
            return
        yield found


def figures(table: Impressions, batch: int, ranks: Ranks) -> Iterator[dict[str, Any]]:
    """One line for each share of the negatives."""
    torch.set_num_threads(1)
    spent = dict.fromkeys(PARTS, 0.0)
    timed(spent)
    for negatives in NEGATIVES:
        settings = TrainSettings(epochs=1, negatives=negatives, batch=batch)
        fitting.fit(table.part(0, 3_000), settings, SEED, None, unheard, None, ranks)
        spent.update(dict.fromkeys(PARTS, 0.0))
        begin, cpu = time.perf_counter(), time.process_time()
        found = fitting.fit(table, settings, SEED, None, unheard, None, ranks)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        shares = {part: round(spent[part] / seconds, 3) for part in PARTS}
        yield {
            "bench": "training",
            "figure": "stepped",
            "value": round(found.stepped / seconds),
            "unit": "impressions/s",
            "covered_per_s": round(len(table) / seconds),
            "impressions": len(table),
            "stepped": found.stepped,
            "negatives": negatives,
            "batch": settings.batch,
            "processes": ranks.count,
            "stepped_per_cpu_s_of_each": round(found.stepped / ranks.count / cpu),
            "share": shares | {"layers": round(1 - sum(shares.values()), 3)},
        }


def _two(table: Sequence[str]) -> None:
    """The same by two processes; the first one prints."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launch, "-m", "bench.training", *table]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _print(table: Impressions, batch: int, ranks: Ranks) -> None:
    for line in figures(table, batch, ranks):
        if ranks.first:
            print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--impressions", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batch", type=int, default=TrainSettings().batch, help="of all processes")
    parser.add_argument("--quick", action="store_true", help="one small size")
    parser.add_argument("--table", type=Path, help="of impressions; for the processes it starts")
    flags = parser.parse_args()
    if flags.table:
        _print(Impressions.load(flags.table), flags.batch, Ranks.joined(os.environ))
        return
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        sizes = [20_000] if flags.quick else flags.impressions
        file = Path(folder) / "table.npz"
        market = simulated(2_000 if flags.quick else ADS, int(max(sizes) / PER_VISIT), SEED)
        for size in sizes:
            table = market.part(0, int(len(market.request) * size / max(sizes)))
            table.save(file)
            options = ["--table", str(file), "--batch", str(flags.batch)]
            subprocess.run([sys.executable, "-m", "bench.training", *options], check=True)
            _two(options)


if __name__ == "__main__":
    main()
