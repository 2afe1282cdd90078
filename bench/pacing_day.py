"""Whole days of paced campaigns: the real auction, books, leases and pacing, on a compressed clock.

    python -m bench.pacing_day --hour-s 360 --campaigns 10

Each campaign has its own Poisson traffic (flat, double-peaked or spiky), which is what its budget
was planned for times 0.5, 1 or 2, and could spend 2, 4 or 8 times its budget. Half of them pay per
impression, of which a tenth is never shown; half per click, some of which come late. Requests go
to the workers at random; the one that leads dies at noon in `killed`, with what it had promised.
A clock second is 3600 / hour-s seconds of the day; pacing still ticks once a clock second. JSON
lines; `deviation_worst` is of any hour of any campaign: billed less planned, over planned;
`sold_deviation_worst` takes the expected cost of what was sold, without the chance of who clicks.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.bank import Bank
from adserver.books import Books
from adserver.meter import money_key
from adserver.pace import Pace
from adserver.state.memory import MemoryStore
from auction.books import UNLIMITED, Sale
from auction.columns import LEVELS, MILLE, Bids, Level, Slots, account_of
from auction.mechanism import run_auction
from auction.pacing import Goal, Mode, PacingSettings, Plans, paced
from auction.settings import AuctionSettings
from auction.traffic import HOURS, CurveLearner

I64 = NDArray[np.int64]

FORECASTS = (0.5, 1.0, 2.0)
"""Traffic over what was expected."""
DEMAND = 4.0
"""What a campaign could spend, over its budget, if the traffic is what was expected."""
BID = 4_000
"""Micros that an impression is worth to a campaign; the median price is half of it."""
CLICK_PPM = 50_000
SHOWN = 0.9
DAY = 0
SETTINGS = AuctionSettings()


@dataclass(frozen=True, slots=True)
class Scene:
    """One day to be simulated."""

    shape: str
    workers: int = 1
    killed: bool = False
    campaigns: int = 3
    """Per forecast and pricing."""
    hour_s: int = 360
    budget_micros: int = 15_000_000
    seed: int = 1

    @property
    def day_s(self) -> int:
        return 24 * self.hour_s

    @property
    def hold_s(self) -> int:
        """Six minutes of the day."""
        return self.hour_s // 10

    def hours(self) -> NDArray[np.float64]:
        """[24] expected traffic, 1 on average."""
        hour = np.arange(24)
        peaks = 0.3 + np.exp(-((hour - 9) ** 2) / 8) + 1.3 * np.exp(-((hour - 20) ** 2) / 6)
        weight = peaks if self.shape in {"double", "unlearnt"} else np.ones(24)
        level: NDArray[np.float64] = weight / weight.mean()
        return level

    def learnt(self) -> CurveLearner:
        known = np.ones(24) if self.shape == "unlearnt" else self.hours()
        return CurveLearner(np.tile(known * 1000, HOURS // 24), float(self.hour_s))


@dataclass(slots=True)
class Promise:
    """A sale until its event has come or its time is up."""

    campaign: int
    seller: int
    reserved: int
    charge: int
    billed: bool = False
    released: bool = False


@dataclass(slots=True)
class Outcome:
    """[C] campaigns."""

    spent: I64
    hourly: I64
    """[24, C] micros billed."""
    sold: I64
    """[24, C] expected cost of what was sold: without the chance of who clicks."""
    plan: NDArray[np.float64]
    """[24]"""
    scene: Scene
    per_click: NDArray[np.bool_]
    faults: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> NDArray[np.float64]:
        return self.spent / self.scene.budget_micros

    def deviation(self, hourly: I64) -> NDArray[np.float64]:
        """[24, C] distance from the plan, over it."""
        plan = self.plan[:, None]
        found: NDArray[np.float64] = np.abs(hourly - plan) / plan
        return found


class Day:
    """The state of one simulated day; `run` plays it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.rng = scene, np.random.default_rng(scene.seed)
        kinds = len(FORECASTS) * 2
        self.campaigns = kinds * scene.campaigns
        self.number = np.arange(1, self.campaigns + 1)
        self.per_click = np.arange(self.campaigns) % 2 == 1
        self.full = np.where(self.per_click, BID * 1_000_000 // CLICK_PPM, BID * MILLE)
        forecast = np.array(FORECASTS)[np.arange(self.campaigns) // 2 % len(FORECASTS)]
        self.rate = self._requests_per_s() * forecast
        self.burst = self._bursts()
        self.store = MemoryStore()
        self.books = Books(self.store)
        self.account = np.array([account_of(Level.CAMPAIGN, n) for n in self.number.tolist()])
        self.books.limit(dict.fromkeys(self.account.tolist(), (scene.budget_micros, UNLIMITED)), 0)
        self.plans = self._plans()
        self.banks: dict[int, Bank] = {}
        self.paces: dict[int, Pace] = {}
        for worker in range(scene.workers):
            bank = self.banks[worker] = Bank(self.books, worker, scene.workers)
            bank.cover(int(self.account.max()) + 1)
            bank.look_at_all(DAY)
            self.paces[worker] = Pace(self.store, worker, PacingSettings(), scene.learnt())
        self.events: defaultdict[int, list[Promise]] = defaultdict(list)
        self.ends: defaultdict[int, list[Promise]] = defaultdict(list)
        self.hourly = np.zeros((24, self.campaigns), np.int64)
        self.sold = np.zeros((24, self.campaigns), np.int64)

    def _requests_per_s(self) -> float:
        """At which a whole bid spends DEMAND times the budget."""
        price = np.random.default_rng(0).lognormal(np.log(BID / 2), 1.0, 200_000)
        per_request = price[price < BID].sum() / len(price) * SHOWN
        return float(DEMAND * self.scene.budget_micros / per_request / self.scene.day_s)

    def _bursts(self) -> NDArray[np.float64]:
        """[day, C] traffic over the hour's: in spiky traffic bursts of two to six times, of one to
        seven minutes each, three an hour, on top of it: what supply cannot give no pacer can."""
        scene = self.scene
        burst = np.ones((scene.day_s, self.campaigns))
        if scene.shape != "spiky":
            return burst
        minute = scene.hour_s / 60
        for campaign in range(self.campaigns):
            for begin in self.rng.integers(0, scene.day_s, 24 * 3):
                last = int(begin + minute * self.rng.uniform(1, 7))
                burst[begin:last, campaign] *= self.rng.uniform(2, 6)
        most: NDArray[np.float64] = np.minimum(burst, 12.0)
        return most

    def _plans(self) -> Plans:
        count = self.campaigns
        cost = np.where(self.per_click, self.full, self.full / MILLE)
        return Plans(
            key=money_key(Level.CAMPAIGN, self.number),
            kind=np.full(count, Goal.SPEND, np.uint8),
            amount=np.full(count, self.scene.budget_micros),
            unit=0.5 * cost,
            mode=np.full(count, Mode.EVEN, np.uint8),
            period=np.full(count, DAY),
            start_s=np.zeros(count),
            end_s=np.full(count, float(self.scene.day_s)),
        )

    def run(self) -> Outcome:
        scene, hours = self.scene, self.scene.hours()
        for second in range(scene.day_s):
            if scene.killed and second == scene.day_s // 2:
                self.kill(0, second)
            self._settle(second)
            self._beat(second)
            rate = self.rate * hours[second // scene.hour_s] * self.burst[second]
            for worker in self.banks:
                self._sell(worker, rate / len(self.banks), second)
        known = scene.learnt().curve()
        edges = np.arange(25.0) * scene.hour_s
        plan = known.between(edges[:-1], edges[1:])
        return Outcome(
            spent=np.array([book.spent_day for book in self.books.read(self.account.tolist())]),
            hourly=self.hourly,
            sold=self.sold,
            plan=plan / plan.sum() * scene.budget_micros,
            scene=scene,
            per_click=self.per_click,
            faults=[
                *self.books.check(),
                *(f for b in self.banks.values() for f in b.ledger.check()),
            ],
        )

    def _beat(self, second: int) -> None:
        for worker, pace in self.paces.items():
            bank = self.banks[worker]
            bank.tend(DAY, float(second))
            asked = round(float(self.rate.sum()) / len(self.banks))
            pace.beat(float(second), asked, bank.tally.take(), self.plans)

    def _sell(self, worker: int, rate: NDArray[np.float64], second: int) -> None:
        who = np.repeat(np.arange(self.campaigns), self.rng.poisson(rate))
        if not len(who):
            return
        bids, slots = self._columns(worker, who)
        bank = self.banks[worker]
        with bank.steady():
            slate = run_auction(bids, slots, None, bank.ledger.left.copy(), SETTINGS)
        ours = np.flatnonzero((slate.winner >= 0) & (slate.winner % 2 == 0))
        row = slate.winner[ours]
        cost, charge = slate.cost_micros[ours], slate.charge_micros[ours]
        granted, _ = bank.reserve(bids.account[row], cost, DAY)
        for at in np.flatnonzero(granted).tolist():
            promise = Promise(int(who[ours[at]]), worker, int(cost[at]), int(charge[at]))
            self._schedule(promise, second)
            self.sold[second // self.scene.hour_s, promise.campaign] += promise.reserved

    def _columns(self, worker: int, who: NDArray[np.intp]) -> tuple[Bids, Slots]:
        """A page of one slot per request: its campaign against the market."""
        n = len(who)
        published = self.paces[worker].published
        share = published.multiplier_ppm[who] if len(published.key) else np.full(n, 1_000_000)
        per_click = np.zeros(2 * n, np.bool_)
        per_click[::2] = self.per_click[who]
        bid = np.empty(2 * n, np.int64)
        bid[::2] = paced(self.full[who], self.per_click[who], share)
        price = self.rng.lognormal(np.log(BID / 2), 1.0, n).astype(np.int64)
        bid[1::2] = np.maximum(1, price) * MILLE
        account = np.full((2 * n, LEVELS), -1, np.int32)
        account[::2, Level.CAMPAIGN] = self.account[who]
        ids = np.tile(np.array([1, 2], np.int32), n)
        return Bids(
            offset=np.arange(n + 1, dtype=np.int32) * 2,
            ad=ids,
            creative=ids,
            advertiser=ids,
            account=account,
            bid_micros=bid,
            per_click=per_click,
            pctr_ppm=np.full((2 * n, 1), CLICK_PPM),
            slots=np.ones(2 * n, np.uint32),
            rejected=np.zeros(2 * n, np.uint8),
        ), Slots(
            offset=np.arange(n + 1, dtype=np.int32),
            floor_micros=np.ones(n, np.int64),
            first_price=np.zeros(n, np.bool_),
            seed=self.rng.integers(0, 2**63, n).astype(np.uint64),
        )

    def _schedule(self, promise: Promise, second: int) -> None:
        """Impressions come within seconds, clicks within minutes; one in a hundred clicks comes
        after its reservation has gone back."""
        rng, fast = self.rng, 3600 / self.scene.hour_s
        if self.per_click[promise.campaign]:
            comes, delay = rng.random() < CLICK_PPM / 1e6, rng.exponential(30.0) / fast
            if rng.random() < 0.01:
                delay += 2 * self.scene.hold_s
        else:
            comes, delay = rng.random() < SHOWN, rng.exponential(2.0) / fast
        if comes:
            self.events[second + 1 + int(delay)].append(promise)
        self.ends[second + self.scene.hold_s].append(promise)

    def _settle(self, second: int) -> None:
        alive = list(self.banks)
        for promise in self.events.pop(second, ()):
            bank = self.banks[alive[int(self.rng.integers(len(alive)))]]
            reserved = 0 if promise.released else promise.reserved
            accounts = (int(self.account[promise.campaign]),)
            sale = Sale(accounts, promise.seller, reserved, promise.charge)
            self.hourly[second // self.scene.hour_s, promise.campaign] += bank.settle(sale, DAY)
            promise.billed = True
        for promise in self.ends.pop(second, ()):
            self._end(promise)

    def _end(self, promise: Promise) -> None:
        accounts = (int(self.account[promise.campaign]),)
        bank = self.banks.get(promise.seller)
        promise.released = not promise.billed
        if bank is None:
            if promise.released:
                heir = next(iter(self.banks.values()))
                heir.release_of(promise.seller, {accounts[0]: promise.reserved}, DAY)
        elif promise.billed:
            bank.drop(accounts, promise.reserved)
        else:
            bank.release(accounts, promise.reserved)

    def kill(self, worker: int, second: int) -> None:
        """Its last second is never told; of its leases the promises stay until their time."""
        del self.banks[worker], self.paces[worker]
        kept: defaultdict[int, int] = defaultdict(int)
        for promises in self.ends.values():
            for promise in promises:
                if promise.seller == worker and not promise.billed:
                    kept[int(self.account[promise.campaign])] += promise.reserved
        keep = {account: kept[account] for account in self.account.tolist()}
        self.books.give_back(worker, keep, DAY)


def figures(scene: Scene) -> Iterator[dict[str, Any]]:
    """What became of the day, per pricing."""
    outcome = Day(scene).run()
    billed, sold = outcome.deviation(outcome.hourly), outcome.deviation(outcome.sold)
    for name, kind in (("cpm", ~outcome.per_click), ("cpc", outcome.per_click)):
        over = outcome.spent[kind] - scene.budget_micros
        yield {
            "bench": "pacing_day",
            "figure": "delivery",
            "shape": scene.shape,
            "workers": scene.workers,
            "killed": scene.killed,
            "pricing": name,
            "seed": scene.seed,
            "hour_s": scene.hour_s,
            "campaigns": int(kind.sum()),
            "delivered_least": round(float(outcome.delivered[kind].min()), 4),
            "delivered_most": round(float(outcome.delivered[kind].max()), 4),
            "overspend_micros": int(max(0, over.max())),
            "deviation_worst": round(float(billed[:, kind].max()), 3),
            "deviation_mean": round(float(billed[:, kind].mean()), 3),
            "sold_deviation_worst": round(float(sold[:, kind].max()), 3),
            "faults": len(outcome.faults),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--hour-s", type=int, default=360, help="clock seconds of an hour")
    parser.add_argument("--campaigns", type=int, default=10, help="per forecast and pricing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="short hours, one campaign of a kind")
    flags = parser.parse_args()
    if flags.quick:
        flags.hour_s, flags.campaigns = 60, 1
    size = {"hour_s": flags.hour_s, "campaigns": flags.campaigns, "seed": flags.seed}
    for shape in ("flat", "double", "spiky", "unlearnt"):
        for workers, killed in ((1, False), (4, False), (4, True)):
            for line in figures(Scene(shape, workers, killed, **size)):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
