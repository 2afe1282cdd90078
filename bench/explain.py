"""What it costs to keep every auction, and to ask about them; one JSON line per figure.

    python -m bench.explain

Writing: records with that many candidates and three slots, in batches of 1 and 32, to a ring of 256
MiB that has been lapped. Share of p99: one worker in this process, 16 requests in flight, with
and without the recorder in turns of half a second on the same catalogue; medians over the turns.
Asking: the ring full; `stall` is the longest that decisions waited meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

from adserver.auctions import asked
from adserver.auctions.encoding import encode
from adserver.auctions.record import AuctionRecord, Notes
from adserver.auctions.recorder import Recorder
from adserver.auctions.ring import RingWriter
from adserver.batcher import Ask
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.deadline import Deadline, monotonic
from adserver.request import AdRequest, Slot
from adserver.settings import Settings
from adserver.wire import decision as wire_decision
from adserver.worker import Worker
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from bench.auction import CAMPAIGNS, Shape, market
from loadtest.traffic import DECISION, bodies

IN_FLIGHT = 16
SLOTS = 3
TURN_S = 0.5
NOW_MS = 1_800_000_000_000


class Silent(Recorder):
    """A recorder that keeps nothing."""

    def found(self, *_: object) -> dict[int, Any]:
        return {}

    def write(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Effort:
    ring_mib: int
    rounds: int
    turns: int
    """Of each kind."""


def record_of(requests: int, candidates: int) -> AuctionRecord:
    """A sold batch of `bench.auction`'s market, every column that a live one has."""
    rng = np.random.default_rng(7)
    bids, slots = market(rng, Shape(requests, candidates, SLOTS))
    money = np.full(CAMPAIGNS * 4, 10**12)
    bids = replace(bids, full_bid_micros=bids.bid_micros, weight_ppm=bids.pctr_ppm)
    slate = run_auction(bids, slots, None, money, AuctionSettings())
    notes = Notes(
        number=np.arange(requests, dtype=np.uint64),
        at_ms=np.full(requests, NOW_MS),
        snapshot=np.ones(requests, np.int64),
        quality=np.zeros(requests, np.uint8),
        ad_id=bids.ad.astype(np.int64),
        sold=slate.winner >= 0,
        outcome=slate.reason,
    )
    return AuctionRecord([], notes, bids, slots, slate, model="ctr_ranker/1")


def page(number: int) -> AdRequest:
    """A request of usual length."""
    slots = tuple(Slot(f"slot-{n}", "home-top", ((300, 250), (728, 90))) for n in range(SLOTS))
    return AdRequest(
        f"r-{number:016x}", slots, publisher="pub-7", domain="news.example",
        page="https://news.example/economy/a-story-of-some-length", categories=("IAB17", "IAB3-1"),
        keywords=("economy", "bread"), country="USA", device="phone", user="u-0123456789",
    )  # fmt: skip


def writing(candidates: int, batch: int, effort: Effort, folder: Path) -> dict[str, Any]:
    """Wall microseconds per decision of encoding and appending."""
    record, requests = record_of(batch, candidates), [page(n) for n in range(batch)]
    ring = RingWriter(folder, 0, effort.ring_mib << 20)
    size = encode(record, asked.pack(requests)).size
    laps = 2 * (effort.ring_mib << 20) // size
    micros = []
    for number in range(laps + effort.rounds):
        begin = time.perf_counter()
        ring.append(encode(record, asked.pack(requests)), number * batch, batch, NOW_MS)
        micros.append(1e6 * (time.perf_counter() - begin) / batch)
    kept = micros[-effort.rounds :]
    return {
        "figure": "writing",
        "candidates": candidates,
        "batch": batch,
        "value": round(median(kept), 2),
        "unit": "us/decision",
        "p99": round(float(np.quantile(kept, 0.99)), 2),
        "bytes_per_decision": size // batch,
        "decisions_in_the_ring": (effort.ring_mib << 20) // size * batch,
    }


class Load:
    """Requests in flight against one worker, each followed by the next."""

    def __init__(self, worker: Worker) -> None:
        parsed = [wire_decision.parse(b.json) for b in bodies(1, 5000) if b.route == DECISION]
        self._worker, self._requests, self._next = worker, parsed, 0
        self.newest = ""

    async def turn(self, seconds: float) -> list[float]:
        """Seconds that each decision took."""
        took: list[float] = []
        until = monotonic() + seconds
        await asyncio.gather(*(self._asker(until, took) for _ in range(IN_FLIGHT)))
        return took

    async def _asker(self, until: float, took: list[float]) -> None:
        while (began := monotonic()) < until:
            request = self._requests[self._next % len(self._requests)]
            self._next += 1
            request = replace(request, page_view=f"{self._next:x}")
            decision = await self._worker.decide(Ask(request, Deadline(began + 0.5), began))
            took.append(monotonic() - began)
            if any(outcome.sold for outcome in decision.outcomes):
                self.newest = decision.id


def _parts(recorder: Recorder) -> dict[str, Any]:
    return {one.name: getattr(recorder, one.name) for one in fields(recorder) if one.init}


async def share_of_p99(worker: Worker, load: Load, turns: int) -> Iterator[dict[str, Any]]:
    """p50, p99 and CPU per decision with and without the recorder, and the stage's own time."""
    kinds: dict[str, Any] = {"on": worker.recorder, "off": Silent(**_parts(worker.recorder))}
    p50: dict[str, list[float]] = {"on": [], "off": []}
    p99: dict[str, list[float]] = {"on": [], "off": []}
    cpu: dict[str, list[float]] = {"on": [], "off": []}
    for number in range(2 * turns):
        kind = ("on", "off")[(number + number // 2) % 2]
        worker.pipeline.recorder = kinds[kind]
        spent = time.process_time()
        took = await load.turn(TURN_S)
        cpu[kind].append((time.process_time() - spent) / len(took))
        p50[kind].append(float(np.quantile(took, 0.5)))
        p99[kind].append(float(np.quantile(took, 0.99)))
    worker.pipeline.recorder = worker.recorder
    told = {
        f"{name}_{kind}": round(scale * median(values[kind]), 3)
        for name, scale, values in (
            ("p50_ms", 1e3, p50),
            ("p99_ms", 1e3, p99),
            ("cpu_us", 1e6, cpu),
        )
        for kind in ("on", "off")
    }
    ratio = median(a / b for a, b in zip(p99["on"], p99["off"], strict=True))
    return iter(
        [{"figure": "p99 with/without", "value": round(ratio, 4), "unit": "ratio",
          "turns": turns, "in_flight": IN_FLIGHT, **told}]
    )  # fmt: skip


async def stage_share(worker: Worker, load: Load, turns: int) -> dict[str, Any]:
    """What the recorder itself takes of a decision's time, batch by batch."""
    recorder, spent = worker.recorder, [0.0]

    class Timed(Recorder):
        def write(self, *arguments: Any) -> None:
            begin = time.perf_counter()
            recorder.write(*arguments)
            spent.append(time.perf_counter() - begin)

    worker.pipeline.recorder = Timed(**_parts(recorder))
    took = [one for _ in range(turns) for one in await load.turn(TURN_S)]
    worker.pipeline.recorder = recorder
    p99 = float(np.quantile(took, 0.99))
    return {
        "figure": "writing, of p99",
        "value": round(100 * median(spent[1:]) / p99, 3),
        "unit": "%",
        "us_per_batch": round(1e6 * median(spent[1:]), 1),
        "us_per_decision": round(1e6 * sum(spent) / len(took), 2),
        "requests_per_batch": round(len(took) / len(spent[1:]), 1),
        "p99_ms": round(1e3 * p99, 2),
    }


async def asking(worker: Worker, load: Load, effort: Effort) -> list[dict[str, Any]]:
    """Explain and why at a full ring, alone and with decisions going on."""
    await load.turn(TURN_S)
    while not worker.recorder.ring.overwritten:
        await load.turn(TURN_S)
    told = await worker.explain(load.newest, "", "")
    ad = told["candidates"]["listed"][0]["ad"]  # type: ignore[index]
    found = await worker.why(str(ad), "15m")
    questions = {
        "explain": lambda: worker.explain(load.newest, "", ""),
        "why": lambda: worker.why(str(ad), "15m"),
    }
    lines = []
    for name, ask in questions.items():
        alone = [await _timed(ask) for _ in range(effort.turns)]
        stalls = [await _stall(ask, load) for _ in range(effort.turns)]
        quiet = [max(await load.turn(0.2)) for _ in range(effort.turns)]
        lines.append(
            {
                "figure": name,
                "value": round(1e3 * median(alone), 1),
                "unit": "ms",
                "most_ms": round(1e3 * max(alone), 1),
                "slowest_decision_meanwhile_ms": round(1e3 * median(stalls), 1),
                "slowest_decision_otherwise_ms": round(1e3 * median(quiet), 1),
                "decisions": found["decisions"],
                "ring_mib": effort.ring_mib,
            }
        )
    return lines


async def _timed(ask: Any) -> float:
    begin = monotonic()
    await ask()
    return monotonic() - begin


async def _stall(ask: Any, load: Load) -> float:
    """The slowest decision of 0.2 s in which the question is asked."""
    took, _ = await asyncio.gather(load.turn(0.2), ask())
    return max(took)


async def live(data: Path, effort: Effort) -> list[dict[str, Any]]:
    settings = Settings(
        adserver_data=data,
        scorer="local",
        adserver_token_key="a key for benchmarks, never for real events",
        auction_ring_mib=effort.ring_mib,
        clicks_per_day=10_000_000,
    )
    worker = Worker(settings, 0)
    await worker.start()
    load = Load(worker)
    await load.turn(3 * TURN_S)
    lines = [await stage_share(worker, load, effort.turns)]
    lines += await share_of_p99(worker, load, effort.turns)
    lines += await asking(worker, load, effort)
    await worker.stop()
    return lines


def figures(effort: Effort, candidates: Sequence[int], ads: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="explain-") as temporary:
        folder = Path(temporary)
        for count in candidates:
            for batch in (1, 32):
                yield writing(count, batch, effort, folder)
        settings, now = Settings(adserver_data=folder), time.time()
        create_sample(settings.database, ads, now)
        build_snapshot(settings.database, settings.snapshots, settings.bundle, now)
        yield from asyncio.run(live(folder, effort))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, nargs="+", default=[50, 200, 2_000])
    parser.add_argument("--ads", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="small rings, few turns")
    flags = parser.parse_args()
    effort = Effort(16, 50, 3) if flags.quick else Effort(256, 500, 40)
    for line in figures(effort, flags.candidates, flags.ads):
        sys.stdout.buffer.write(orjson.dumps({"bench": "explain", **line}) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
