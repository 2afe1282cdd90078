"""Decisions of `ad_selector` through the real Triton, and what binds; one JSON line per figure.

    python -m bench.through_triton --ads 2000 10000 50000

Starts Triton as `adserver demo` does, on a GPU where the model finds one and on the CPU elsewhere,
tells it of a catalogue, and asks it over gRPC from processes of their own with so many calls in
flight. CPU seconds by process and Triton's own times of queue and compute tell what binds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import numpy as np
import psutil  # type: ignore[import-untyped]  # ships no annotations

from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.edition import Edition
from adserver.editions import Editions
from adserver.encode import Asked, encode
from adserver.inference_server import TritonProcess
from adserver.selection.client import MODEL, TritonSelector, is_ready
from adserver.selection.message import changes
from adserver.settings import Settings
from adserver.triton_wheel import install
from adserver.wire.decision import parse
from loadtest.traffic import DECISION, bodies
from ranking.scorer import RankerError, Refused
from retrieval.gpu.asks import Asks

NOW: Final = 1_800_000_000.0
DISTINCT: Final = 512
PATIENCE_S: Final = 60.0
PARTS: Final = ("queue", "compute_input", "compute_infer", "compute_output")
TRITON: Final = Path(".triton")


@dataclass(frozen=True, slots=True)
class Load:
    """What one caller does."""

    url: str
    key: tuple[int, int]
    asks: Asks
    calls: int
    """In flight."""
    rows: int
    """Requests of each call; a worker sends a batch as one."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    latency_s: list[float]
    failures: int
    cpu_s: float


async def _ask(load: Load) -> Answered:
    selector, latency, failures = TritonSelector(load.url), list[float](), 0
    until = time.monotonic() + load.seconds

    async def caller(first: int) -> None:
        nonlocal failures
        at = first
        while time.monotonic() < until:
            one = slice(at % DISTINCT, at % DISTINCT + load.rows)
            part = Asks(load.asks.ask[one], load.asks.vector[one])
            began = time.monotonic()
            try:
                await selector.select(part, *load.key, PATIENCE_S)
                latency.append(time.monotonic() - began)
            except RankerError:
                failures += 1
            at += load.calls * load.rows

    began = time.process_time()
    await asyncio.gather(*(caller(number * load.rows) for number in range(load.calls)))
    await selector.close()
    return Answered(latency, failures, time.process_time() - began)


def _asking(load: Load) -> Answered:
    return asyncio.run(_ask(load))


async def told(url: str, edition: Edition) -> float:
    """Seconds until the selector has the catalogue and knows what runs."""
    selector, began = TritonSelector(url), time.monotonic()
    for change in changes(None, edition.overlay.live):
        while True:
            try:
                await selector.change(change, edition.version, edition.bundle.version)
                break
            except Refused:
                await asyncio.sleep(0.02)
    await selector.close()
    return time.monotonic() - began


def asks_of(edition: Edition) -> Asks:
    """Different requests of the simulated market that the selector takes."""
    some = [parse(one.json) for one in bodies(3, 4 * DISTINCT) if one.route == DECISION][:DISTINCT]
    encoded = encode(Asked.by_strangers(some, range(len(some))), edition, NOW, 0)
    return Asks.of(encoded.queries, encoded.vector.shape[1])


def triton_times(process: TritonProcess) -> dict[str, float]:
    """Microseconds that all requests together have spent so far, by part; and batches that ran."""
    with urlopen(process.metrics_url) as answer:
        text = answer.read().decode()

    def total(name: str) -> float:
        found = re.findall(rf'^{name}{{model="{MODEL}"[^}}]*}} (\S+)$', text, re.MULTILINE)
        return sum(map(float, found))

    spent = {part: total(f"nv_inference_{part}_duration_us") for part in PARTS}
    return spent | {"batches": total("nv_inference_exec_count")}


def cpu_s(process: TritonProcess) -> dict[str, float]:
    """CPU seconds so far of Triton's core, and of the models' workers."""
    core = psutil.Process(process.pid)
    spent = {"core": sum(core.cpu_times()[:2]), "model": 0.0}
    for child in core.children(recursive=True):
        spent["model"] += sum(child.cpu_times()[:2])
    return spent


def measured(process: TritonProcess, load: Load, callers: int) -> dict[str, Any]:
    """One run."""
    before, spent = triton_times(process), cpu_s(process)
    with multiprocessing.get_context("spawn").Pool(callers) as pool:
        answered = pool.map(_asking, [load] * callers, 1)
    after, used = triton_times(process), cpu_s(process)
    latency = np.concatenate([one.latency_s for one in answered])
    count = max(len(latency) * load.rows, 1)
    return {
        "figure": "decisions through Triton",
        "value": round(len(latency) * load.rows / load.seconds, 1),
        "unit": "1/s",
        "calls_in_flight": load.calls * callers,
        "requests_per_call": load.rows,
        "p50_ms": round(float(np.quantile(latency, 0.5)) * 1e3, 1),
        "p99_ms": round(float(np.quantile(latency, 0.99)) * 1e3, 1),
        "failures": sum(one.failures for one in answered),
        "requests_per_batch": round(count / max(after["batches"] - before["batches"], 1), 1),
        "us_per_request": {part: round((after[part] - before[part]) / count) for part in PARTS},
        "cpu_us_per_request": {
            **{name: round((used[name] - spent[name]) / count * 1e6) for name in used},
            "callers": round(sum(one.cpu_s for one in answered) / count * 1e6),
        },
    }


def bench(ads: int, flags: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """All figures of one size."""
    settings = Settings(adserver_data=folder, scorer="local")
    create_sample(settings.database, ads, NOW)
    build_snapshot(settings.database, settings.snapshots, settings.bundle, NOW)
    process = TritonProcess(
        *(install(TRITON), settings.model_repository.resolve(), settings.snapshots),
        *(folder / "triton.log", is_ready),
        model=MODEL,
    )
    edition = Editions(settings).open(NOW)
    with asyncio.Runner() as runner:
        runner.run(process.start())
        try:
            took = runner.run(told(process.grpc_url, edition))
            yield {"figure": "seconds until a snapshot is loaded", "value": round(took, 2)}
            key = edition.version, edition.bundle.version
            for calls in flags.calls:
                for rows in flags.rows:
                    load = Load(
                        *(process.grpc_url, key, asks_of(edition)), calls, rows, flags.seconds
                    )
                    yield measured(process, load, flags.callers)
        finally:
            runner.run(process.stop())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[2_000, 10_000, 50_000])
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 16], help="in flight")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16], help="requests of a call")
    parser.add_argument("--callers", type=int, default=1, help="processes that ask")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--quick", action="store_true", help="2 000 ads, short runs")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.seconds = [2_000], 2.0
    for ads in flags.ads:
        with tempfile.TemporaryDirectory(prefix="through-") as folder:
            for line in bench(ads, flags, Path(folder)):
                about = {"bench": "through_triton", "ads": ads, "callers": flags.callers}
                print(json.dumps(about | line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
