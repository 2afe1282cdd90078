"""One campaign against the market of a bid log, through the auction and the pacer that serve.

The campaign values a click at a fixed sum and bids `value × click rate` for each impression, times
what its pacing leaves of it; the market bids the price that was paid. Won is what `run_auction`
sells to it. Time is counted in auctions: the pacer knows the length of the log and nothing else.
Knows offers as columns; no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, PPM, Bids, Level, Slots, account_of
from auction.mechanism import run_auction
from auction.pacing import Goal, Mode, Pacer, PacingSettings, Plans, paced
from auction.settings import AuctionSettings
from auction.traffic import Curve
from feedback.replay.bidlog import Offers

TICK = 64
"""Auctions between two looks at the plan."""
PER_SECOND = 50
"""Auctions of one second of the pacer's clock."""
CHECKPOINTS = 200
EXACT = AuctionSettings(increment_micros=0, minimum_floor_micros=1)
"""The price is what the market paid, as the log has it."""
US, MARKET = 1, 2
ENDLESS = 2**62


class Pacing(StrEnum):
    NONE = "none"  # full bids until the money is gone
    THROTTLE = "throttle"  # full bids in some auctions, drawn at random
    DUAL = "dual"  # part of the bid in all auctions: what serves


@dataclass(frozen=True, slots=True)
class Worth:
    """What the campaign is there for."""

    click_micros: int
    usual_ppm: int
    """Click rate where the log has none."""

    def cpm_micros(self, pctr_ppm: NDArray[np.int64]) -> NDArray[np.int64]:
        """True value per thousand impressions, down to a whole micro per impression."""
        rate = np.where(pctr_ppm > 0, pctr_ppm, self.usual_ppm)
        return self.click_micros * rate // MILLE // MILLE * MILLE


@dataclass(slots=True)
class Result:
    """What the campaign got."""

    name: str
    budget_micros: int
    offered: int = 0
    won: int = 0
    clicks: int = 0
    spent_micros: int = 0
    value_micros: int = 0
    """True value of what was won."""
    ended_at: float | None = None
    """Share of the log at which the money was gone."""
    track: list[float] = field(default_factory=list)
    """Share of the budget that was spent at each checkpoint."""

    @property
    def surplus_micros(self) -> int:
        return self.value_micros - self.spent_micros

    @property
    def deviation(self) -> float:
        """Mean distance of what was spent from an even plan, as a share of the budget."""
        plan = np.arange(1, len(self.track) + 1) / max(1, len(self.track))
        return float(np.abs(np.array(self.track) - plan).mean()) if self.track else 0.0


class Hold(Protocol):
    """How a campaign holds back."""

    def bid(self, full_micros: NDArray[np.int64]) -> NDArray[np.int64]:
        """What is offered of these full bids; 0: nothing."""

    def spent(self, seen: int, total_micros: int) -> None:
        """So much has been spent after `seen` auctions."""


class AllIn:
    def bid(self, full_micros: NDArray[np.int64]) -> NDArray[np.int64]:
        return full_micros

    def spent(self, seen: int, total_micros: int) -> None:
        """It does not matter."""


class Throttle:
    """Enters a share of the auctions: a tenth more when behind the plan, a tenth less when ahead.

    Agarwal, Ghosh, Wei, You, "Budget Pacing for Targeted Online Advertisements" (2014). Kept for
    comparison.
    """

    def __init__(self, budget_micros: int, auctions: int, rng: np.random.Generator) -> None:
        self._per_auction, self._rng = budget_micros / max(1, auctions), rng
        self._share, self._before = 0.1, 0

    def bid(self, full_micros: NDArray[np.int64]) -> NDArray[np.int64]:
        enters = self._rng.random(len(full_micros)) < self._share
        return np.where(enters, full_micros, 0)

    def spent(self, seen: int, total_micros: int) -> None:
        lately, self._before = total_micros - self._before, total_micros
        factor = 1.1 if lately < self._per_auction * TICK else 0.9
        self._share = min(1.0, max(0.001, self._share * factor))


class Dual:
    """`auction.pacing.Pacer` with one plan."""

    def __init__(self, budget_micros: int, auctions: int, price_micros: float) -> None:
        one = np.ones(1, np.int64)
        self._pacer = Pacer(PacingSettings(), Curve.flat())
        self._pacer.follow(
            Plans(
                key=one,
                kind=np.array([Goal.SPEND], np.uint8),
                amount=one * budget_micros,
                unit=np.array([max(1.0, price_micros)]),
                mode=np.array([Mode.EVEN], np.uint8),
                period=0 * one,
                start_s=np.zeros(1),
                end_s=np.array([max(1, auctions) / PER_SECOND]),
            )
        )
        self._pacer.tick(0.0, 0 * one)

    def bid(self, full_micros: NDArray[np.int64]) -> NDArray[np.int64]:
        share = np.full(len(full_micros), self._pacer.multiplier_ppm()[0])
        return paced(full_micros, np.zeros(len(full_micros), np.bool_), share)

    def spent(self, seen: int, total_micros: int) -> None:
        self._pacer.tick(seen / PER_SECOND, np.array([total_micros]))


class Trial:
    """One way to bid through a log; `step` takes the offers in their order."""

    def __init__(self, result: Result, hold: Hold, auctions: int, worth: Worth, first: bool):
        self.result, self._hold, self._worth, self._first = result, hold, worth, first
        self._left = np.full(LEVELS * (MARKET + 1), ENDLESS, np.int64)
        self._account = account_of(Level.CAMPAIGN, US)
        self._left[self._account] = result.budget_micros
        self._auctions = auctions

    def step(self, offers: Offers) -> None:
        """Bid for these offers, then look at the plan."""
        result, full = self.result, self._worth.cpm_micros(offers.pctr_ppm)
        bid = self._hold.bid(full)
        bids, slots = columns(bid, offers.market_micros, result.offered, self._first)
        slate = run_auction(bids, slots, None, self._left, EXACT)
        sold = np.flatnonzero(slate.winner >= 0)
        ours = sold[slate.winner[sold] % 2 == 0]
        cost = int(slate.cost_micros[ours].sum())
        self._left[self._account] -= cost
        result.offered += len(offers)
        result.won += len(ours)
        result.clicks += int(offers.click[ours].sum())
        result.spent_micros += cost
        result.value_micros += int((full[ours] // MILLE).sum())
        self._hold.spent(result.offered, result.spent_micros)
        self._mark(int((bid // MILLE).max(initial=0)))

    def _mark(self, dearest: int) -> None:
        result = self.result
        while (len(result.track) + 1) * self._auctions <= result.offered * CHECKPOINTS:
            result.track.append(result.spent_micros / max(1, result.budget_micros))
        if result.ended_at is None and self._left[self._account] < dearest:
            result.ended_at = result.offered / max(1, self._auctions)


def columns(
    bid: NDArray[np.int64], market: NDArray[np.int64], first_seed: int, first_price: bool
) -> tuple[Bids, Slots]:
    """One page of one slot per offer, whose rows are the campaign and the market."""
    n = len(bid)
    who = np.tile(np.array([US, MARKET], np.int32), n)
    account = np.full((2 * n, LEVELS), -1, np.int32)
    account[:, Level.CAMPAIGN] = account_of(Level.CAMPAIGN, 1) + (who - 1) * LEVELS
    offered = np.stack([bid, market], axis=1).ravel()
    return Bids(
        offset=np.arange(n + 1, dtype=np.int32) * 2,
        ad=who,
        creative=who,
        advertiser=who,
        account=account,
        bid_micros=offered,
        per_click=np.zeros(2 * n, np.bool_),
        pctr_ppm=np.ones((2 * n, 1), np.int64),
        slots=np.ones(2 * n, np.uint32),
        rejected=np.zeros(2 * n, np.uint8),
    ), Slots(
        offset=np.arange(n + 1, dtype=np.int32),
        floor_micros=np.ones(n, np.int64),
        first_price=np.full(n, first_price),
        seed=np.arange(first_seed, first_seed + n).astype(np.uint64),
    )


def in_ticks(chunks: Iterable[Offers]) -> Iterator[Offers]:
    """The same offers, `TICK` at a time (fewer at the end of a chunk)."""
    for one in chunks:
        for low in range(0, len(one), TICK):
            part = slice(low, low + TICK)
            yield Offers(one.click[part], one.market_micros[part], one.pctr_ppm[part])


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first pass over a log finds."""

    offers: int
    clicks: int
    market_micros: int
    """Price of all impressions together, per impression."""
    predicted_ppm: int
    """Sum of the predictions."""
    predicted: int

    @property
    def usual_ppm(self) -> int:
        """Mean prediction; without any, the click rate; without clicks, a thousandth."""
        if self.predicted:
            return max(1, self.predicted_ppm // self.predicted)
        return max(1, self.clicks * PPM // self.offers) if self.clicks else MILLE


def survey(chunks: Iterable[Offers]) -> Survey:
    found = [0, 0, 0, 0, 0]
    for one in chunks:
        found[0] += len(one)
        found[1] += int(one.click.sum())
        found[2] += int((one.market_micros // MILLE).sum())
        found[3] += int(one.pctr_ppm.sum())
        found[4] += int((one.pctr_ppm > 0).sum())
    return Survey(*found)


def unlimited(chunks: Iterable[Offers], offers: int, worth: Worth, first_price: bool) -> Result:
    """What the campaign would get with money without end."""
    trial = Trial(Result("unlimited", ENDLESS), AllIn(), offers, worth, first_price)
    for part in in_ticks(chunks):
        trial.step(part)
    return trial.result


def compare(chunks: Iterable[Offers], trials: Sequence[Trial]) -> list[Result]:
    """Every trial over the same offers, in one pass."""
    for part in in_ticks(chunks):
        for trial in trials:
            trial.step(part)
    return [trial.result for trial in trials]


def trial_of(
    pacing: Pacing, budget_micros: int, free: Result, worth: Worth, first_price: bool
) -> Trial:
    """A way to spend `budget_micros` on the log that `free` was measured on."""
    auctions = free.offered
    hold: Hold = AllIn()
    if pacing is Pacing.THROTTLE:
        hold = Throttle(budget_micros, auctions, np.random.default_rng(1))
    elif pacing is Pacing.DUAL:
        hold = Dual(budget_micros, auctions, free.spent_micros / max(1, free.won))
    return Trial(Result(pacing.value, budget_micros), hold, auctions, worth, first_price)
