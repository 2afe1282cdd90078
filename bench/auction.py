"""Time the whole auction on generated markets; one JSON line per figure.

    python -m bench.auction --candidates 50 200 2000

Batches of requests with log-normal bids, half of them per click, of 2 000 advertisers with
power-law sizes. With fairness on, the cap binds for the greatest, so each page is sold twice: as it
is, and as it would be without the cap. Times are CPU time of the one thread that sells.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np

from auction.columns import LEVELS, Bids, Level, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings

ADVERTISERS = 2_000
CAMPAIGNS = 5_000
BATCHES = 12
ROUNDS = 25
CAP = 0.02
"""Low enough to bind in this market, so that the figure includes all of fairness."""


@dataclass(frozen=True, slots=True)
class Shape:
    requests: int
    candidates: int
    slots: int


def market(rng: np.random.Generator, shape: Shape) -> tuple[Bids, Slots]:
    """One batch; each ad's advertiser is drawn with weight 1 / rank."""
    rows, places = shape.requests * shape.candidates, shape.requests * shape.slots
    weight = 1 / np.arange(1, ADVERTISERS)
    per_click = rng.random(rows) < 0.5
    account = np.full((rows, LEVELS), -1, np.int32)
    account[:, Level.CAMPAIGN] = rng.integers(1, CAMPAIGNS, rows) * LEVELS + Level.CAMPAIGN
    cpm = np.exp(rng.normal(np.log(1_500), 0.7, rows)).astype(np.int64) * 1000
    return Bids(
        offset=np.arange(shape.requests + 1, dtype=np.int32) * shape.candidates,
        ad=rng.integers(1, 100_000, rows, dtype=np.int32),
        creative=rng.integers(1, 100_000, rows, dtype=np.int32),
        advertiser=rng.choice(np.arange(1, ADVERTISERS), rows, p=weight / weight.sum()).astype(
            np.int32
        ),
        account=account,
        bid_micros=np.where(per_click, cpm // 4, cpm),
        per_click=per_click,
        pctr_ppm=rng.integers(500, 8_000, (rows, shape.slots)),
        slots=rng.integers(1, 2**shape.slots, rows).astype(np.uint32),
        rejected=np.zeros(rows, np.uint8),
    ), Slots(
        offset=np.arange(shape.requests + 1, dtype=np.int32) * shape.slots,
        floor_micros=np.full(places, 300_000, np.int64),
        first_price=np.zeros(shape.requests, np.bool_),
        seed=rng.integers(0, 2**63, shape.requests).astype(np.uint64),
    )


def measure(shape: Shape, fair: bool) -> dict[str, object]:
    """Median CPU time over batches, after a warm-up that fills the window."""
    rng = np.random.default_rng(7)
    batches = [market(rng, shape) for _ in range(BATCHES)]
    caps = FairnessSettings(max_share=CAP, window=1_000)
    exposure = Exposure(caps) if fair else None
    money, settings = np.full(CAMPAIGNS * LEVELS, 10**12), AuctionSettings()
    seconds, displaced, sold = [], 0, 0
    for number in range(BATCHES * (ROUNDS + 1)):
        bids, slots = batches[number % BATCHES]
        begin = time.thread_time()
        slate = run_auction(bids, slots, exposure, money, settings)
        seconds.append(time.thread_time() - begin)
        displaced += int((slate.winner != slate.plain_winner).sum())
        sold += int((slate.winner >= 0).sum())
    micros = np.array(seconds[BATCHES:]) / shape.requests * 1e6
    return {
        "bench": "auction",
        "batch": shape.requests,
        "candidates": shape.candidates,
        "slots": shape.slots,
        "fairness": fair,
        "us_per_request": round(float(np.median(micros)), 2),
        "us_per_request_p99": round(float(np.quantile(micros, 0.99)), 2),
        "sold": sold,
        "displaced_share": round(displaced / sold, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--candidates", type=int, nargs="+", default=[50, 200, 2_000])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--slots", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    arguments = parser.parse_args()
    for candidates in arguments.candidates[:1] if arguments.quick else arguments.candidates:
        for fair in (False, True):
            shape = Shape(arguments.batch, candidates, arguments.slots)
            print(json.dumps(measure(shape, fair)), flush=True)


if __name__ == "__main__":
    main()
