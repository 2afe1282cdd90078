"""What the stages found for a batch, read slot by slot.

Columns become plain Python values here, once per batch: reading numpy numbers one by one would
cost more than pricing them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adserver.arms import DECIDES, Arm
from adserver.batcher import Ask
from adserver.decision import Creative, Funnel, Outcome, RunnerUp, Sold
from adserver.edition import Edition
from adserver.encode import Encoded
from adserver.request import Explain
from adserver.seen import Seen
from auction.charges import event_charge, to_reserve
from auction.columns import (
    LEVELS,
    PPM,
    STANDARD_TIER,
    Bids,
    Level,
    Pricing,
    Rejection,
    Slate,
    bid_cpm_micros,
)
from retrieval.planner import Plan
from retrieval.query import Candidates


@dataclass(frozen=True, slots=True)
class Bidders:
    """Of each slot [T] one bidder: the winner, or who came next; `row` is -1 where nobody did."""

    row: list[int]
    ad: list[int]
    bid_micros: list[int]
    full_bid_micros: list[int]
    """Before pacing."""
    per_click: list[bool]
    pctr_ppm: list[int]

    @classmethod
    def of(cls, bids: Bids, row: NDArray[np.int32], number: NDArray[np.int64]) -> Bidders:
        """`number` [T] is each slot's place within its request."""
        if not len(bids.ad):
            return cls([-1] * len(row), [], [], [], [], [])
        full = bids.bid_micros if bids.full_bid_micros is None else bids.full_bid_micros
        known = np.maximum(row, 0)
        return cls(
            row.tolist(),
            bids.ad[known].tolist(),
            bids.bid_micros[known].tolist(),
            full[known].tolist(),
            bids.per_click[known].tolist(),
            bids.pctr_ppm[known, number].tolist(),
        )

    def cpm_micros(self, at: int) -> int:
        """The bid on the common scale."""
        return bid_cpm_micros(self.bid_micros[at], self.per_click[at], self.pctr_ppm[at])


@dataclass(frozen=True)
class Verdict:
    """The stages' columns; B requests, T slots."""

    asks: Sequence[Ask]
    numbers: Sequence[int]
    edition: Edition
    encoded: Encoded
    candidates: Candidates
    bids: Bids
    slate: Slate
    quality: int
    seen: Seen
    contracts: Collection[int] = ()
    """Tiers in which a winner pays its own bid."""
    arm: Arm = DECIDES

    @cached_property
    def starts(self) -> list[int]:
        """[B + 1] where each request's slots begin."""
        starts: list[int] = self.encoded.slots.offset.tolist()
        return starts

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """[T] the request of each slot."""
        return np.repeat(np.arange(len(self.asks)), np.diff(self.encoded.slots.offset))

    @cached_property
    def test(self) -> NDArray[np.bool_]:
        """[B] nobody will be shown this."""
        return np.array([ask.request.test for ask in self.asks], np.bool_)

    @cached_property
    def row(self) -> NDArray[np.int32]:
        """[T] row in the snapshot of the ad that won each slot; meaningless where unsold."""
        ad = self.bids.ad
        return ad[np.maximum(self.slate.winner, 0)] if len(ad) else self.slate.winner

    @cached_property
    def winners(self) -> Bidders:
        return Bidders.of(self.bids, self.slate.winner, self.place)

    @cached_property
    def runners_up(self) -> Bidders:
        return Bidders.of(self.bids, self.slate.runner_up, self.place)

    @cached_property
    def tier(self) -> list[int]:
        """[T] of each winner; meaningless where unsold."""
        tier = self.bids.tier
        if tier is None or not len(tier):
            return [STANDARD_TIER] * len(self.slate.winner)
        tiers: list[int] = tier[np.maximum(self.slate.winner, 0)].tolist()
        return tiers

    @cached_property
    def fixed_price(self) -> list[bool]:
        """[T] whether each winner pays the floor of its deal; meaningless where unsold."""
        fixed = self.bids.fixed_price
        if fixed is None or not len(fixed):
            return [False] * len(self.slate.winner)
        told: list[bool] = fixed[np.maximum(self.slate.winner, 0)].tolist()
        return told

    @cached_property
    def clear(self) -> list[int]:
        clear: list[int] = self.slate.clear_micros.tolist()
        return clear

    @cached_property
    def pricing(self) -> list[Pricing]:
        """[T] what each winner pays for; meaningless where unsold."""
        return [Pricing(code) for code in self._pricing.tolist()]

    @cached_property
    def deal(self) -> list[int]:
        """[T] id of the deal that each slot was sold under, 0 for the open auction."""
        if not len(self.bids.ad):
            return [0] * len(self.slate.winner)
        account = self.bids.account[np.maximum(self.slate.winner, 0), Level.DEAL]
        deal: list[int] = np.where(account >= 0, account // LEVELS, 0).tolist()
        return deal

    @cached_property
    def charge(self) -> list[int]:
        """[T] price of one billable event: an impression, viewable, click or conversion."""
        slate, item = self.slate, self._line_item
        overlay = self.edition.overlay
        most, rate = overlay.event_cost[item], overlay.event_rate[item]
        charge: list[int] = event_charge(self._pricing, slate.charge_micros, most, rate).tolist()
        return charge

    @cached_property
    def package(self) -> NDArray[np.int32]:
        """[T] package of the row that won each slot; 0 where it has none."""
        package, winner = self.bids.package, self.slate.winner
        if package is None or not len(package):
            return np.zeros(len(winner), np.int32)
        return np.where(winner >= 0, package[winner], 0).astype(np.int32)

    @cached_property
    def expected(self) -> NDArray[np.int64]:
        """[T] what the ledger is to set aside."""
        return to_reserve(self._pricing, self.slate.cost_micros)

    @cached_property
    def cost(self) -> list[int]:
        cost: list[int] = self.expected.tolist()
        return cost

    @cached_property
    def _line_item(self) -> NDArray[np.int32]:
        """[T] row of the winner's line item."""
        owner: NDArray[np.int32] = self.edition.snapshot.ads.line_item[self.row]
        return owner

    @cached_property
    def _pricing(self) -> NDArray[np.uint8]:
        pricing: NDArray[np.uint8] = self.edition.overlay.items.pricing[self._line_item]
        return pricing

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """[T] each slot's place within its request."""
        return np.arange(len(self.owner)) - self.encoded.slots.offset[self.owner]

    def sold(self, row: int, at: int, creative: Creative, token: str) -> Sold:
        """The winner of slot `at`, of request `row`."""
        winners = self.winners
        return Sold(
            creative=creative,
            bid_micros=winners.bid_micros[at],
            per_click=winners.per_click[at],
            bid_cpm_micros=winners.cpm_micros(at),
            clear_micros=self.clear[at],
            charge_micros=self.charge[at],
            pctr=winners.pctr_ppm[at] / PPM,
            first_price=self.asks[row].request.first_price,
            token=token,
            reserved_micros=self.cost[at],
            pricing=self.pricing[at],
            deal=self.deal[at],
            deal_key=self.edition.overlay.market.deal_key(self.deal[at]),
            tier=self.tier[at],
            full_bid_micros=winners.full_bid_micros[at],
            contract=self.tier[at] in self.contracts,
            fixed_price=self.fixed_price[at],
        )

    def ad_id(self, row: int) -> int:
        """Catalogue id of the ad of one bid."""
        return int(self.edition.snapshot.ads.ad_id[self.bids.ad[row]])

    def runner_up(self, at: int) -> RunnerUp | None:
        others = self.runners_up
        if others.row[at] < 0:
            return None
        return RunnerUp(
            creative=self.edition.creative(others.ad[at]),
            bid_cpm_micros=others.cpm_micros(at),
            pctr=others.pctr_ppm[at] / PPM,
            reason=Rejection(int(self.slate.rejected[others.row[at]])),
        )

    def funnel(self, row: int, outcomes: Sequence[Outcome]) -> Funnel:
        """How many ads were left after each step; why they were not, if somebody wants to know."""
        candidates = self.candidates
        part = slice(candidates.offset[row], candidates.offset[row + 1])
        retrieved = int(part.stop - part.start)
        asked = self.asks[row].request.explain is Explain.SUMMARY
        tell = asked or any(outcome.sold is None for outcome in outcomes)
        eligible = int(candidates.eligible[row])
        return Funnel(
            catalogue=len(self.edition.snapshot.ads),
            eligible=eligible,
            retrieved=retrieved,
            scored=retrieved - int(np.count_nonzero(self.bids.rejected[part])),
            plan=Plan(int(candidates.plan[row])).name.lower(),
            rejected=self._reasons(row, part, eligible - retrieved, outcomes) if tell else {},
        )

    def _reasons(
        self, row: int, part: slice, passed_over: int, outcomes: Sequence[Outcome]
    ) -> dict[str, int]:
        """Every ad of the catalogue that was not sold, by its one reason."""
        edition = self.edition
        counts = dict(edition.retriever.funnel(self.encoded.queries[row], edition.overlay.live))
        codes, ads = np.unique(self.slate.rejected[part], return_counts=True)
        for code, count in zip(codes.tolist(), ads.tolist(), strict=True):
            counts[code] = counts.get(code, 0) + count
        for at, outcome in enumerate(outcomes, self.starts[row]):
            if outcome.sold is None and self.slate.winner[at] >= 0:  # taken back at the till
                counts[outcome.reason] = counts.get(outcome.reason, 0) + 1
        counts[Rejection.SIMILARITY] = passed_over
        counts.pop(Rejection.WON, None)
        return {Rejection(code).name: count for code, count in sorted(counts.items()) if count}
