"""How soon new ads serve, and what that costs the requests meanwhile; one JSON line per figure.

    python -m bench.newads --ads 10000 100000 1000000

A server with so many ads is asked at a constant average rate (Poisson arrivals, latency from the
intended moment). After a still time new line items come, each with some ads, a campaign and an
advertiser; pages that only they ask for are sent over fresh connections, so that every worker gets
some, until no worker is left that does not show them. Seconds count from the moment at which the
database has the line item. Load and server share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import orjson
import uvloop

from adserver.catalogue import additions, schema
from loadtest.open_loop import Plan, recorder_of, sent
from loadtest.serving import Wanted, serving
from loadtest.tally import SERVER_ERRORS, Tally, p99_by_second
from loadtest.target import target_of
from loadtest.traffic import AUCTION, Shot, shots

DISTINCT: Final = 20_000
WARM_UP_S: Final = 6.0
ABOVE_MS: Final = 50.0
SURE: Final = 16
"""Pages in a row that show the ad: a worker of two that does not have it is missed once in
65,000 times."""
EACH: Final = 20
"""Ads that come at a time."""
GIVE_UP_S: Final = 120.0


@dataclass(slots=True)
class Seen:
    """When new ads were shown."""

    first_s: list[float] = field(default_factory=list)
    all_s: list[float] = field(default_factory=list)


def document(number: int) -> dict[str, Any]:
    """A line item that outbids everybody on the pages that it wants, with its owners."""
    ad = {
        "title": "New tea",
        "width": 300,
        "height": 250,
        "category": "IAB8",
        "landing_url": "https://new.example/",
        "markup": '<a href="{click}">new</a>',
    }
    line_item = {
        "name": "new",
        "pricing": "cpm",
        "bid_micros": 400_000_000,
        "pacing": "asap",
        "tier": 1,  # before guaranteed ones, and drawn by its share
        "share": 10**9,
        "targeting": {"key_value": {"include": [f"round={number}"]}},
        "ads": [ad] * EACH,
    }
    campaign = {"name": "new", "daily_budget_micros": 10**12, "line_items": [line_item]}
    owner = {"name": f"New {number}", "domain": f"new{number}.example", "campaigns": [campaign]}
    return {"advertisers": [owner]}


def page(number: int) -> bytes:
    """One that the round's line item asks for."""
    slot = {"id": "slot1", "zone_id": "z1", "sizes": [[300, 250]], "formats": ["banner"]}
    placement = {**slot, "floor_cpm": 0.01, "kv": {"round": str(number)}}
    return orjson.dumps(
        {
            "id": f"new-{number}",
            "publisher_id": "pub-1",
            "placements": [placement],
            "page": {"url": "https://beacondaily.example/"},
            "device": {"type": "desktop", "geo": {"country": "DEU"}},
            "deadline_ms": 500,
        }
    )


async def arrivals(url: str, database: str, rounds: int, pause_s: float) -> Seen:
    """New ads, one round after the other."""
    engine, seen = schema.connect(database), Seen()
    for number in range(rounds):
        ids = await asyncio.to_thread(additions.add, engine, document(number))
        began = time.monotonic()
        first, everywhere = await _shown(url, page(number), set(ids["ad"]), began + GIVE_UP_S)
        seen.first_s.append(first - began)
        seen.all_s.append(everywhere - began)
        await asyncio.sleep(pause_s)
    engine.dispose()
    return seen


async def _shown(url: str, body: bytes, ads: set[int], until: float) -> tuple[float, float]:
    """When one of the ads was first on a page, and from when on no page was without."""
    first, since, in_a_row = np.inf, np.inf, 0
    connections = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connections) as session:
        while in_a_row < SURE and time.monotonic() < until:
            asked = time.monotonic()
            async with session.post(f"{url}/v1/decision", data=body) as answer:
                sold = orjson.loads(await answer.read())["decisions"]
            if any(int(ad["ad_id"]) in ads for part in sold.values() for ad in part):
                first, since, in_a_row = min(first, asked), min(since, asked), in_a_row + 1
            else:
                since, in_a_row = np.inf, 0
            await asyncio.sleep(0.02)
    return first, since


async def under_load(
    server: str, database: str, flags: argparse.Namespace, load: list[Shot]
) -> tuple[Seen, Tally, float]:
    """What was seen, all answers to the load, and when the first new ads came."""
    plan = Plan(flags.rate, 1e4, WARM_UP_S)
    recorder = recorder_of(target_of(server), plan)
    asking = asyncio.create_task(sent(recorder, load, plan))
    await asyncio.sleep(WARM_UP_S + flags.still)
    began = time.monotonic()
    seen = await arrivals(server, database, flags.rounds, flags.pause)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return seen, recorder.tally, began


def figures(seen: Seen, tally: Tally, began: float) -> Iterator[dict[str, Any]]:
    for what, some in (("a worker", seen.first_s), ("every worker", seen.all_s)):
        yield {
            "figure": f"seconds until new ads are shown by {what}",
            "value": round(float(np.median(some)), 2),
            "worst": round(max(some), 2),
            "rounds": len(some),
        }
    ads = np.array(tally.route) <= AUCTION
    due, ms = np.array(tally.due_s)[ads], np.array(tally.latency_s)[ads] * 1000
    p99 = p99_by_second(due, ms)
    parts = {
        "before new ads came": [ms for second, ms in p99.items() if second < int(began)],
        "while new ads came": [ms for second, ms in p99.items() if second >= int(began)],
    }
    for when, some in parts.items():
        yield {
            "figure": f"p99 of the seconds {when}",
            "value": round(float(np.median(some)), 1),
            "unit": "ms",
            "worst": round(max(some), 1),
            "above_50_ms": sum(one > ABOVE_MS for one in some),
            "seconds": len(some),
        }
    failed = sum(status >= SERVER_ERRORS for status in tally.status) + tally.failures.total()
    yield {"figure": "failed requests", "value": failed, "of": len(tally)}


def bench(ads: int, flags: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """All figures of one size."""
    settings = {"EXPLORATION": "0", "DRIFT_EVERY_S": "0", "SELECTOR": flags.selector}
    settings["FAIRNESS_CAP"] = "1"  # or new ads that win every page they want are soon held back
    wanted = Wanted(ads, flags.scorer, flags.workers, folder / "data", settings)
    load = list(shots(1, DISTINCT, "127.0.0.1"))
    gc.freeze()
    (folder / "data").mkdir()
    with serving(wanted, folder / "server.log") as server:
        database = f"sqlite:///{folder}/data/catalogue.db"
        yield from figures(*uvloop.run(under_load(server.url, database, flags, load)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scorer", choices=("local", "triton"), default="local")
    parser.add_argument("--selector", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=300.0, help="ad requests per second")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between rounds")
    parser.add_argument("--still", type=float, default=20.0, help="seconds before the first")
    parser.add_argument("--quick", action="store_true", help="few ads, low rate, two rounds")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.rate, flags.rounds, flags.still = [2_000], 50.0, 2, 3.0
    for ads in flags.ads:
        with tempfile.TemporaryDirectory(prefix="newads-") as folder:
            for line in bench(ads, flags, Path(folder)):
                about = {"bench": "newads", "ads": ads, "scorer": flags.scorer}
                about |= {"selector": flags.selector, "workers": flags.workers}
                sys.stdout.buffer.write(orjson.dumps({**about, "per_s": flags.rate, **line}))
                sys.stdout.buffer.write(b"\n")
                sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
