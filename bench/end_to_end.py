"""Requests per second, latency and CPU per request of the whole server; one JSON line per figure.

    python -m bench.end_to_end --ads 10000 100000 1000000 --scorer local triton

Starts `adserver demo` for each size and scorer and asks it over HTTP from this process, so the
load generator shares the machine (its own CPU is in the figures). Throughput: 16 and 64 requests in
flight, in turn, the median of three. Latency to be judged: Poisson arrivals at 80 % of the
throughput. CPU per request, with callers so patient that every request is scored in full, hardly
depends on who else uses the machine; use it to compare sizes.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psutil  # type: ignore[import-untyped]  # ships no annotations
import uvloop
from rich.console import Console

from loadtest.closed_loop import Crowd, closed_loop
from loadtest.open_loop import Plan, open_loop
from loadtest.serving import Server, Wanted, serving, spent_between
from loadtest.tally import Summary
from loadtest.target import Target, target_of
from loadtest.traffic import Shot, shots

DISTINCT = 20_000
IN_FLIGHT = (16, 64)
OPEN_SHARE = 0.8
"""Of the throughput: where a server is meant to be run."""
PATIENT_MS = 500
"""A deadline at which nothing is left out or shed."""
WARM_UP_S = 5.0
WORKERS = {"local": 2, "triton": 1}
"""Triton takes one of two cores."""
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Setup:
    """How long and how often to measure."""

    seconds: float
    repeats: int
    host_cores: int = psutil.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One run, and what the server spent and counted meanwhile."""

    summary: Summary
    cpu_s: dict[str, float]
    counted: dict[str, float]
    """By how much each sample of the metrics rose."""

    @property
    def cpu_us(self) -> dict[str, float]:
        """Microseconds of CPU per answered request, by kind of process."""
        requests = max(1.0, self.answered)
        return {role: round(1e6 * s / requests, 1) for role, s in self.cpu_s.items()}

    @property
    def answered(self) -> float:
        """Ad requests that the server answered, warm-up included, as its CPU time does."""
        return sum(_matching(self.counted, "adserver_requests_total", "/e/", "/metrics"))


def _matching(counted: Mapping[str, float], name: str, *without: str) -> Iterator[float]:
    for sample, value in counted.items():
        if sample.startswith(name) and not any(part in sample for part in without):
            yield value


def measured(server: Server, run: Coroutine[Any, Any, Summary]) -> Measured:
    """What `run` (a coroutine that sends load) came to."""
    cpu, counted = server.cpu_s(), server.metrics()
    summary = uvloop.run(run)
    spent = spent_between(cpu, server.cpu_s())
    rose = {name: value - counted.get(name, 0.0) for name, value in server.metrics().items()}
    if summary.failed:
        raise SystemExit(f"the server failed requests: {summary.status} {summary.failures}")
    return Measured(summary, spent, rose)


def stages(counted: Mapping[str, float]) -> dict[str, Any]:
    """What the metrics say of a run: per-request times of the stages, candidates, batch size."""
    requests = max(1.0, counted.get("adserver_batch_requests_sum", 0.0))
    batches = max(1.0, counted.get("adserver_batch_requests_count", 0.0))
    prefix = 'adserver_stage_seconds_sum{stage="'
    per_stage = {
        sample.removeprefix(prefix).removesuffix('"}'): round(1e6 * seconds / requests, 1)
        for sample, seconds in counted.items()
        if sample.startswith(prefix)
    }
    candidates = sum(_matching(counted, "adserver_candidates_total"))
    return {
        "stage_us_per_request": per_stage,
        "candidates_per_request": round(candidates / requests, 1),
        "requests_per_batch": round(requests / batches, 2),
    }


def shares(counts: dict[str, int]) -> dict[str, float]:
    total = max(1, sum(counts.values()))
    return {name: round(count / total, 4) for name, count in counts.items()}


def figure(name: str, value: float, unit: str, runs: Sequence[Measured]) -> dict[str, Any]:
    """One line: medians over the runs; shares and stages of all of them together."""
    quality: Counter[str] = Counter()
    for run in runs:
        quality.update(run.summary.quality)
    counted = {name: sum(run.counted.get(name, 0.0) for run in runs) for name in runs[0].counted}
    return {
        "figure": name,
        "value": round(value, 1),
        "unit": unit,
        "p50_ms": round(median(run.summary.ads["p50"] for run in runs), 2),
        "p99_ms": round(median(run.summary.ads["p99"] for run in runs), 2),
        "quality": shares(quality),
        "no_fill": round(median(run.summary.no_fill for run in runs), 4),
        "cpu_us_per_request": runs[len(runs) // 2].cpu_us,
        "generator_us_per_request": median(
            run.summary.as_json()["generator_us_per_request"] for run in runs
        ),
        "rates": [round(run.summary.rate, 1) for run in runs],
        **stages(counted),
    }


def bench(server: Server, setup: Setup) -> Iterator[dict[str, Any]]:
    """All figures of one server."""
    target = target_of(server.url)
    load, patient = _load(), _load(PATIENT_MS)
    uvloop.run(closed_loop(target, load, Crowd(16, WARM_UP_S, 0.0)))
    runs: dict[int, list[Measured]] = {n: [] for n in (0, *IN_FLIGHT)}
    for _ in range(setup.repeats):  # in turn: what else the machine does falls on all alike
        for n in IN_FLIGHT:
            runs[n].append(measured(server, closed_loop(target, load, Crowd(n, setup.seconds))))
        crowd = Crowd(IN_FLIGHT[0], setup.seconds)
        runs[0].append(measured(server, closed_loop(target, patient, crowd)))
    for n in IN_FLIGHT:
        rate = median(run.summary.rate for run in runs[n])
        yield {"in_flight": n, **figure("throughput", rate, "requests/s", runs[n])}
    cpu = median(sum(run.cpu_us.values()) for run in runs[0])
    about = {"in_flight": IN_FLIGHT[0], "deadline_ms": PATIENT_MS}
    yield {**about, **figure("server CPU per request", cpu, "us", runs[0])}
    least = min(median(run.summary.rate for run in runs[n]) for n in IN_FLIGHT)
    yield from _open(server, target, load, OPEN_SHARE * least, setup)
    yield {"figure": "memory", "value": round(server.memory_bytes() / 2**20), "unit": "MiB"}


def _load(deadline_ms: int = 0) -> Sequence[Shot]:
    return shots(1, DISTINCT, "127.0.0.1", deadline_ms)


def _open(
    server: Server, target: Target, load: Sequence[Shot], rate: float, setup: Setup
) -> Iterator[dict[str, Any]]:
    plan = Plan(rate=rate, seconds=2 * setup.seconds, warm_up_s=1.0)
    run = measured(server, open_loop(target, load, plan))
    yield {
        "offered_per_s": round(run.summary.run.offered / run.summary.run.seconds, 1),
        "generator_late_p99_ms": round(run.summary.run.late_ms, 3),
        "server_p99_ms": run.summary.server_p99_ms,
        **figure("open loop", run.summary.rate, "requests/s", [run]),
    }


def main() -> int:
    """Temporary catalogues, unless --data names a folder that keeps them."""
    flags = _flags()
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        return _bench_all(flags, flags.data or Path(temporary))


def _bench_all(flags: argparse.Namespace, data: Path) -> int:
    setup = Setup(flags.seconds, flags.repeats)
    with console.status("making requests"):
        _load(), _load(PATIENT_MS)
    gc.freeze()
    for ads in flags.ads:
        for scorer in flags.scorer:
            workers = flags.workers or WORKERS[scorer]
            wanted = Wanted(ads, scorer, workers, data / str(ads))
            _bench_one(wanted, setup)
    return 0


def _bench_one(wanted: Wanted, setup: Setup) -> None:
    console.print(f"{wanted.ads:,} ads, {wanted.scorer}, {wanted.workers} worker(s)")
    wanted.data.mkdir(parents=True, exist_ok=True)
    told = {
        "ads": wanted.ads,
        "scorer": wanted.scorer,
        "workers": wanted.workers,
        "cores": setup.host_cores,
        "repeats": setup.repeats,
        "seconds": setup.seconds,
    }
    with serving(wanted, wanted.data / f"bench-{wanted.scorer}.log") as server:
        for line in bench(server, setup):
            sys.stdout.buffer.write(orjson.dumps({"bench": "end_to_end", **told, **line}) + b"\n")
            sys.stdout.flush()


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scorer", nargs="+", choices=WORKERS, default=list(WORKERS))
    parser.add_argument("--workers", type=int, default=0, help="0: what is best on two cores")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="keeps catalogues by size; default: temporary")
    parser.add_argument("--quick", action="store_true", help="10 000 ads, short runs")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.seconds, flags.repeats = [10_000], 2.0, 1
    return flags


if __name__ == "__main__":
    sys.exit(main())
