"""Labels from a feature log: rows a second, memory, and what the naive ones miss; JSON lines.

    python -m bench.labels

One size per process of its own. A day of decisions of two slots; every sold slot is rendered a
second later, one in twenty is clicked, after five minutes in the mean. `compact` moves the events
into the warehouse, `labels` joins. `bias` takes the newest twenty minutes of the same day, whose
clicks are still to come: clicks per impression over the true rate, less one, as naive labels have
it and as the stream with fake-negative weighting has it, with what the theory says of the first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pyarrow import ipc

from adserver.features.rows import SCHEMA, WIDTHS, Rows, joined
from adserver.records import DAY_MS, ClickRecord, Filter, ImpressionRecord, encode_line
from feedback.compaction import compact
from feedback.labels.build import labels
from feedback.labels.delayed import missing_share, stream_interval, stream_rate
from feedback.labels.settings import Form, LabelSettings, Window

MIDNIGHT_MS = 1_793_491_200_000
RATE, DELAY_S, SLOTS = 0.05, 300.0, 2
NEWEST_S = 1_200
USUAL = LabelSettings(person_clicks=1_000_000, suspect_clicks=1_000_000)
"""The people here are drawn evenly, so that some of a few are suspects by chance."""


def rows_of(rng: np.random.Generator, count: int) -> Rows:
    """`count` sold slots of a day, by time."""
    decisions = count // SLOTS
    t = MIDNIGHT_MS + np.sort(rng.integers(0, DAY_MS, decisions))
    width = {name: WIDTHS[name] for name in ("request", "ads", "slot_ids")}
    request, ads, slots = (
        rng.integers(0, 4_000, (decisions if name == "request" else count, one), np.int32)
        for name, one in width.items()
    )
    ads = ads[rng.integers(0, min(count, 5_000), count)]
    return Rows(
        decision=np.repeat(np.arange(1, decisions + 1, dtype=np.uint64), SLOTS),
        slot=np.tile(np.arange(SLOTS, dtype=np.int16), decisions),
        t=np.repeat(t, SLOTS),
        ad=rng.integers(1, 5_000, count),
        request=np.repeat(request, SLOTS, axis=0),
        ads=ads,
        slot_ids=slots,
        counts=rng.random((count, WIDTHS["counts"]), np.float32),
        logit=np.full(count, -3, np.float32),
        pctr=np.full(count, RATE, np.float32),
        model=np.ones(count, np.int32),
        arm=[""] * count,
        quality=np.zeros(count, np.int8),
        snapshot=np.ones(count, np.int64),
        propensity=np.ones(count, np.float32),
        explored=np.zeros(count, np.bool_),
    )


def write(folder: Path, rows: Rows, rng: np.random.Generator) -> int:
    """The feature log and the event log of these rows; events written."""
    (folder / "features").mkdir(parents=True)
    with ipc.new_stream(folder / "features" / f"w0-{MIDNIGHT_MS}.arrows", SCHEMA) as stream:
        stream.write_batch(joined([rows]))
    clicked = rng.random(len(rows)) < RATE
    delay_ms = 300 + (rng.exponential(DELAY_S, len(rows)) * 1000).astype(np.int64)
    events = 0
    (folder / "events").mkdir()
    with (folder / "events" / f"w0-{MIDNIGHT_MS}.log").open("wb") as file:
        columns = (rows.decision, rows.slot, rows.t, clicked, delay_ms)
        for decision, slot, t, click, delay in zip(*(c.tolist() for c in columns), strict=True):
            about = {"code": Filter.OK, "decision": f"{decision:016x}", "slot": slot, "decided": t}
            file.write(encode_line(ImpressionRecord(t=t + 1_000, **about)))
            events += 1
            if click:
                file.write(encode_line(ClickRecord(t=t + 1_000 + delay, **about)))
                events += 1
    return events


def figures(count: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory(prefix="labels-") as place:
        folder = Path(place)
        events = write(folder, rows_of(rng, count), rng)
        begin = time.perf_counter()
        compact(folder / "events", folder / "warehouse")
        seconds = time.perf_counter() - begin
        yield {"figure": "compact", "value": round(events / seconds), "unit": "events/s"}
        before = _memory_mb()
        begin = time.perf_counter()
        day = Window(MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, MIDNIGHT_MS + DAY_MS)
        _, found = labels(folder / "warehouse", folder / "features", day, USUAL)
        seconds = time.perf_counter() - begin
        yield {
            "figure": "labels", "value": round(count / seconds), "unit": "rows/s",
            "seconds": round(seconds, 2), "kept": found.kept,
            "memory_mb_before": before, "most_memory_mb": _memory_mb(),
        }  # fmt: skip
        yield bias(folder)


def bias(folder: Path) -> dict[str, Any]:
    end = MIDNIGHT_MS + DAY_MS
    newest = Window(end - NEWEST_S * 1000, end, now_ms=end)
    rates, low_high = {}, (0.0, 0.0)
    for form in (Form.NAIVE, Form.STREAM):
        chosen = LabelSettings(
            form=form, click_window_s=3600, person_clicks=1_000_000, suspect_clicks=1_000_000
        )
        found, _ = labels(folder / "warehouse", folder / "features", newest, chosen)
        click = found.impressions.click
        rates[form] = float(click.mean()) if form is Form.NAIVE else stream_rate(click)
        if form is Form.STREAM:
            low_high = stream_interval(click)
    return {
        "figure": "bias",
        "value": round(rates[Form.STREAM] / RATE - 1, 4),
        "unit": "share of the rate",
        "interval": [round(one / RATE - 1, 4) for one in low_high],
        "naive": round(rates[Form.NAIVE] / RATE - 1, 4),
        "naive_by_theory": round(-missing_share(NEWEST_S, DELAY_S), 4),
    }


def _memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def tell(count: int) -> None:
    for line in figures(count):
        sys.stdout.buffer.write(orjson.dumps({"bench": "labels", **line, "rows": count}) + b"\n")
        sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--quick", action="store_true", help="one small size")
    flags = parser.parse_args()
    if flags.quick:
        flags.rows = [20_000]
    for count in flags.rows:
        one = multiprocessing.get_context("spawn").Process(target=tell, args=(count,))
        one.start()
        one.join()
        if one.exitcode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
