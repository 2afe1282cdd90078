"""Decisions per second of a simulated market through the real worker; one JSON line per size.

    python -m bench.driving

One process: batches decided by the pipeline, every event through the turnstile and on disk, what
the server does in the background, the truth, and the oracle on one visit in 25. Simulated time
costs nothing, so the rate is what the work in it costs. The first simulated hour is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import structlog

from adserver.driving import place
from adserver.driving.drive import DriveSettings
from adserver.settings import Settings
from simulator.market.market import Market
from simulator.market.settings import MarketSettings

FIRST_HOUR = 9
CANDIDATES = 100


def figure(ads: int, decisions: int, folder: Path) -> dict[str, Any]:
    """One market, a little more than `decisions` visits of its first day."""
    market = Market(MarketSettings(ads=ads, visits_per_day=20 * decisions // 4, days=1))
    settings = place.settings_for(folder, Settings(candidates=CANDIDATES))
    place.prepare(market, settings)
    return {"ads": ads, "candidates": CANDIDATES, **asyncio.run(_played(market, settings))}


async def _played(market: Market, settings: Settings) -> dict[str, Any]:
    start_s = market.midnight_s(0) + 3600 * FIRST_HOUR
    drive = await place.opened(market, settings, start_s, DriveSettings())
    warm = (await drive.play(0, [FIRST_HOUR])).day(0).requests
    begin, cpu = time.perf_counter(), time.process_time()
    await drive.play(0, range(FIRST_HOUR + 1, FIRST_HOUR + 5))
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    sums = drive.tally.day(0)
    await place.closed(drive)
    return {
        "figure": "decisions",
        "value": round((sums.requests - warm) / seconds, 1),
        "unit": "decisions/s",
        "cpu_us_per_decision": round(1e6 * cpu / (sums.requests - warm), 1),
        "decisions": sums.requests - warm,
        "events": sums.events,
        "minutes_per_million": round(1e6 * seconds / (sums.requests - warm) / 60, 2),
        "compared_with_the_oracle": sums.asked_oracle,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[2_000, 5_000, 20_000])
    parser.add_argument("--decisions", type=int, default=30_000)
    parser.add_argument("--quick", action="store_true", help="few decisions on one small market")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.decisions = [1_000], 4_000
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for ads in flags.ads:
        with tempfile.TemporaryDirectory(prefix="driving-") as folder:
            line = {"bench": "driving", **figure(ads, flags.decisions, Path(folder))}
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
