"""Whole days of paced campaigns: the real auction, books, leases and pacing, on a compressed clock.

    python -m bench.pacing_day --hour-s 360 --campaigns 10

Each campaign has its own Poisson traffic (flat, double-peaked or spiky), which is what its budget
was planned for times 0.5, 1 or 2, and could spend 2, 4 or 8 times its budget. Half of them pay per
impression, of which a tenth is never shown; half per click, some of which come late. Requests go
to the workers at random; the one that leads dies at noon in `killed`, with what it had promised.
A clock second is 3600 / hour-s seconds of the day; pacing still ticks once a clock second, so that
it reacts so many times slower, and a burst of two minutes is over in a dozen ticks.

JSON lines. Deviation is |billed in the hour - planned for the hour| / planned for the hour:
`deviation_worst` is that of any hour of any campaign, `deviation_median` that of the worst hour of
the median campaign. `sold_deviation_…` takes the expected charge for what was sold instead, without
the chance of who clicks. By that chance alone an hour strays by about 1 / sqrt(events_per_hour).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.paced.day import Day
from bench.paced.scene import Scene


def figures(scene: Scene) -> Iterator[dict[str, Any]]:
    """What became of the day, per pricing."""
    outcome = Day(scene).run()
    billed, sold = outcome.deviation(outcome.hourly), outcome.deviation(outcome.sold)
    for name, kind in (("cpm", ~outcome.per_click), ("cpc", outcome.per_click)):
        over = outcome.spent[kind] - scene.budget_micros
        yield {
            "bench": "pacing_day",
            "figure": "delivery",
            "shape": scene.shape,
            "workers": scene.workers,
            "killed": scene.killed,
            "pricing": name,
            "seed": scene.seed,
            "hour_s": scene.hour_s,
            "campaigns": int(kind.sum()),
            "delivered_least": round(float(outcome.delivered[kind].min()), 4),
            "delivered_most": round(float(outcome.delivered[kind].max()), 4),
            "overspend_micros": int(max(0, over.max())),
            "deviation_worst": _worst(billed[:, kind]),
            "deviation_median": _median(billed[:, kind]),
            "sold_deviation_worst": _worst(sold[:, kind]),
            "sold_deviation_median": _median(sold[:, kind]),
            "events_per_hour": round(float(outcome.events[kind].mean()) / 24),
            "faults": len(outcome.faults),
        }


def _worst(deviation: NDArray[np.float64]) -> float:
    return round(float(deviation.max()), 3)


def _median(deviation: NDArray[np.float64]) -> float:
    return round(float(np.median(deviation.max(axis=0))), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--hour-s", type=int, default=360, help="clock seconds of an hour")
    parser.add_argument("--campaigns", type=int, default=10, help="per forecast and pricing")
    parser.add_argument("--click-ppm", type=int, default=50_000, help="impressions clicked on")
    parser.add_argument("--budget", type=int, default=15_000_000, help="micros of a campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="short hours, one campaign of a kind")
    flags = parser.parse_args()
    if flags.quick:
        flags.hour_s, flags.campaigns = 60, 1
    size = {
        "hour_s": flags.hour_s,
        "campaigns": flags.campaigns,
        "budget_micros": flags.budget,
        "click_ppm": flags.click_ppm,
        "seed": flags.seed,
    }
    for shape in ("flat", "double", "spiky", "unlearnt"):
        for workers, killed in ((1, False), (4, False), (4, True)):
            for line in figures(Scene(shape, workers, killed, **size)):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
