"""How much value the funnel loses: the best of k candidates against the best of all eligible ads.

    python -m bench.funnel --ads 100000 --requests 10000

Each sampled request is decided twice with the same full model: once with k candidates, as the
server does it, once with every ad that passes its targeting scored. Compared is the expected value
of the winner: of the first slot, of the slot whose winner is worth most, and of all that the
auction sells on the page. Money is not short, and no advertiser has had its share. One JSON line
for each k and each of the three.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.columns import bids_of, counted_of, odds_of
from adserver.dealing import dealing
from adserver.edition import Edition
from adserver.editions import Editions
from adserver.encode import Asked, Encoded, encode
from adserver.request import AdRequest
from adserver.settings import Settings
from adserver.wire.decision import parse
from auction.columns import MILLE, PPM, Bids
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from loadtest.traffic import DECISION, bodies
from ranking.bundle import Bundle
from ranking.counting.board import Board
from ranking.int8 import LocalScorer
from ranking.scorer import FULL, Pairs
from ranking.tiers import Scores
from retrieval.query import Candidates

KS = (10, 50, 100, 200, 400)
BATCH = 20
SEED = 11
"""Of the sampled requests: not those that the load tests send."""
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Winners:
    """What was won, [B] requests each."""

    first: NDArray[np.int64]
    """Value of the first slot's winner; 0 when nobody wins it."""
    best: NDArray[np.int64]
    page: NDArray[np.int64]
    revenue: NDArray[np.int64]
    """What the page's winners are expected to pay, in micros per thousand impressions."""
    first_ad: NDArray[np.int64]
    """Row of the first slot's winner, -1."""
    candidates: NDArray[np.int64]


class Market:
    """One snapshot and one model, asked with any k."""

    def __init__(self, settings: Settings, now: float) -> None:
        editions = Editions(settings)
        self.now, self.settings = now, settings
        self.edition, self.whole = editions.open(now), editions.open(now)
        self.whole.retriever.costs = None  # without a graph every request is scanned
        self.scorer = LocalScorer(self.edition.bundle)
        self.scorer.add(self.edition.version, self.edition.table)

    def decide(self, requests: Sequence[AdRequest], ks: Sequence[int]) -> dict[int, Winners]:
        """The winners for each k, and, under 0, those among all eligible ads."""
        encoded = encode(
            Asked.by_strangers(requests, range(len(requests))),
            self.edition,
            self.now,
            self.settings.seed,
        )
        found: dict[int, Winners] = {}
        eligible = 1
        for k in ks:
            candidates = self.edition.retriever.retrieve(
                encoded.queries, self.edition.overlay.live, k
            )
            eligible = max(eligible, int(candidates.eligible.max()))
            found[k] = self._winners(candidates, encoded, self.edition)
        live = self.whole.overlay.live
        every = self.whole.retriever.retrieve(encoded.queries, live, eligible)
        if not np.array_equal(np.diff(every.offset), every.eligible):
            raise RuntimeError("retrieval left out eligible ads although there was room for all")
        found[0] = self._winners(every, encoded, self.whole)
        return found

    def _winners(self, candidates: Candidates, encoded: Encoded, edition: Edition) -> Winners:
        pairs = Pairs(
            edition.version, encoded.vector, encoded.bias, candidates.ad, candidates.offset
        )
        none = np.zeros(len(candidates.ad), np.uint8)
        counted = counted_of(candidates, encoded, edition, Board())
        scores = Scores(self.scorer.score(pairs), FULL)
        odds = odds_of(scores, counted, encoded.slot_bias, edition.bundle)
        deals = dealing(candidates, encoded.deals, edition)
        bids = bids_of(candidates, odds, none, deals, edition)
        values = _values(bids)
        floor = np.maximum(encoded.slots.floor_micros, AuctionSettings().minimum_floor_micros)
        first, ad, best = [], [], []
        for row in range(len(encoded.queries)):
            rows = slice(bids.offset[row], bids.offset[row + 1])
            slots = slice(encoded.slots.offset[row], encoded.slots.offset[row + 1])
            won = _best(values[rows], bids.slots[rows], floor[slots] * MILLE)
            first.append(won.max(axis=0, initial=0)[0])
            best.append(won.max(initial=0))
            at = int(won[:, 0].argmax()) if len(won) else 0
            ad.append(int(bids.ad[rows][at]) if first[-1] > 0 else -1)
        return Winners(
            np.array(first),
            np.array(best),
            *_page(bids, values, encoded),
            np.array(ad),
            np.diff(candidates.offset).astype(np.int64),
        )


def _values(bids: Bids) -> NDArray[np.int64]:
    """[R, S] expected micros per impression times a million, as the auction weighs them."""
    per_click = bids.bid_micros[:, None] * bids.pctr_ppm
    per_impression = np.broadcast_to((bids.bid_micros // MILLE * PPM)[:, None], per_click.shape)
    return np.where(bids.per_click[:, None], per_click, per_impression)


def _best(
    values: NDArray[np.int64], fits: NDArray[np.uint32], floor: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[R, S] of one request: the value where the ad fits the slot and reaches its floor, else 0."""
    slots = np.arange(len(floor), dtype=np.uint32)
    fitting = (fits[:, None] >> slots & 1).astype(np.bool_)
    offered = values[:, : len(floor)]
    return np.where(fitting & (offered >= floor), offered, 0)


def _page(
    bids: Bids, values: NDArray[np.int64], encoded: Encoded
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[B] what the auction's winners of all slots together are worth, and what they pay."""
    plenty = np.full(int(bids.account.max(initial=-1)) + 1, np.int64(1) << 50)
    slate = run_auction(bids, encoded.slots, None, plenty, AuctionSettings())
    offset = encoded.slots.offset
    owner = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    number = np.arange(offset[-1]) - offset[owner]
    sold = slate.winner >= 0
    worth = np.zeros(len(owner), np.int64)
    worth[sold] = values[slate.winner[sold], number[sold]]
    paid = np.where(sold, slate.clear_micros, 0)
    return (
        np.bincount(owner, worth, len(offset) - 1).astype(np.int64),
        np.bincount(owner, paid, len(offset) - 1).astype(np.int64),
    )


def sample(count: int) -> Iterator[AdRequest]:
    """Requests of the simulated marketplace."""
    # a fifth of the bodies are in the other dialect, which means the same
    for body in bodies(SEED, int(count * 1.35) + 50):
        if body.route == DECISION and count > 0:
            count -= 1
            yield parse(body.json)


def lines(found: dict[int, Winners], seconds: float) -> Iterator[dict[str, Any]]:
    """One figure for each k and each way of comparing."""
    whole = found[0]
    for k in sorted(set(found) - {0}):
        some = found[k]
        for scope in ("first", "best", "page"):
            yield {
                "bench": "funnel",
                "figure": f"value kept, {scope} slot" if scope != "page" else "value kept, page",
                "k": k,
                **_kept(getattr(some, scope), getattr(whole, scope)),
                "same_first_winner": round(float(np.mean(some.first_ad == whole.first_ad)), 4),
                "candidates": round(float(some.candidates.mean()), 1),
                "eligible": round(float(whole.candidates.mean()), 1),
                "requests": len(whole.first),
                "seconds": round(seconds, 1),
            }


def _kept(some: NDArray[np.int64], whole: NDArray[np.int64]) -> dict[str, float]:
    sold = whole > 0
    ratio = some[sold] / whole[sold]
    worst = np.quantile(ratio, [0.01, 0.001], method="inverted_cdf") if len(ratio) else [1, 1]
    return {
        "value": round(float(some.sum() / max(1, whole.sum())), 5),
        "p1": round(float(worst[0]), 4),
        "p0.1": round(float(worst[1]), 4),
        "unharmed": round(float(np.mean(ratio >= 1)) if len(ratio) else 1.0, 4),
        "sold": int(sold.sum()),
    }


def joined(parts: Sequence[dict[int, Winners]]) -> dict[int, Winners]:
    """The winners of all parts, for each k."""
    names = Winners.__slots__
    return {
        k: Winners(*(np.concatenate([getattr(part[k], name) for part in parts]) for name in names))
        for k in parts[0]
    }


def run(settings: Settings, count: int, ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The figures of one catalogue."""
    market = Market(settings, time.time())
    requests = list(sample(count))
    batches = [requests[at : at + BATCH] for at in range(0, len(requests), BATCH)]
    began = time.monotonic()
    shown = track(batches, "deciding twice", console=console)
    found = joined([market.decide(batch, ks) for batch in shown])
    yield from lines(found, time.monotonic() - began)


def main() -> int:
    """Temporary catalogues, unless --data names one that is there."""
    flags = _flags()
    for ads in [0] if flags.data else flags.ads:
        with tempfile.TemporaryDirectory(prefix="funnel-") as temporary:
            settings = Settings(adserver_data=flags.data or Path(temporary), scorer="local")
            if not flags.data:
                console.print(f"making a catalogue of {ads:,} ads")
                create_sample(settings.database, ads, time.time())
                build_snapshot(settings.database, settings.snapshots, settings.bundle, time.time())
            about = {"ads": ads or _size(settings), "model": Bundle.load(settings.bundle).version}
            for line in run(settings, flags.requests, flags.k):
                sys.stdout.buffer.write(orjson.dumps({**line, **about}) + b"\n")
    return 0


def _size(settings: Settings) -> int:
    return len(Editions(settings).open(time.time()).snapshot.ads)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[100_000])
    parser.add_argument("--data", type=Path, help="data folder of a server; instead of --ads")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--k", type=int, nargs="+", default=KS)
    parser.add_argument("--quick", action="store_true", help="10 000 ads, 500 requests")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.requests = [10_000], 500
    return flags


if __name__ == "__main__":
    sys.exit(main())
