"""What the model's counts, histories and log cost; one JSON line per size and part.

    python -m bench.features

Sizes are ads that have counts and people of whom something is known, in the store that workers
share. `look`: what is known of the people of a batch of 32, per request; `head`: counts and the
float head for 200 candidates in two slots, per request; `event`: one impression noted; `exchange`:
what is due twice a second after a thousand events, per event; `log`: a sold slot put and written.
Rows of the log are those of the simulated market, in batches of a second's hundred. Medians.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from adserver.features.counters import Counters
from adserver.features.log import FeatureLog, FeatureLogSettings
from adserver.features.profiles import Profiles
from adserver.features.rows import Rows
from adserver.identity import is_page
from adserver.state.disk import DiskStore
from adserver.training import simulated
from ranking.bundle import Bundle
from ranking.counting.board import AdKeys, Counted, Places
from ranking.dataset import Impressions
from ranking.features import TOPICS

MODEL = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
BATCH, CANDIDATES, SLOTS = 32, 200, 2
EVENTS, AT_ONCE = 1_000, 100
NOW = 1_764_000_000_000


def people(count: int) -> list[int]:
    found = np.random.default_rng(1).integers(1, 1 << 62, 2 * count).tolist()
    return [one for one in found if not is_page(one)][:count]


class Served:
    """Counts and histories of `size` ads and people."""

    def __init__(self, store: DiskStore, size: int) -> None:
        self.counters, self.profiles = Counters(store), Profiles(store)
        self.people, self.rng, self.size = people(size), np.random.default_rng(2), size
        self.now = NOW
        for ad in range(1, size + 1):
            self.counters.witness(ad, ad // 20, ad % 64, False)
            if ad % 20_000 == 0:
                self.counters.flush(self.now)
        for person in self.people:
            for topic in (1, 2, 3):
                self.profiles.witness(person, topic, False, self.now)
            self.profiles.flush()
        self.counters.tend(self.now)
        self.keys = AdKeys(
            np.arange(1, size + 1),
            (np.arange(1, size + 1) // 20).astype(np.int32),
            (np.arange(size) % (TOPICS - 1) + 1).astype(np.int16),
        )
        self.head = Bundle.load(MODEL).count

    def look(self) -> None:
        rows = self.rng.integers(0, len(self.people), BATCH).tolist()
        self.profiles.look([self.people[row] for row in rows], self.now)

    def score(self) -> None:
        rows = self.rng.integers(0, self.size, BATCH * CANDIDATES, np.int32)
        topic = self.profiles.look(self.people[:BATCH], self.now).topic
        places = Places(
            np.full((BATCH, SLOTS), 7, np.uint64), np.full(BATCH, SLOTS, np.int32), topic
        )
        offset = (np.arange(BATCH + 1) * CANDIDATES).astype(np.int32)
        counted = Counted(offset, rows, places, self.keys, self.counters.board)
        logit = np.zeros(len(rows), np.float32)
        counted.with_head(logit, np.zeros((BATCH, SLOTS), np.float32), self.head)

    def note(self) -> None:
        for ad in self.rng.integers(1, self.size + 1, EVENTS).tolist():
            self.counters.witness(ad, ad // 20, ad % 64, False)
            self.profiles.witness(self.people[ad % len(self.people)], 1, False, self.now)

    def exchange(self) -> None:
        self.now += 500
        self.counters.tend(self.now)
        self.profiles.flush()


def median_us(work: Callable[[], None], rounds: int) -> float:
    return float(np.median([once_us(work) for _ in range(rounds + 2)][2:]))


def once_us(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e6


def shared(size: int, rounds: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="features-") as folder:
        store = DiskStore(Path(folder), 4 << 30)
        served = Served(store, size)
        look = median_us(served.look, rounds) / BATCH
        yield {"figure": "look", "value": look, "unit": "us/request"}
        head = median_us(served.score, rounds) / BATCH
        yield {"figure": "head", "value": max(0.0, head - look), "unit": "us/request"}
        noted, exchanged = [], []
        for _ in range(max(3, rounds // 10)):
            noted.append(once_us(served.note) / EVENTS)
            exchanged.append(once_us(served.exchange))
        yield {"figure": "event", "value": float(np.median(noted)), "unit": "us/event"}
        yield {
            "figure": "exchange", "value": float(np.median(exchanged)) / 1000, "unit": "ms/tick"
        }  # fmt: skip
        store.close()


def logged(table: Impressions, rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="features-") as folder:
        settings = FeatureLogSettings(queue=1 << 30, linger_s=3600.0)
        log = FeatureLog(Path(folder), 0, lambda: NOW / 1000, settings)
        begin = time.perf_counter()
        for at in range(0, rows, AT_ONCE):
            log.put(_rows(table, np.arange(at, min(at + AT_ONCE, rows))))
            log.flush()
        seconds = time.perf_counter() - begin
        log.close()
        size = sum(one.stat().st_size for one in Path(folder).iterdir())
        return {
            "figure": "log", "value": seconds / rows * 1e6, "unit": "us/row",
            "bytes_per_row": round(size / rows, 1), "written": log.written,
        }  # fmt: skip


def _rows(table: Impressions, at: NDArray[np.int64]) -> Rows:
    n = len(at)
    return Rows(
        decision=np.random.default_rng(int(at[0])).integers(1, 1 << 62, n).astype(np.uint64),
        slot=np.zeros(n, np.int16),
        t=NOW + at,
        ad=table.ad[at].astype(np.int64),
        request=table.request[table.of[at]],
        ads=table.catalogue[table.ad[at]],
        slot_ids=table.slot[at],
        counts=np.random.default_rng(int(at[0])).random(table.counts[at].shape, np.float32),
        logit=np.random.default_rng(int(at[0])).normal(-4, 1, n).astype(np.float32),
        pctr=np.random.default_rng(int(at[0])).random(n, np.float32),
        model=np.ones(n, np.int32),
        arm=["production"] * n,
        quality=np.zeros(n, np.int8),
        snapshot=np.ones(n, np.int64),
        propensity=np.ones(n, np.float32),
        explored=np.zeros(n, np.bool_),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 20_000, 200_000])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="one small size")
    flags = parser.parse_args()
    if flags.quick:
        flags.sizes, flags.rows, flags.rounds = [1_000], [5_000], 30
    for size in flags.sizes:
        for line in shared(size, flags.rounds):
            tell({**line, "value": round(line["value"], 3), "ads": size, "people": size})
    table = simulated(2_000, max(flags.rows), seed=3)
    for rows in flags.rows:
        line = logged(table, rows)
        tell({**line, "value": round(line["value"], 2), "rows": rows})
    return 0


def tell(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps({"bench": "features", **line}) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
