"""What personal reserves earn and cost: fitted on one half of a generated log, judged on the other.

    python -m bench.reserves

Forty advertisers value the impressions of eight placements log-normally, each pair with a scale
and a spread of its own, and bid their values; an auction has one to five of them. Reserves are
fitted on the first half (`auction.reserves`), then the second is sold without, with the damped and
with the full theoretical reserve. Three markets: as the fit believes (`log-normal`), values of two
kinds that it does not know of (`two kinds`), and values that have fallen by a fifth since
(`fallen`). One JSON line each: revenue and welfare in dollars per thousand auctions, fill rate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, Bids, Slate, Slots
from auction.mechanism import run_auction
from auction.reserves import ReserveSettings, fit, reserves
from auction.settings import AuctionSettings

ADVERTISERS, PLACEMENTS, MOST_BIDDERS = 40, 8, 5
FLOOR = 100_000
BATCH = 512
MARKETS = ("log-normal", "two kinds", "fallen")
RICH = np.full(LEVELS * (ADVERTISERS + 1), 10**15, np.int64)


@dataclass(frozen=True, slots=True)
class Log:
    """Auctions of one slot, rows end to end."""

    offset: NDArray[np.int64]
    key: NDArray[np.int64]
    """[R] of advertiser and placement."""
    advertiser: NDArray[np.int32]
    value: NDArray[np.int64]
    """[R] micros per thousand impressions, also the bid."""


def log(rng: np.random.Generator, auctions: int, market: str, late: bool) -> Log:
    """`late`: of the half that is judged."""
    traits = np.random.default_rng(5)
    pairs = (ADVERTISERS + 1) * PLACEMENTS
    scale = traits.normal(np.log(1_500_000), 0.6, pairs)
    spread = traits.uniform(0.3, 0.9, pairs)
    count = rng.integers(1, MOST_BIDDERS + 1, auctions)
    offset = np.concatenate([[0], np.cumsum(count)])
    who = np.argsort(rng.random((auctions, ADVERTISERS)), axis=1)[:, :MOST_BIDDERS] + 1
    advertiser = who[np.arange(MOST_BIDDERS) < count[:, None]]
    placement = np.repeat(rng.integers(0, PLACEMENTS, auctions), count)
    key = advertiser * PLACEMENTS + placement
    logarithm = rng.normal(scale[key], spread[key])
    if market == "two kinds":
        logarithm += np.where(rng.random(len(key)) < 0.25, 1.2, -0.4)
    if market == "fallen" and late:
        logarithm += np.log(0.8)
    value = np.exp(logarithm).astype(np.int64) // MILLE * MILLE
    return Log(offset, key, advertiser.astype(np.int32), np.maximum(value, MILLE))


def sold(held: Log, reserve: NDArray[np.int64]) -> Iterator[tuple[slice, Slate]]:
    """The auctions in batches, each with the rows that it had."""
    for low in range(0, len(held.offset) - 1, BATCH):
        edges = held.offset[low : low + BATCH + 1]
        rows = slice(int(edges[0]), int(edges[-1]))
        n, size = rows.stop - rows.start, len(edges) - 1
        account = np.full((n, LEVELS), -1, np.int32)
        bids = Bids(
            offset=(edges - edges[0]).astype(np.int32),
            ad=held.advertiser[rows],
            creative=held.advertiser[rows],
            advertiser=held.advertiser[rows],
            account=account,
            bid_micros=held.value[rows],
            per_click=np.zeros(n, np.bool_),
            pctr_ppm=np.ones((n, 1), np.int64),
            slots=np.ones(n, np.uint32),
            rejected=np.zeros(n, np.uint8),
            reserve_micros=reserve[rows],
        )
        slots = Slots(
            offset=np.arange(size + 1, dtype=np.int32),
            floor_micros=np.full(size, FLOOR, np.int64),
            first_price=np.zeros(size, np.bool_),
            seed=np.arange(low, low + size).astype(np.uint64),
        )
        yield rows, run_auction(bids, slots, None, RICH, AuctionSettings())


def measure(market: str, auctions: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(11)
    past, held_out = (log(rng, auctions, market, late) for late in (False, True))
    fits = fit(past.key, past.value)
    for name, damping in (("none", 0.0), ("damped", ReserveSettings().damping), ("full", 1.0)):
        asked = reserves(fits, ReserveSettings(damping)).of(held_out.key)
        revenue = welfare = won = 0
        for rows, slate in sold(held_out, asked):
            winner = slate.winner[slate.winner >= 0]
            won += len(winner)
            revenue += int(slate.cost_micros.sum())
            welfare += int(held_out.value[rows][winner].sum()) // MILLE
        yield {
            "bench": "reserves",
            "market": market,
            "reserve": name,
            "damping": damping,
            "auctions": auctions,
            "revenue_per_thousand": round(revenue / auctions / MILLE, 4),
            "welfare_per_thousand": round(welfare / auctions / MILLE, 4),
            "fill_rate": round(won / auctions, 4),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--auctions", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="30 000 auctions")
    arguments = parser.parse_args()
    for market in MARKETS:
        for line in measure(market, 30_000 if arguments.quick else arguments.auctions):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
