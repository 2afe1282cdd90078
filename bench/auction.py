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
from dataclasses import dataclass, replace

import numpy as np

from auction.columns import LEVELS, PPM, Bids, Level, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import GSP, VCG, AuctionSettings, FairnessSettings, Mode

ADVERTISERS = 2_000
CAMPAIGNS = 5_000
LINE_ITEMS = 20_000
DEALS = 200
MODES = {10: Mode.GUARANTEED, 20: Mode.WEIGHTED}
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


def with_all_rules(rng: np.random.Generator, bids: Bids) -> Bids:
    """Four budgets each, tiers, deals, quality, reserves, labels, pacing; no packages."""
    rows = len(bids.ad)
    deal = np.where(rng.random(rows) < 0.1, rng.integers(0, DEALS, rows), -1).astype(np.int32)
    line_item = rng.integers(1, LINE_ITEMS, rows)
    numbers = np.stack([bids.advertiser, line_item // 4, line_item, deal], axis=1)
    account = numbers * LEVELS + np.arange(LEVELS)
    quality = rng.integers(500, 2_000, rows)[:, None]
    event = np.where(bids.per_click[:, None], bids.pctr_ppm, PPM)
    return replace(
        bids,
        account=np.where(numbers >= 0, account, -1).astype(np.int32),
        tier=rng.choice([10, 20, 50, 80], rows, p=[0.002, 0.003, 0.895, 0.1]).astype(np.uint8),
        share=rng.integers(1, 1_000, rows),
        weight_ppm=event * quality // 1_000,
        full_bid_micros=bids.bid_micros * 3 // 2,
        deal=deal,
        floor_micros=np.where(deal >= 0, 400_000, -1),
        reserve_micros=np.where(rng.random(rows) < 0.3, 700_000, 0),
        fixed_price=(deal >= 0) & (rng.random(rows) < 0.2),
        labels=np.where(rng.random(rows) < 0.2, 1 << rng.integers(0, 12, rows), 0).astype(
            np.uint64
        ),
        package=np.zeros(rows, np.int32),
        package_kind=np.zeros(rows, np.uint8),
    )


def measure(shape: Shape, fair: bool, rules: str = "") -> dict[str, object]:
    """Median CPU time over batches, after a warm-up that fills the window."""
    rng = np.random.default_rng(7)
    batches = [market(rng, shape) for _ in range(BATCHES)]
    if rules:
        batches = [(with_all_rules(rng, bids), slots) for bids, slots in batches]
    caps = FairnessSettings(max_share=CAP, window=1_000)
    exposure = Exposure(caps) if fair else None
    money = np.full(LINE_ITEMS * LEVELS, 10**12)
    settings = AuctionSettings(mechanism=rules, modes=MODES) if rules else AuctionSettings()
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
        "all_rules": bool(rules),
        "mechanism": rules or GSP,
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
        shape = Shape(arguments.batch, candidates, arguments.slots)
        for fair, rules in ((False, ""), (True, ""), (True, GSP), (True, VCG)):
            print(json.dumps(measure(shape, fair, rules)), flush=True)


if __name__ == "__main__":
    main()
