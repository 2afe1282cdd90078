"""Plays a day of paced campaigns second by second: the real auction, books, leases and pacing.

Stands in for the server: who asks which worker, which events come when, and who dies.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
from bench.paced.scene import BID, FORECASTS, SHOWN, Outcome, Scene

I64 = NDArray[np.int64]

DAY = 0
SETTINGS = AuctionSettings()


@dataclass(slots=True)
class Promise:
    """A sale until its event has come or its time is up."""

    campaign: int
    seller: int
    reserved: int
    charge: int
    billed: bool = False
    released: bool = False


class Day:
    """The state of one simulated day; `run` plays it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.rng = scene, np.random.default_rng(scene.seed)
        kinds = len(FORECASTS) * 2
        self.campaigns = kinds * scene.campaigns
        self.number = np.arange(1, self.campaigns + 1)
        self.per_click = np.arange(self.campaigns) % 2 == 1
        self.full = np.where(self.per_click, scene.click_micros, BID * MILLE)
        forecast = np.array(FORECASTS)[np.arange(self.campaigns) // 2 % len(FORECASTS)]
        self.rate = scene.requests_per_s() * forecast
        self.burst = scene.bursts(self.rng, self.campaigns)
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
        self.billed = np.zeros(self.campaigns, np.int64)

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
            sold=self.sold.astype(np.float64) * np.where(self.per_click, 1.0, SHOWN),
            events=self.billed,
            plan=plan / plan.sum() * scene.budget_micros,
            scene=scene,
            per_click=self.per_click,
            faults=[
                *self.books.check(),
                *(f for b in self.banks.values() for f in b.ledger.check()),
            ],
        )

    def _beat(self, second: int) -> None:
        """In any order, so that what the leader does not know yet is a second old or less."""
        for worker in self.rng.permutation(list(self.paces)).tolist():
            bank, pace = self.banks[worker], self.paces[worker]
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
            pctr_ppm=np.full((2 * n, 1), self.scene.click_ppm),
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
            comes, delay = rng.random() < self.scene.click_ppm / 1e6, rng.exponential(30.0) / fast
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
            self.billed[promise.campaign] += 1
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
