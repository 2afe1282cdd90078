"""What a bidder can gain by another bid than its true value, in replayed auctions.

    python -m bench.truthfulness --auctions 10000

Fifty advertisers with log-normal values bid truthfully on generated pages. For each page, each
bidder's bid is then multiplied in turn, all else as it was: other bids, dual prices of exposure (of
a market in which the greatest advertisers are past their share), pacing, caps and budgets. What it
keeps is its true value less its charge, times the rate of what it pays for. Figures are JSON lines:

- `greatest gain`: of any deviation, per thousand impressions; at most the price increment, and with
  no increment at most what one micro of charge is worth (charges are whole micros);
- `regret / value`: what bidders would gain by their best deviation, summed, over the sum of what
  they keep plus what they pay, with several slots of unequal click rates: the generalised second
  price's, and VCG's.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, PPM, Bids, Slate, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import GSP, VCG, AuctionSettings, FairnessSettings

ADVERTISERS = 50
MULTIPLIERS = (0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
BIDDERS = 16
"""Of the fifty, those who find a page to their liking."""
EFFECTS = (1.0, 0.6, 0.35, 0.2)
"""Click rate of a slot over that of the first."""
FLOOR = 200_000
RICH = np.full(LEVELS * (ADVERTISERS + 1), 10**15, np.int64)
CAPS = FairnessSettings(max_share=0.06, window=1_000)
"""A cap that binds for many, so that dual prices are above 0."""
WARM_UP = 2_000
"""Pages sold first, so that the dual prices have settled."""


@dataclass(frozen=True, slots=True)
class Page:
    """One request: what its bidders truly value an event at, and what they would be shown for."""

    advertiser: NDArray[np.int32]
    value: NDArray[np.int64]
    """Micros per click, or per thousand impressions in multiples of MILLE."""
    per_click: NDArray[np.bool_]
    rate_ppm: NDArray[np.int64]
    """[n, S] clicks per impression."""
    seed: int


@dataclass(frozen=True, slots=True)
class Gains:
    """Of deviations on one page, in value units (millionths of a micro) per impression."""

    kept: NDArray[np.int64]
    """[n] what each bidder keeps when all are truthful."""
    gain: NDArray[np.int64]
    """[n] what its best deviation adds; 0 or more."""
    excess: NDArray[np.int64]
    """[n] the same, less one micro of charge."""
    paid: int
    dual: int
    """Pairs of bidder and slot with a dual price above 0."""


def pages(rng: np.random.Generator, count: int, slots: int) -> list[Page]:
    """Advertisers' values differ twentyfold at random, and by page by half as much again."""
    scale = np.exp(rng.normal(0, 0.8, ADVERTISERS))
    return [_page(rng, scale, slots) for _ in range(count)]


def _page(rng: np.random.Generator, scale: NDArray[np.float64], slots: int) -> Page:
    who = rng.permutation(ADVERTISERS)[:BIDDERS]
    cpm = 1_500_000 * scale[who] * np.exp(rng.normal(0, 0.4, BIDDERS))
    per_click = rng.random(BIDDERS) < 0.6
    rate = rng.integers(500, 8_000, BIDDERS)
    click = cpm * MILLE / rate
    return Page(
        advertiser=(who + 1).astype(np.int32),
        value=np.where(per_click, click, cpm // MILLE * MILLE).astype(np.int64),
        per_click=per_click,
        rate_ppm=np.maximum(1, np.outer(rate, EFFECTS[:slots]).astype(np.int64)),
        seed=int(rng.integers(2**63)),
    )


def columns(page: Page, bid: NDArray[np.int64]) -> tuple[Bids, Slots]:
    """The page once per row of `bid` [V, n]."""
    versions, n = bid.shape
    slots = page.rate_ppm.shape[1]
    account = np.full((n, LEVELS), -1, np.int32)
    account[:, 0] = page.advertiser * LEVELS

    def again(column: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([column] * versions)

    return Bids(
        offset=np.arange(versions + 1, dtype=np.int32) * n,
        ad=again(page.advertiser),
        creative=again(page.advertiser),
        advertiser=again(page.advertiser),
        account=again(account),
        bid_micros=bid.ravel(),
        per_click=again(page.per_click),
        pctr_ppm=again(page.rate_ppm),
        slots=np.full(versions * n, 2**slots - 1, np.uint32),
        rejected=np.zeros(versions * n, np.uint8),
    ), Slots(
        offset=np.arange(versions + 1, dtype=np.int32) * slots,
        floor_micros=np.full(versions * slots, FLOOR, np.int64),
        first_price=np.zeros(versions, np.bool_),
        seed=np.full(versions, page.seed, np.uint64),
    )


def deviations(page: Page) -> NDArray[np.int64]:
    """[1 + n * multipliers, n] the truth, then one bidder's other bids, then the next one's."""
    n = len(page.value)
    bid = np.tile(page.value, (1 + n * len(MULTIPLIERS), 1))
    for k, factor in enumerate(MULTIPLIERS):
        other = (page.value * factor).astype(np.int64)
        other = np.where(page.per_click, other, other // MILLE * MILLE)
        row = 1 + np.arange(n) * len(MULTIPLIERS) + k
        bid[row, np.arange(n)] = np.maximum(other, np.where(page.per_click, 1, MILLE))
    return bid


def gains(page: Page, exposure: Exposure | None, settings: AuctionSettings) -> Gains:
    """What each bidder keeps by the truth and by its best deviation, at its true value.

    The truthful sale counts in `exposure`; deviations are sold on the terms of that one.
    """
    bid = deviations(page)
    bids, slots = columns(page, bid)
    terms = run_auction(*columns(page, bid[:1]), exposure, RICH.copy(), settings)
    slate = run_auction(bids, slots, _repeated(terms, len(bid)), RICH.copy(), settings)
    n, width = page.rate_ppm.shape
    kept: NDArray[np.int64] = np.zeros(bid.size, np.int64)
    rate: NDArray[np.int64] = np.zeros(bid.size, np.int64)
    sold = np.flatnonzero(slate.winner >= 0)
    row = slate.winner[sold]
    events = np.where(page.per_click[row % n], page.rate_ppm[row % n, sold % width], PPM)
    value = np.where(page.per_click, page.value, page.value // MILLE)[row % n]
    kept[row] = (value - slate.charge_micros[sold]) * events
    rate[row] = events
    kept, rate = kept.reshape(bid.shape), rate.reshape(bid.shape)
    own = np.arange(n)
    at = 1 + own[:, None] * len(MULTIPLIERS) + np.arange(len(MULTIPLIERS))
    more = kept[at, own[:, None]] - kept[0][:, None]
    micro = np.maximum(rate[at, own[:, None]], rate[0][:, None])
    truthful = sold[row < n]
    return Gains(
        kept=kept[0],
        gain=np.maximum(0, more.max(axis=1)),
        excess=np.maximum(0, (more - micro).max(axis=1)),
        paid=int((slate.charge_micros[truthful] * events[row < n]).sum()),
        dual=0 if terms.dual is None else int((terms.dual > 0).sum()),
    )


def _repeated(terms: Slate, times: int) -> Slate:
    assert terms.dual is not None
    assert terms.room is not None
    dual, room = np.tile(terms.dual, (times, 1)), np.tile(terms.room, (times, 1))
    return replace(terms, dual=dual, room=room)


def measure(
    auctions: int, slots: int, settings: AuctionSettings, fair: bool, seed: int
) -> dict[str, object]:
    """Figures over all deviations of all bidders of `auctions` pages."""
    rng = np.random.default_rng(seed)
    drawn = pages(rng, auctions + WARM_UP, slots)
    exposure = Exposure(CAPS) if fair else None
    for page in drawn[auctions:]:
        run_auction(*columns(page, page.value[None]), exposure, RICH.copy(), settings)
    found = [gains(page, exposure, settings) for page in drawn[:auctions]]
    kept = sum(int(one.kept.sum()) for one in found)
    paid = sum(one.paid for one in found)
    regret = sum(int(one.gain.sum()) for one in found)
    return {
        "bench": "truthfulness",
        "mechanism": settings.mechanism,
        "auctions": auctions,
        "slots": slots,
        "deviations": auctions * BIDDERS * len(MULTIPLIERS),
        "increment_micros": settings.increment_micros,
        "dual_prices_above_0": sum(one.dual for one in found),
        "greatest_gain_cpm_micros": max(int(one.gain.max()) for one in found) / MILLE,
        "greatest_gain_beyond_one_micro_cpm_micros": max(int(one.excess.max()) for one in found)
        / MILLE,
        "regret_over_value": round(regret / (kept + paid), 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--auctions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="200 auctions")
    arguments = parser.parse_args()
    count = 200 if arguments.quick else arguments.auctions
    exact = AuctionSettings(increment_micros=0)
    for fair in (True, False):
        for settings in (AuctionSettings(), exact):
            print(json.dumps(measure(count, 1, settings, fair, arguments.seed)), flush=True)
    for slots, mechanism in product((2, 4), (GSP, VCG)):
        settings = replace(exact, mechanism=mechanism)
        print(json.dumps(measure(count, slots, settings, False, arguments.seed)), flush=True)


if __name__ == "__main__":
    main()
