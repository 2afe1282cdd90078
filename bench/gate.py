"""Time of the release gate by its parts; one JSON line per size and part.

    python -m bench.gate

The committed model against itself as INT8 and in float, on simulated impressions: `score` both by
the serving path, `compare` with a thousand resamples, `pages` made of the impressions, `replay`
sells them twice. A gate of an export is their sum; so is that of a candidate against an incumbent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from adserver.training import simulated
from feedback.gate_pages import PageSettings, pages_of
from feedback.gate_replay import replay_of
from ranking import judge
from ranking.bundle import Bundle
from ranking.dataset import Impressions

MODEL = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
PAGES = 10
"""Impressions per replayed page."""


def figures(bundle: Bundle, table: Impressions, rows: int) -> Iterator[dict[str, Any]]:
    part = table.part(0, int(table.of[min(rows, len(table)) - 1]) + 1)
    score, seconds = judge.served(bundle), {}
    begin = time.perf_counter()
    logit = score(part), score(part)
    seconds["score"] = time.perf_counter() - begin
    begin = time.perf_counter()
    judge.compared(part, logit, (bundle.calibration, bundle.calibration))
    seconds["compare"] = time.perf_counter() - begin
    begin = time.perf_counter()
    pages = pages_of(part, PageSettings(pages=max(100, rows // PAGES)))
    seconds["pages"] = time.perf_counter() - begin
    begin = time.perf_counter()
    rate = judge.rate(score, bundle.calibration)
    replayed = replay_of(pages)(rate, rate)
    seconds["replay"] = time.perf_counter() - begin
    about = {"rows": len(part), "pages": len(pages), "slots": replayed.slots}
    for name, value in {**seconds, "whole gate": sum(seconds.values())}.items():
        yield {"figure": name, "value": round(value, 3), "unit": "s", **about}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000, 500_000])
    parser.add_argument("--ads", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="one small size")
    flags = parser.parse_args()
    if flags.quick:
        flags.rows, flags.ads = [10_000], 2_000
    bundle = Bundle.load(MODEL)
    table = simulated(flags.ads, int(max(flags.rows) / 1.6), seed=11)
    list(figures(bundle, table, min(flags.rows)))  # compiles
    for rows in flags.rows:
        for line in figures(bundle, table, rows):
            sys.stdout.buffer.write(orjson.dumps({"bench": "gate", **line}) + b"\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
