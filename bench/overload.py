"""What a server does with more requests than it can decide; one JSON line per figure.

    python -m bench.overload --rates 100 200 400 800
    python -m bench.overload --rates 500 --own-cores off on --repeats 3

Poisson arrivals at each rate, latency from the intended moment, every ad seen and clicked as often
as the model expects, so that events take their share. A decision is worth something if it comes in
time: `value` counts those per second, and what else was answered is beside it, both of the four in
five requests whose dialect tells how they were decided. Load and server share the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import uvloop

from adserver.decline import NOTHING
from loadtest.answers import UNKNOWN
from loadtest.open_loop import Plan, recorder_of, sent
from loadtest.serving import Server, Wanted, serving
from loadtest.tally import SERVER_ERRORS, Tally, p99_by_second
from loadtest.target import target_of
from loadtest.traffic import AUCTION, Shot, shots

DISTINCT: Final = 20_000
IN_TIME_MS: Final = 50.0
WARM_UP_S: Final = 6.0


async def loaded(url: str, load: list[Shot], plan: Plan) -> Tally:
    """All answers to this much load."""
    recorder = recorder_of(target_of(url), plan)
    await sent(recorder, load, plan)
    return recorder.tally


def figure(tally: Tally, rate: float, seconds: float) -> dict[str, Any]:
    ads, events = np.array(tally.quality) != UNKNOWN, np.array(tally.route) > AUCTION
    ms, quality = np.array(tally.latency_s)[ads] * 1000, np.array(tally.quality)[ads]
    decided = quality < NOTHING
    p99 = list(p99_by_second(np.array(tally.due_s)[ads], ms).values())
    return {
        "figure": "decisions in time",
        "value": round(float((decided & (ms <= IN_TIME_MS)).sum() / seconds), 1),
        "unit": "1/s",
        "offered_per_s": rate,
        "told_per_s": round(float(ads.sum() / seconds), 1),
        "events_per_s": round(float(events.sum() / seconds), 1),
        "late_share": round(float((decided & (ms > IN_TIME_MS)).mean()), 4),
        "declined_share": round(float((quality == NOTHING).mean()), 4),
        "full_share": round(float((quality == 0).mean()), 4),
        **{f"p{q}_ms": round(float(np.quantile(ms, q / 100)), 1) for q in (50, 90, 99)},
        "p99_of_the_median_second_ms": round(float(np.median(p99)), 1),
        "seconds_above_50_ms": sum(one > IN_TIME_MS for one in p99),
        "seconds": len(p99),
        "failed": sum(one >= SERVER_ERRORS for one in tally.status) + tally.failures.total(),
    }


def bench(server: Server, flags: argparse.Namespace, about: dict[str, Any]) -> None:
    load = list(shots(1, DISTINCT, target_of(server.url).host))
    for rate in flags.rates:
        plan = Plan(rate, flags.seconds, WARM_UP_S, events=True)
        before = sum(seconds for _, seconds in server.cpu_s().values())
        tally = uvloop.run(loaded(server.url, load, plan))
        spent = sum(seconds for _, seconds in server.cpu_s().values()) - before
        cores = {"server_cores": round(spent / (flags.seconds + WARM_UP_S), 2)}
        line = figure(tally, rate, flags.seconds) | about | cores
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 200.0, 400.0, 800.0])
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--own-cores", nargs="+", choices=("on", "off"), default=["on"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=1, help="a server of its own for each")
    parser.add_argument("--quick", action="store_true", help="few ads, two rates, short")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.rates, flags.seconds = 2_000, [50.0, 400.0], 4.0
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        for own_cores in flags.own_cores * flags.repeats:
            about = {"workers": flags.workers, "ads": flags.ads, "own_cores": own_cores}
            wanted = Wanted(
                *(flags.ads, "local", flags.workers, Path(folder) / "data"),
                {"DRIFT_EVERY_S": "0", "RELEASE_PROMOTION": "off", "OWN_CORES": own_cores},
            )
            with serving(wanted, Path(folder) / "server.log") as server:
                bench(server, flags, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
