"""Refit a released model's calibration map; one JSON line per size.

    python -m bench.calibration

What `adserver calibrate` does beyond reading its table and registering: score the rows by the
serving path, fit the map to three quarters of the requests, judge it on the rest with intervals,
write the version. Rows are of the simulated market that the committed model was trained on, from
another seed; the map that it is released with stands for the one before.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from adserver.training import simulated
from ranking.dataset import Impressions
from ranking.gate import GateSettings
from ranking.refit import refit

MODEL = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
OPEN = GateSettings(0.05, 0.9, 0.05, 0.05, ece=1.0, ece_share=1.0, calibrated_copc=1.0)
"""The time is the same whether or not a limit refuses."""


def figure(table: Impressions, rows: int) -> dict[str, Any]:
    part = table.part(0, int(table.of[min(rows, len(table)) - 1]) + 1)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        manifest = refit(MODEL, part, Path(folder) / "2", 2, OPEN)
        seconds = time.perf_counter() - begin
    before = {one["name"]: one["value"] for one in manifest["gate"]["checks"]}
    data, after = manifest["gate"]["data"], manifest["metrics"]["int8"]
    return {
        "figure": "refit",
        "value": round(seconds, 2),
        "unit": "s",
        "rows": len(part),
        "clicks_judged": data["clicks"],
        "copc_before": round(before["COPC before"], 4),
        "copc": round(after["copc"], 4),
        "ece": round(after["ece"], 6),
        "ece_by_chance": round(data["ece_by_chance"], 6),
        "logloss_change": round(before["logloss rise"], 6),
        "most_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="one small size")
    flags = parser.parse_args()
    if flags.quick:
        flags.rows, flags.ads = [20_000], 2_000
    table = simulated(flags.ads, int(max(flags.rows) / 1.6), seed=11)
    figure(table, min(flags.rows))  # compiles
    for rows in flags.rows:
        line = {"bench": "calibration", **figure(table, rows)}
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
