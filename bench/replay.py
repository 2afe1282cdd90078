"""The same requests, seed and snapshot give the same decisions, bit for bit, in another process.

    python -m bench.replay --requests 500

Decides a fixed list of requests in two fresh processes, each with a ledger, tickets and log of its
own, and compares a hash of everything that was decided: winners, prices, signatures, reasons. Only
measured times are left out, as the clock stands still. One JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from adserver.auctions.recorder import Recorder
from adserver.batcher import Ask
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.commit import Till
from adserver.deadline import Deadline
from adserver.decision import Decision
from adserver.editions import Editions, set_limits
from adserver.eventlog import EventLog, LogSettings
from adserver.events import EventSettings
from adserver.features.keeper import Features
from adserver.history import Histories
from adserver.money import open_drawer
from adserver.pipeline import Pipeline
from adserver.prices import Prices
from adserver.request import Dialect, Explain
from adserver.seen import HistorySettings
from adserver.settings import Settings
from adserver.state.memory import MemoryStore
from adserver.tokens import signer_of
from adserver.trace import Numbers
from adserver.wire import decision as wire_decision
from adserver.wire import openrtb as wire_openrtb
from auction.fairness import Exposure
from auction.settings import AuctionSettings
from auction.squash import Squash
from loadtest.traffic import DECISION, bodies
from ranking.tiers import Ranks

KEY = "a key for replays, never for real events"
WORKER = 0
BATCHES = (1, 7, 20)
"""Sizes of the batches, in turn."""
ADS = 2_000


def digest(data: Path, now: float, requests: int, seed: int) -> str:
    """SHA-256 over the decisions about the first `requests` bodies of `seed` at wall time `now`."""
    with tempfile.TemporaryDirectory(prefix="replay-") as scratch:
        decided = asyncio.run(_decide_all(data, Path(scratch), now, _asks(requests, seed)))
    whole = hashlib.sha256()
    for decision in decided:
        whole.update(canonical(decision))
    return whole.hexdigest()


def canonical(decision: Decision) -> bytes:
    """Everything that was decided, as JSON with sorted keys; measured times are left out."""
    still = replace(decision, took_ms=0.0, stage_ms={})
    return orjson.dumps(still, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _asks(count: int, seed: int) -> Iterator[list[Ask]]:
    """Both dialects and explained requests, in batches of several sizes; nobody is in a hurry."""
    asks = []
    for number, body in enumerate(bodies(seed, count)):
        parsed = (
            wire_decision.parse(body.json)
            if body.route == DECISION
            else wire_openrtb.parse(body.json, Dialect.AUCTION)
        )
        explain = Explain.SUMMARY if number % 10 == 0 else Explain.NONE
        asks.append(Ask(replace(parsed, explain=explain), Deadline(1.0, _still), _still()))
    while asks:
        for size in BATCHES:
            if asks:
                yield asks[:size]
            asks = asks[size:]


def _still() -> float:
    """A clock that stands: no request is late, no batch has a cost."""
    return 0.0


async def _decide_all(
    data: Path, scratch: Path, now: float, batches: Iterator[list[Ask]]
) -> list[Decision]:
    """Decisions of a pipeline on `data`'s snapshot whose money and log are in `scratch`."""
    settings = Settings(adserver_data=data, scorer="local", clicks_per_day=1_000_000)
    editions = Editions(settings)
    edition = editions.open(now)
    await editions.introduce(edition)
    drawer = open_drawer(replace(settings, adserver_data=scratch), WORKER, now)
    set_limits(edition, drawer, now)
    log = EventLog(scratch / "events", WORKER, lambda: now, LogSettings())
    recorder = Recorder.of(replace(settings, adserver_data=scratch), WORKER, lambda: now)
    hold_ms = EventSettings().hold_s * 1000
    histories = Histories(MemoryStore(), KEY.encode(), HistorySettings.of(settings))
    mine = replace(settings, adserver_data=scratch)
    features = Features.of(mine, WORKER, lambda: now, histories.identities, histories.store)
    pipeline = Pipeline(
        edition=edition,
        ranks=Ranks(editions.scorer, _still),
        till=Till(WORKER, drawer, signer_of(KEY), log, hold_ms, _still, histories),
        histories=histories,
        features=features,
        exposure=Exposure(settings.fairness),
        recorder=recorder,
        numbers=Numbers.of(WORKER, int(now)),
        settings=settings,
        prices=Prices(AuctionSettings(), Squash()),
        clock=_still,
        wall=lambda: now,
    )
    decided = [one for batch in batches for one in await pipeline.decide(batch)]
    log.close()
    recorder.close()
    features.close(int(now * 1000))
    return decided


def in_another_process(data: Path, now: float, requests: int, seed: int) -> str:
    """The digest as a fresh process, with other hash seeds and addresses, finds it."""
    named = {"--digest": data, "--now": now, "--requests": requests, "--seed": seed}
    command = [sys.executable, "-m", "bench.replay"]
    command += [str(part) for pair in named.items() for part in pair]
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def compare(data: Path, now: float, requests: int, seed: int) -> dict[str, object]:
    """One figure: whether two processes decided alike."""
    found = [in_another_process(data, now, requests, seed) for _ in range(2)]
    return {
        "bench": "replay",
        "figure": "decisions alike in another process",
        "value": int(found[0] == found[1]),
        "unit": "bool",
        "requests": requests,
        "sha256": found[0],
    }


def main(arguments: Sequence[str]) -> int:
    flags = _flags(arguments)
    if flags.digest:
        print(digest(flags.digest, flags.now, flags.requests, flags.seed))
        return 0
    with tempfile.TemporaryDirectory(prefix="replay-") as temporary:
        settings = Settings(adserver_data=Path(temporary))
        create_sample(settings.database, ADS, flags.now)
        build_snapshot(settings.database, settings.snapshots, settings.bundle, flags.now)
        line = compare(Path(temporary), flags.now, flags.requests, flags.seed)
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    return 0 if line["value"] else 1


def _flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digest", type=Path, help="print the hash of one run on this data folder")
    parser.add_argument("--now", type=float, default=time.time(), help="wall time to decide at")
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="100 requests")
    flags = parser.parse_args(arguments)
    if flags.quick:
        flags.requests = 100
    return flags


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
