"""Do intervals of off-policy estimates hold the truth? One JSON line per size, value and policy.

    python -m bench.offpolicy

Pages of a simulated market are sold by the real auction with exploration; a policy that ranks
otherwise is judged from that log alone, and its estimates held against what the market's true click
rates say it earns. The log is what a server with 1 % exploration keeps: every explored page and one
in a hundred of the others. The click model that ranks is wrong by half a log-odd per pair.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adserver.exploring import chances_of, to_explore
from auction.columns import LEVELS, PPM, Bids, Slate, Slots
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from feedback.policy.choices import Value, seen_by
from feedback.policy.estimate import Reading, read
from feedback.policy.policies import Policy, policy_of
from simulator.market.eligible import Fits
from simulator.market.market import Market, Shown
from simulator.market.settings import MarketSettings

PAGES, ROWS, SLOTS = 4_000, 8, 2
"""Of the pool; candidates and slots of each page."""
EXPLORATION, ONE_IN = 0.01, 100
KEPT = EXPLORATION / (EXPLORATION + (1 - EXPLORATION) / ONE_IN)
"""Share of the kept pages that were to be explored."""
NOISE = 0.5
RULES = AuctionSettings()
MONEY = np.zeros(0, np.int64)
ESTIMATORS = ("IPS", "SNIPS", "DR")


@dataclass(frozen=True, slots=True)
class Pool:
    """Pages that logs are drawn from, with the truth."""

    bids: Bids
    slots: Slots
    truth: NDArray[np.float64]
    """[PAGES, ROWS, SLOTS] true click rates."""

    def drawn(self, page: NDArray[np.int64], seed: NDArray[np.uint64]) -> tuple[Bids, Slots]:
        """These pages as one batch."""
        row = (page[:, None] * ROWS + np.arange(ROWS)).ravel()
        slot = (page[:, None] * SLOTS + np.arange(SLOTS)).ravel()
        bids = Bids(
            **{
                name: getattr(self.bids, name)[row]
                for name in (
                    *("ad", "creative", "advertiser", "account", "bid_micros", "per_click"),
                    *("pctr_ppm", "slots", "rejected"),
                )
            },
            offset=np.arange(len(page) + 1, dtype=np.int32) * ROWS,
        )
        slots = Slots(
            offset=np.arange(len(page) + 1, dtype=np.int32) * SLOTS,
            floor_micros=self.slots.floor_micros[slot],
            first_price=np.zeros(len(page), np.bool_),
            seed=seed,
        )
        return bids, slots

    def rates(self, page: NDArray[np.int64], slate: Slate) -> NDArray[np.float64]:
        """[T] true click rate of each slot's winner; 0 where nobody won."""
        owner = np.repeat(np.arange(len(page)), SLOTS)
        place = np.tile(np.arange(SLOTS), len(page))
        local = np.maximum(slate.winner - owner * ROWS, 0)
        return np.where(slate.winner >= 0, self.truth[page[owner], local, place], 0.0)


def pool(seed: int = 1) -> Pool:
    """Visits of people at noon, each with some of the ads that fit it."""
    rng = np.random.default_rng(seed)
    market = Market(MarketSettings(seed=seed, ads=400, visits_per_day=120_000, click_log_odds=1.0))
    traffic = market.day(0).hour(12)
    traffic = traffic.rows(np.flatnonzero(~traffic.bot & (traffic.visit.placement[:, 1] >= 0)))
    fits = market.fitting(traffic)
    visit, row = _contenders(fits, rng)
    shape = (len(visit), ROWS, SLOTS)
    ad, placement = fits.ad[row], traffic.visit.placement[visit, :SLOTS]
    pairs = Shown(
        np.broadcast_to(visit[:, None, None], shape).ravel().astype(np.int32),
        np.broadcast_to(ad[:, :, None], shape).ravel(),
        np.broadcast_to(placement[:, None, :], shape).ravel(),
    )
    rate = market.truth(market.crowd(traffic), pairs.visit, pairs.ad, pairs.placement)
    truth = rate.reshape(shape)
    floors = np.array([one.floor_micros for one in market.world.placement], np.int64)
    slots = Slots(
        offset=np.arange(len(visit) + 1, dtype=np.int32) * SLOTS,
        floor_micros=floors[placement].ravel(),
        first_price=np.zeros(len(visit), np.bool_),
        seed=np.arange(len(visit), dtype=np.uint64),
    )
    bids = _bids(market, ad.ravel(), _guessed(truth, rng).reshape(-1, SLOTS))
    return Pool(replace(bids, slots=fits.slots[row].ravel()), slots, truth)


def _contenders(
    fits: Fits, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[P] visits to which enough ads fit, and [P, ROWS] rows of `fits`, drawn from those."""
    visits: list[int] = []
    rows: list[NDArray[np.int64]] = []
    for visit, low in enumerate(fits.offset[:-1].tolist()):
        fitting = low + np.flatnonzero(fits.slots[low : fits.offset[visit + 1]] & np.uint32(3))
        if len(fitting) >= ROWS and len(rows) < PAGES:
            visits.append(visit)
            rows.append(rng.permutation(fitting)[:ROWS])
    return np.array(visits, np.int64), np.stack(rows)


def _guessed(truth: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """What a model might say instead: as many clicks in all, wrong for each pair."""
    odds = np.log(truth / (1 - truth)) + rng.normal(0, NOISE, (*truth.shape[:2], 1))
    guess = 1 / (1 + np.exp(-odds))
    guess *= truth.mean() / guess.mean()
    return np.clip(np.rint(guess * PPM), 1, PPM).astype(np.int64)


def _bids(market: Market, ad: NDArray[np.int32], pctr_ppm: NDArray[np.int64]) -> Bids:
    made, items, rows = market.catalogue, market.catalogue.line_items, len(ad)
    owner = made.ads.line_item[ad]
    return Bids(
        offset=np.arange(rows // ROWS + 1, dtype=np.int32) * ROWS,
        ad=ad.astype(np.int32),
        creative=ad.astype(np.int32),
        advertiser=made.ad_advertiser()[ad].astype(np.int32),
        account=np.full((rows, LEVELS), -1, np.int32),
        bid_micros=items.bid_micros[owner].astype(np.int64),
        per_click=items.per_click[owner].astype(np.bool_),
        pctr_ppm=pctr_ppm,
        slots=np.zeros(rows, np.uint32),
        rejected=np.zeros(rows, np.uint8),
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What a policy shows on every page of a pool."""

    slate: Slate
    value: dict[Value, float]
    """What it truly earns per slot."""

    @classmethod
    def of(cls, made: Pool, policy: Policy) -> Choice:
        slate = run_auction(policy.bids(made.bids), policy.slots(made.slots), None, MONEY, RULES)
        rate = made.rates(np.arange(len(made.truth)), slate)
        none, chances = np.zeros(len(rate), np.bool_), chances_of(made.slots, slate)
        worth = {}
        for value in Value:
            seen = seen_by(made.bids, made.slots, slate, slate, chances, none, value)
            worth[value] = float((seen.per_view + seen.per_click * rate).mean())
        return cls(slate, worth)

    def drawn(self, page: NDArray[np.int64], slate: Slate) -> Slate:
        """Its slate of a batch of these pages, whose other columns are those of `slate`."""
        slot = (page[:, None] * SLOTS + np.arange(SLOTS)).ravel()
        moved = np.repeat((np.arange(len(page)) - page) * ROWS, SLOTS)
        winner = self.slate.winner[slot]
        return replace(
            slate,
            winner=np.where(winner >= 0, winner + moved, -1).astype(np.int32),
            charge_micros=self.slate.charge_micros[slot],
        )


def logged(of: Pool, choice: Choice, pages: int, rng: np.random.Generator) -> dict[Value, Reading]:
    """What one log of so many kept pages says of the policy."""
    page = rng.integers(0, len(of.truth), pages)
    bids, slots = of.drawn(page, rng.integers(0, 2**63, pages).astype(np.uint64))
    ppm = round(KEPT * PPM)
    drawn = to_explore(slots.seed, ppm)
    slots = replace(slots, explore=drawn, explore_ppm=np.full(pages, ppm, np.int32))
    slate = run_auction(bids, slots, None, MONEY, RULES)
    chosen, chances = choice.drawn(page, slate), chances_of(slots, slate)
    click = rng.random(len(slate.winner)) < of.rates(page, slate)
    return {v: read(seen_by(bids, slots, slate, chosen, chances, click, v)) for v in Value}


def figures(of: Pool, name: str, pages: int, runs: int) -> list[dict[str, object]]:
    """Coverage and error of each estimator over independent logs, by value."""
    rng = np.random.default_rng([pages, runs])
    choice = Choice.of(of, policy_of(name, int(of.bids.pctr_ppm.mean())))
    readings = [logged(of, choice, pages, rng) for _ in range(runs)]
    return [
        _figure(name, value, choice.value[value], [one[value] for one in readings])
        for value in Value
    ]


def _figure(name: str, value: Value, truth: float, readings: list[Reading]) -> dict[str, object]:
    told = [one for one in readings if not one.refused]
    figure: dict[str, object] = {
        "bench": "offpolicy",
        "policy": name,
        "value": value.value,
        "pages_kept": readings[0].pages,
        "runs": len(readings),
        "refused": len(readings) - len(told),
        "truth": round(truth, 6),
        "ess": round(float(np.median([one.ess for one in readings]))),
        "agreed_share": round(readings[0].agreed / readings[0].slots, 3),
    }
    for estimator in ESTIMATORS if told else ():
        found = [one.of(estimator) for one in told]
        inside = [low <= truth <= high for low, high in (one.interval for one in found)]
        error = np.array([one.value for one in found]) - truth
        figure[f"{estimator.lower()}_coverage"] = round(float(np.mean(inside)), 3)
        figure[f"{estimator.lower()}_rmse"] = round(float(np.sqrt((error**2).mean()) / truth), 4)
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", nargs="+", default=["gamma=0.6", "bid", "floor=+20%"])
    parser.add_argument("--pages", type=int, nargs="+", default=[1_500, 4_500, 13_500])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="few runs of one size")
    flags = parser.parse_args()
    if flags.quick:
        flags.pages, flags.runs = [1_500], 20
    made = pool()
    for name in flags.policies:
        for pages in flags.pages:
            for line in figures(made, name, pages, flags.runs):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
