"""What a cap on shares gives and costs, and how fast it is; one JSON line per figure.

    python -m bench.fairness --auctions 200000

Forty advertisers of heavy-tailed size (1 / rank^1.2), each able to bid in 35 % of the auctions.
What an impression is worth to all of them is log-normal (sigma 1), and to each of them once more
(sigma 0.5): giants are worth most where everything is dear, which a cap should not take from them.
Bids stay as they are under every cap. Loss of welfare is against the auction without a cap.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, Bids, Slots
from auction.fairness import Exposure
from auction.fairness_rules import FairnessRule
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings
from auction.workspace import REVENUE
from feedback.frontier import Auctions, Outcome, frontier

ADVERTISERS = 40
ELIGIBLE = 0.35
FLOOR = 100_000
BATCH = 32


@dataclass(frozen=True)
class Market:
    """Auctions of one slot each, as batches; drawn once, gone through as often as one likes."""

    cpm_micros: NDArray[np.int64]
    """[auctions, advertisers] bid per thousand impressions; 0: not able to bid."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, auctions: int) -> Market:
        size = 20 / np.arange(1, ADVERTISERS + 1) ** 1.2
        common = np.exp(rng.normal(0, 1.0, (auctions, 1)))
        own = np.exp(rng.normal(0, 0.5, (auctions, ADVERTISERS)))
        bid = (size * common * own * 1_000).astype(np.int64) * 1_000
        return cls(np.where(rng.random(bid.shape) < ELIGIBLE, bid, 0))

    def __iter__(self) -> Iterator[tuple[Bids, Slots]]:
        for start in range(0, len(self.cpm_micros), BATCH):
            yield self._batch(start)

    def _batch(self, start: int) -> tuple[Bids, Slots]:
        bid = self.cpm_micros[start : start + BATCH]
        request, column = np.nonzero(bid)
        advertiser = (column + 1).astype(np.int32)
        rows, pages = len(advertiser), len(bid)
        account = np.full((rows, LEVELS), -1, np.int32)
        account[:, 0] = advertiser * LEVELS
        return Bids(
            offset=np.searchsorted(request, np.arange(pages + 1)).astype(np.int32),
            ad=advertiser,
            creative=advertiser,
            advertiser=advertiser,
            account=account,
            bid_micros=bid[request, column],
            per_click=np.zeros(rows, np.bool_),
            pctr_ppm=np.ones((rows, 1), np.int64),
            slots=np.ones(rows, np.uint32),
            rejected=np.zeros(rows, np.uint8),
        ), Slots(
            offset=np.arange(pages + 1, dtype=np.int32),
            floor_micros=np.full(pages, FLOOR),
            first_price=np.zeros(pages, np.bool_),
            seed=np.arange(start, start + pages).astype(np.uint64),
        )


def figure(one: Outcome, free: Outcome) -> dict[str, object]:
    return {
        "bench": "fairness",
        "cap": one.cap,
        "method": "none" if one.cap >= 1 else "hard" if one.hard_only else "dual",
        "auctions": one.slots,
        "welfare_loss": round(1 - one.welfare_micros / free.welfare_micros, 4),
        "revenue_change": round(one.revenue_micros / free.revenue_micros - 1, 4),
        "rebated_revenue_change": round(one.rebated_micros / free.revenue_micros - 1, 4),
        "top_share": round(one.spread.top_share, 4),
        "worst_window_share": round(one.worst_share, 4),
        "hhi": round(one.spread.hhi, 4),
        "gini": round(one.spread.gini, 4),
        "unsold": one.slots - one.sales,
        "relaxed": one.relaxed,
    }


def compared(outcomes: tuple[Outcome, ...]) -> Iterator[dict[str, object]]:
    """How much of the hard limit's loss the dual price leaves."""
    free = next(one for one in outcomes if one.cap >= 1)
    for hard in (one for one in outcomes if one.hard_only):
        dual = next(one for one in outcomes if one.cap == hard.cap and not one.hard_only)
        lost = free.welfare_micros - dual.welfare_micros
        yield {
            "bench": "fairness.dual_over_hard",
            "cap": hard.cap,
            "welfare_loss_ratio": round(lost / (free.welfare_micros - hard.welfare_micros), 3),
            "unsold_for_fairness": dual.slots - dual.sales - (free.slots - free.sales),
        }


def speed(market: Auctions, cap: float) -> dict[str, object]:
    """CPU time of the selling thread, per auction in batches of 32."""
    exposure = Exposure(FairnessSettings(max_share=cap))
    money, settings = np.full((ADVERTISERS + 1) * LEVELS, 1 << 60), AuctionSettings()
    seconds = []
    for bids, slots in market:
        begin = time.thread_time()
        run_auction(bids, slots, exposure, money, settings)
        seconds.append((time.thread_time() - begin) / BATCH)
    micros = round(float(np.median(seconds)) * 1e6, 2)
    return {"bench": "fairness.speed", "cap": cap, "us_per_auction": micros}


def floors(market: Auctions, budget: float) -> dict[str, object]:
    """Who is shown when the smallest are helped up to 1 % of the sales each, for so much."""
    rule = FairnessRule(floor_share=0.01, floor_budget=budget)
    exposure = Exposure(FairnessSettings(rules=(rule,)))
    money, settings = np.full((ADVERTISERS + 1) * LEVELS, 1 << 60), AuctionSettings()
    sold = np.zeros(ADVERTISERS + 1, np.int64)
    for bids, slots in market:
        slate = run_auction(bids, slots, exposure, money, settings)
        won = slate.winner[slate.winner >= 0]
        sold += np.bincount(bids.advertiser[won], minlength=ADVERTISERS + 1)
    share = sold[1:] / sold.sum()
    return {
        "bench": "fairness.floors",
        "floor_budget": budget,
        "spent": round(exposure.boost_cost_micros / max(1, exposure.total(REVENUE, 0)), 5),
        "boosted_sales": round(exposure.boosted / exposure.sold, 4),
        "share_of_the_smaller_half": round(float(np.sort(share)[: ADVERTISERS // 2].sum()), 4),
        "advertisers_above_half_a_percent": int((share > 0.005).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--auctions", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=10_000)
    parser.add_argument("--caps", type=float, nargs="+", default=[0.25, 0.15, 0.1, 0.05])
    parser.add_argument("--quick", action="store_true", help="20 000 auctions, one cap")
    arguments = parser.parse_args()
    auctions = 20_000 if arguments.quick else arguments.auctions
    window = arguments.window // 10 if arguments.quick else arguments.window
    caps = [0.15] if arguments.quick else arguments.caps
    market = Market.drawn(np.random.default_rng(7), auctions)
    outcomes = frontier(market, window, (1.0, *caps))
    for one in outcomes:
        print(json.dumps(figure(one, outcomes[0])), flush=True)
    for line in compared(outcomes):
        print(json.dumps(line), flush=True)
    for cap in (1.0, 0.15):
        print(json.dumps(speed(market, cap)), flush=True)
    for budget in (0.0, 0.01, 0.05):
        print(json.dumps(floors(market, budget)), flush=True)


if __name__ == "__main__":
    main()
