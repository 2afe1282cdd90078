"""What scoring costs: JSON lines, one measurement each.

`python bench/scoring.py [--ads N]` on the committed model. INT8 and float take turns within one
run; figures are medians of the thread's own time, so that a busy machine hardly shows.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ranking.bundle import Bundle
from ranking.features import (
    AD_FIELDS,
    RequestFields,
    encode_requests,
    encode_slot,
    first_rows,
    width,
)
from ranking.int8 import FloatScorer, LocalScorer
from ranking.logistic import LogisticScorer
from ranking.scorer import Pairs
from ranking.table import AdTable

MODEL = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
ROWS = (50, 200, 500, 2_000, 4_096)
CANDIDATES = 200
TURNS = 200


def _request(number: int) -> RequestFields:
    return RequestFields(
        country="USA",
        region="US-CA",
        device="phone",
        os="ios",
        browser="safari",
        language="en",
        domain=f"site{number}.example",
        publisher=f"pub-{number}",
        user=f"u{number}",
        hour=number % 24,
        weekday=number % 7,
        categories=("IAB17-3", "IAB2-1"),
        segments=("s1", "s2", "s3", "s4"),
        keywords=("football", "tickets"),
    )


def _some_ads(rng: np.random.Generator, count: int) -> NDArray[np.int32]:
    begin = first_rows(AD_FIELDS)
    columns = [
        begin[field.name] + rng.integers(0, field.rows, (count, field.width)) for field in AD_FIELDS
    ]
    found = np.concatenate(columns, axis=1).astype(np.int32)
    assert found.shape[1] == width(AD_FIELDS)
    return found


def _pairs(bundle: Bundle, rng: np.random.Generator, rows: int, ads: int) -> Pairs:
    """Requests of up to 200 candidates each."""
    offset = np.append(np.arange(0, rows, CANDIDATES), rows).astype(np.int32)
    ids = encode_requests([_request(n) for n in range(len(offset) - 1)])
    vector, bias = bundle.towers.request(ids)
    return Pairs(1, vector, bias, rng.integers(0, ads, rows).astype(np.int32), offset)


def _microseconds(*work: Callable[[], object]) -> list[float]:
    """Median time of each piece of work, all taking turns."""
    took: list[list[float]] = [[] for _ in work]
    for turn in range(TURNS + 10):
        for times, piece in zip(took, work, strict=True):
            start = time.thread_time()
            piece()
            if turn >= 10:
                times.append(time.thread_time() - start)
    return [median(times) * 1e6 for times in took]


def _print(**line: object) -> None:
    print(json.dumps(line), flush=True)


def _scorers(bundle: Bundle, table: AdTable, rng: np.random.Generator) -> None:
    int8, fp32 = LocalScorer(bundle), FloatScorer(bundle)
    int8.add(1, table)
    fp32.add(1, table)
    for rows in ROWS:
        pairs = _pairs(bundle, rng, rows, len(table))
        fast, slow = _microseconds(lambda p=pairs: int8.score(p), lambda p=pairs: fp32.score(p))  # type: ignore[misc] # a lambda with a default
        _print(
            bench="score",
            rows=rows,
            int8_us_per_candidate=round(fast / rows, 4),
            fp32_us_per_candidate=round(slow / rows, 4),
            speedup=round(slow / fast, 2),
        )


def _requests(bundle: Bundle, table: AdTable, rng: np.random.Generator) -> None:
    fields = [_request(n) for n in range(8)]
    ids = encode_requests(fields)
    slots = np.stack([encode_slot("z1", 300, 250, n % 3) for n in range(16)])
    pairs = _pairs(bundle, rng, 8 * CANDIDATES, len(table))
    logit, slot_bias = rng.normal(-4, 1, CANDIDATES).astype(np.float32), np.zeros(2, np.float32)
    logistic = LogisticScorer(bundle.logistic)
    names = ("encode", "towers", "slot_bias", "logistic", "calibrate")
    took = _microseconds(
        lambda: encode_requests(fields),
        lambda: bundle.towers.request(ids),
        lambda: bundle.towers.slot_bias(slots),
        lambda: logistic.score(ids, pairs, table),
        lambda: [bundle.calibration.ppm(logit[:, None] + slot_bias) for _ in range(8)],
    )
    for name, microseconds in zip(names, took, strict=True):
        _print(bench=name, requests=8, us_per_request=round(microseconds / 8, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the ads")
    given = parser.parse_args()
    ads = given.ads // 10 if given.quick else given.ads
    rng = np.random.default_rng(1)
    bundle = Bundle.load(MODEL)
    ids = _some_ads(rng, ads)
    AdTable.build(bundle, ids[:10])
    start = time.thread_time()
    table = AdTable.build(bundle, ids)
    built = time.thread_time() - start
    _print(bench="table", ads=ads, seconds=round(built, 2), machine=platform.machine())
    _scorers(bundle, table, rng)
    _requests(bundle, table, rng)


if __name__ == "__main__":
    main()
