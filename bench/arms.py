"""What a model on trial costs a worker: a canary for a tenth of the people, a shadow of all.

    python -m bench.arms

One process, batches of requests through the pipeline with the local scorer. The three ways to
serve take turns batch by batch, so that a busy machine slows all of them; medians of the deciding
thread's CPU time are compared.
A shadow's time is counted whole, as if every batch were scored (SHADOW_ROWS_PER_S bounds it).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog

from adserver.arms import ALONE, Beside
from adserver.batcher import Ask
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.deadline import Deadline
from adserver.releases import states
from adserver.releases.registry import Registry
from adserver.releases.states import State
from adserver.request import AdRequest
from adserver.settings import Settings
from adserver.wire import decision as wire_decision
from adserver.worker import Worker
from ranking.bundle import FILES
from ranking.manifest import write_manifest
from simulator.traffic import requests
from simulator.world import World

KEY = "signs the events of a benchmark only"
TENTH = states.SHARE_PPM[State.CANARY_10]
TURNS = 6
"""Of the loop, after which a batch is recorded and its shadow has scored."""


def with_another_model(folder: Path) -> Registry:
    """The committed model, and one with other towers on trial."""
    shutil.copytree("model_repository", folder / "models")
    registry, changed = Registry(folder / "models"), folder / "changed"
    changed.mkdir()
    source = registry.folder(registry.traffic().production)
    for name in FILES:
        shutil.copyfile(source / name, changed / name)
    towers = dict(np.load(changed / "towers.npz"))
    towers["ad.b2"] = (towers["ad.b2"] + 0.05).astype(towers["ad.b2"].dtype)
    np.savez(changed / "towers.npz", **towers)
    about = orjson.loads((source / "manifest.json").read_bytes())
    write_manifest(changed, about | {"gate": {"passed": True}}, FILES)
    registry.promote(registry.register(changed, 0), State.SHADOW, 0, "a benchmark", {})
    return registry


def prepared(folder: Path, ads: int) -> Settings:
    """A catalogue, and a snapshot for both models."""
    registry = with_another_model(folder)
    settings = Settings(
        adserver_data=folder / "data",
        model_repository=registry.repository,
        scorer="local",
        adserver_token_key=KEY,
        state_bytes=1 << 28,
        clicks_per_day=10_000_000,
        auction_ring_mib=16,
        shadow_rows_per_s=1 << 24,
        release_promotion="off",
    )
    settings.adserver_data.mkdir()
    create_sample(settings.database, ads, time.time())
    others = settings.trial_bundles
    build_snapshot(
        *(settings.database, settings.snapshots, settings.bundle, time.time()), others=others
    )
    return settings


async def measured(settings: Settings, size: int, rounds: int) -> Iterator[dict[str, Any]]:
    """CPU microseconds of the deciding thread per decision, in batches of `size`, by what serves
    beside production."""
    worker = Worker(settings, 0)
    await worker.warm_up()
    other = worker.pipeline.beside.shadow
    if other is None:
        raise RuntimeError("the model on trial is not served")
    ways = {
        "alone": ALONE,
        "canary": Beside(canary=other, share_ppm=TENTH, salt="bench"),
        "shadow": Beside(shadow=other),
    }
    pages = _pages(size * 64)
    took: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way, beside in ways.items():
            worker.pipeline.beside = beside
            at = turn * size % (len(pages) - size + 1)
            took[way].append(await _batch(worker, pages[at : at + size]))
    await worker.stop()
    warm = {way: np.array(times[rounds // 10 :]) / size for way, times in took.items()}
    return iter(
        {
            "figure": way,
            "batch": size,
            "value": round(float(1e6 * np.median(times)), 1),
            "unit": "CPU µs/decision",
            "p99": round(float(1e6 * np.quantile(times, 0.99)), 1),
            "ratio": round(float(np.median(times) / np.median(warm["alone"])), 3),
        }
        for way, times in warm.items()
    )


async def _batch(worker: Worker, some: list[AdRequest]) -> float:
    now = worker.clocks.monotonic()
    deadline = Deadline(now + 1.0, worker.clocks.monotonic)
    began = time.thread_time()
    await worker.pipeline.decide([Ask(one, deadline, now) for one in some])
    for _ in range(TURNS):
        await asyncio.sleep(0)
    return time.thread_time() - began


def _pages(count: int) -> list[AdRequest]:
    bodies = requests(World(1), np.random.default_rng(2), count)
    parsed = [wire_decision.parse(orjson.dumps(body)) for body in bodies]
    return [replace(one, user=f"u{n}") for n, one in enumerate(parsed)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 24])
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="few batches on a small catalogue")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.rounds, flags.batches = 2_000, 40, [8]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for size in flags.batches:
        with tempfile.TemporaryDirectory(prefix="arms-") as folder:
            settings = prepared(Path(folder), flags.ads)
            for line in asyncio.run(measured(settings, size, flags.rounds)):
                about = {"bench": "arms", "ads": flags.ads, **line}
                sys.stdout.buffer.write(orjson.dumps(about) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
