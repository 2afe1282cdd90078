"""Time what frequency caps and page views cost a request; one JSON line per figure.

    python -m bench.frequency

Batches of 32 requests, each of another person with 200 candidates and 3 slots, on a catalogue in
which every campaign, line item and advertiser has caps; histories of 0, 20 and 200 showings that
count, each of which fills the cap of its line item. `look` reads the store, `gate` judges the
candidates, `reserve` writes the sales, `witness` counts one impression,
`sweep` looks whether a history has died. Wall time of one thread, with nobody else at the store.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from adserver.history import PERSON, Histories, Sales, key
from adserver.request import AdRequest
from adserver.seen import HistorySettings, Shelf
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from adserver.state.store import StateStore, Values
from adserver.tokens import Token
from auction import frequency
from auction.caps import Cap, Caps, Entity, On
from auction.frequency import Ads

ADS = 100_000
BATCH, CANDIDATES, SLOTS = 32, 200, 3
PEOPLE = 2_048
ROUNDS = 40
NOW = 1_764_000_000_000
STAGES = ("look", "gate", "reserve")


def shelf() -> Shelf:
    """Four ads to a line item, three line items to a campaign, three campaigns to an advertiser."""
    number = np.arange(ADS)
    ads = Ads(
        ad=number.astype(np.int64) + 1,
        line_item=(number // 4).astype(np.int32),
        line_item_id=np.arange(1, ADS // 4 + 1, dtype=np.int64),
        campaign=(number // 12 + 1).astype(np.int32),
        advertiser=(number // 36 + 1).astype(np.int32),
        creative=(number + 1).astype(np.int32),
        labels=np.zeros(0, np.uint64),
    )
    daily, hourly = Cap(100, 86_400), Cap(100, 3600)
    caps = {(Entity.LINE_ITEM, i): [Cap(1, 3600)] for i in range(1, ADS // 4 + 1)}
    caps |= {(Entity.CAMPAIGN, i): [daily, hourly] for i in range(1, ADS // 12 + 2)}
    caps |= {(Entity.ADVERTISER, i): [daily] for i in range(1, ADS // 36 + 2)}
    return Shelf(ads, Caps.of(caps))


@contextmanager
def opened(kind: str) -> Iterator[StateStore]:
    with tempfile.TemporaryDirectory() as folder:
        store = MemoryStore() if kind == "memory" else DiskStore(Path(folder), 4 << 30)
        yield store
        store.close()


def remember(histories: Histories, shelf: Shelf, rows: int, rng: np.random.Generator) -> None:
    """A history of `rows` showings for everybody, of the last hour."""
    requests = [ask(person) for person in range(PEOPLE)]
    identities = histories.identities.of(requests).person
    for identity in identities:
        sales = frequency.sightings(
            rng.integers(0, ADS, rows, dtype=np.int32), shelf.ads, shelf.caps, 0
        )
        sales["number"] = rng.integers(1, 1 << 40, rows)
        sales["impression_ms"] = NOW - rng.integers(1, 3_000_000, rows)
        put(histories.store, key(PERSON, identity), sales.tobytes())


def put(store: StateStore, name: bytes, value: bytes) -> None:
    def change(_: Values) -> tuple[Values, None]:
        return [value or None], None

    store.update([name], change)


def ask(person: int, page: int = 0) -> AdRequest:
    return AdRequest("r", (), user=f"user-{person}", page_view=f"view-{page}")


def measure(kind: str, rows: int, rounds: int) -> Iterator[dict[str, object]]:
    """Median microseconds per request of each step."""
    rng, stock = np.random.default_rng(7), shelf()
    with opened(kind) as store:
        histories = Histories(store, b"x" * 32, HistorySettings())
        remember(histories, stock, rows, rng)
        times: dict[str, list[float]] = {stage: [] for stage in STAGES}
        for number in range(rounds + 3):
            for stage, seconds in one_batch(histories, stock, number, rng).items():
                times[stage] += [seconds] if number >= 3 else []
        for stage, spent in times.items():
            yield line(kind, rows, stage, float(np.median(spent)) / BATCH * 1e6)
        total = sum(np.median(spent) for spent in times.values())
        yield line(kind, rows, "look + gate + reserve", float(total) / BATCH * 1e6)
        yield line(kind, rows, "witness", witness_us(histories, stock, rng))
        yield line(kind, rows, "sweep", sweep_us(histories, stock))


def one_batch(
    histories: Histories, stock: Shelf, number: int, rng: np.random.Generator
) -> dict[str, float]:
    """Seconds of each stage; every batch asks other people on pages of their own."""
    people = (number * BATCH + np.arange(BATCH)) % PEOPLE
    requests = [ask(person, number * BATCH + n) for n, person in enumerate(people.tolist())]
    offset = np.arange(BATCH + 1, dtype=np.int32) * CANDIDATES
    row = rng.integers(0, ADS, BATCH * CANDIDATES, dtype=np.int32)
    sales = Sales(
        np.repeat(np.arange(BATCH, dtype=np.int32), SLOTS),
        rng.integers(0, ADS, BATCH * SLOTS, dtype=np.int32),
        rng.integers(1, 1 << 40, BATCH * SLOTS).astype(np.uint64),
    )
    marks = [time.perf_counter()]
    seen = histories.look(requests, stock, NOW)
    marks.append(time.perf_counter())
    seen.gate(offset, row)
    marks.append(time.perf_counter())
    histories.reserve(seen, sales, NOW)
    marks.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(marks).tolist(), strict=True))


def witness_us(histories: Histories, stock: Shelf, rng: np.random.Generator) -> float:
    """Of one impression: a reading and a writing of its own."""
    seen = histories.look([ask(person) for person in range(BATCH)], stock, NOW)
    token = Token("d", 0, 1, 1, "c", 1, 1, "p", NOW, 1, 1, 1)
    spent = []
    for number in range(1, 400):
        identity = histories.identity(seen, number % BATCH, number)
        ad = int(rng.integers(1, ADS))
        sale = replace(token, number=number, ad=ad, campaign=ad // 12 + 1, identity=identity)
        begin = time.perf_counter()
        histories.witness(sale, On.IMPRESSION, stock.caps, NOW)
        spent.append(time.perf_counter() - begin)
    return float(np.median(spent)) * 1e6


def sweep_us(histories: Histories, stock: Shelf) -> float:
    """Of one history that lives, as nearly all do."""
    alive = len(histories.store.scan(PERSON, most=10 * PEOPLE))
    begin, after = time.perf_counter(), histories.sweep(PERSON, b"", stock.caps, NOW)
    while after:
        after = histories.sweep(PERSON, after, stock.caps, NOW)
    return (time.perf_counter() - begin) / max(1, alive) * 1e6


def line(kind: str, rows: int, step: str, micros: float) -> dict[str, object]:
    per = {"witness": "us_per_event", "sweep": "us_per_history"}.get(step, "us_per_request")
    return {
        "bench": "frequency",
        "store": kind,
        "history": rows,
        "step": step,
        "batch": BATCH,
        "candidates": CANDIDATES,
        "slots": SLOTS,
        per: round(micros, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--history", type=int, nargs="+", default=[0, 20, 200])
    parser.add_argument("--quick", action="store_true", help="one size and few rounds")
    arguments = parser.parse_args()
    sizes = arguments.history[:1] if arguments.quick else arguments.history
    for kind in ("memory", "lmdb"):
        for rows in sizes:
            for figure in measure(kind, rows, 5 if arguments.quick else ROUNDS):
                print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
