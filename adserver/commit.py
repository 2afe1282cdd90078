"""A verdict becomes binding: money set aside, a ticket drawn, URLs signed, a line in the log.

The only stage with side effects. A sale that lost its campaign's last money, its person's last
place under a cap or its place on the page to another worker since the auction is taken back, with
that reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.deadline import Clock
from adserver.decision import Decision, Outcome, Sold
from adserver.eventlog import EventLog
from adserver.events import decision_record
from adserver.history import Histories, Sales
from adserver.holds import BILLABLE, Hold
from adserver.money import Drawer
from adserver.records import DAY_MS
from adserver.releases.collecting import Collector
from adserver.state.store import StoreFailed
from adserver.tokens import Signer, Token
from adserver.verdict import Verdict
from auction.columns import LEVELS, Rejection
from ranking.scorer import FALLBACK


@dataclass(frozen=True, slots=True)
class Standing:
    """[T] of each slot: the ticket of the sale that stands, 0 for none, and why one does not."""

    number: list[int]
    reason: list[int]
    """Rejection of a sale that the auction made and somebody else was faster; else 0."""
    payers: list[list[int]]
    """The limited accounts that its reservation is in; -1 where a level has none."""


@dataclass(slots=True)
class Till:
    """Where sales are settled with the shared ledger. One per worker."""

    worker: int
    drawer: Drawer
    signer: Signer
    log: EventLog
    hold_ms: int
    clock: Clock
    histories: Histories
    trial: Collector | None = None
    """Who counts for the release of models, if anybody does."""

    def remaining(self) -> NDArray[np.int64]:
        """[A] micros that each account has left; the ledger's own array."""
        return self.drawer.remaining

    @contextmanager
    def money(self) -> Iterator[NDArray[np.int64]]:
        """The same, while nobody else changes it."""
        with self.drawer.bank.steady():
            yield self.drawer.remaining

    def write_down(self, decision: Decision, now_ms: int) -> None:
        """One line in the log; when it takes no more, the worker declines what comes next."""
        self.log.append(decision_record(decision, now_ms, self.worker))

    def commit(self, verdict: Verdict, now_ms: int, stage_ms: dict[str, float]) -> list[Decision]:
        """The decisions, binding from now on; `now_ms` is wall time."""
        standing = self._stand(verdict, now_ms)
        return [
            self._decision(verdict, row, standing, now_ms, stage_ms)
            for row in range(len(verdict.asks))
        ]

    def _stand(self, verdict: Verdict, now_ms: int) -> Standing:
        """Which sales stand: test requests cost nothing and leave no trace."""
        winner = verdict.slate.winner
        reason = np.zeros(len(winner), np.uint8)
        counts = (winner >= 0) & ~verdict.test[verdict.owner]
        paid = np.flatnonzero(counts)
        granted, limited = self.drawer.bank.reserve(
            self._accounts(verdict, paid), verdict.expected[paid], now_ms // DAY_MS
        )
        reason[paid[~granted]] = Rejection.BUDGET
        parted = parted_of(verdict.owner[paid], verdict.package[paid], granted)
        reason[paid[parted]] = Rejection.ROADBLOCK
        number = np.zeros(len(winner), np.uint64)
        sold = np.flatnonzero((winner >= 0) & (reason == 0))
        number[sold] = [self.drawer.book.take() for _ in range(len(sold))]

        kept = paid[granted & ~parted]
        sales = Sales(
            verdict.owner[kept].astype(np.int32),
            verdict.row[kept],
            number[kept],
            verdict.package[kept],
        )
        payers = np.full((len(winner), LEVELS), -1, np.int64)
        payers[paid] = limited
        try:
            lost = self.histories.reserve(verdict.seen, sales, now_ms)
        except StoreFailed:  # nothing of this batch is sold
            self._give_back(verdict, paid[granted], payers)
            raise
        reason[kept] = lost
        self._give_back(verdict, np.concatenate([kept[lost != 0], paid[parted]]), payers)
        return Standing(np.where(reason == 0, number, 0).tolist(), reason.tolist(), payers.tolist())

    def _accounts(self, verdict: Verdict, slots: NDArray[np.intp]) -> NDArray[np.int32]:
        account: NDArray[np.int32] = verdict.bids.account[verdict.slate.winner[slots]]
        return account

    def _give_back(
        self, verdict: Verdict, slots: NDArray[np.intp], payers: NDArray[np.int64]
    ) -> None:
        for at in slots.tolist():
            self.drawer.bank.release(_limited(payers[at].tolist()), verdict.cost[at])

    def _decision(
        self,
        verdict: Verdict,
        row: int,
        standing: Standing,
        now_ms: int,
        stage_ms: dict[str, float],
    ) -> Decision:
        ask, first = verdict.asks[row], verdict.starts[row]
        name = f"{verdict.numbers[row]:016x}"
        outcomes = tuple(
            self._outcome(verdict, row, at, name, standing, now_ms)
            for at in range(first, verdict.starts[row + 1])
        )
        decision = Decision(
            id=name,
            request=ask.request,
            outcomes=outcomes,
            quality=verdict.quality,
            snapshot=verdict.edition.version,
            model=verdict.edition.model,
            funnel=verdict.funnel(row, outcomes),
            stage_ms=stage_ms,
            took_ms=(self.clock() - ask.arrived) * 1000,
            arm=verdict.arm.name,
        )
        self.write_down(decision, now_ms)
        return decision

    def _outcome(
        self, verdict: Verdict, row: int, at: int, decision: str, standing: Standing, now_ms: int
    ) -> Outcome:
        slate, request = verdict.slate, verdict.asks[row].request
        plain = int(slate.plain_winner[at])
        reason = Rejection(int(slate.reason[at]))
        slot = at - verdict.starts[row]
        number, sold = standing.number[at], None
        if number:
            sold = self._sold(verdict, row, at, decision, number, now_ms)
            if not request.test:
                self._hold(verdict, at, number, standing.payers[at], now_ms)
        return Outcome(
            slot=request.slots[slot],
            sold=sold,
            reason=reason or Rejection(standing.reason[at]),
            runner_up=verdict.runner_up(at),
            number=number,
            plain_ad=verdict.ad_id(plain) if plain >= 0 else 0,
            plain_advertiser=int(verdict.bids.advertiser[plain]) if plain >= 0 else 0,
            plain_clear_micros=int(slate.plain_clear_micros[at]) if plain >= 0 else 0,
            relaxed=bool(slate.relaxed[at]),
        )

    def _sold(
        self, verdict: Verdict, row: int, at: int, decision: str, number: int, now_ms: int
    ) -> Sold:
        request, slot = verdict.asks[row].request, at - verdict.starts[row]
        answerable = self.trial is not None and verdict.quality < FALLBACK
        creative = verdict.edition.creative(verdict.winners.ad[at])
        token = Token(
            decision=decision,
            slot=slot,
            number=number,
            ad=creative.ad_id,
            creative=creative.creative_id,
            campaign=creative.campaign_id,
            advertiser=creative.advertiser_id,
            placement=request.slots[slot].placement,
            issued_ms=now_ms,
            charge_micros=verdict.charge[at],
            clear_micros=verdict.clear[at],
            reserved_micros=verdict.cost[at],
            pricing=verdict.pricing[at],
            test=request.test,
            landing=creative.landing_url,
            line_item=creative.line_item_id,
            deal=verdict.deal[at],
            identity=0 if request.test else self.histories.identity(verdict.seen, row, number),
            worker=self.worker,
            topic=int(verdict.edition.table.topic[verdict.winners.ad[at]]),
            model=verdict.edition.bundle.version if answerable else 0,
            phase=verdict.arm.phase,
            pctr_ppm=verdict.winners.pctr_ppm[at],
        )
        return verdict.sold(row, at, creative, self.signer.sign(token))

    def _hold(self, verdict: Verdict, at: int, number: int, payers: list[int], now_ms: int) -> None:
        due, billable = now_ms + self.hold_ms, BILLABLE[verdict.pricing[at]]
        hold = Hold(due, number, _limited(payers), verdict.cost[at], billable, self.worker)
        self.drawer.holds.add(hold)


def _limited(payers: list[int]) -> tuple[int, ...]:
    return tuple(account for account in payers if account >= 0)


def parted_of(
    owner: NDArray[np.int64], package: NDArray[np.int32], granted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Sales that were paid for, of packages of which another part was not."""
    packaged = package > 0
    if not packaged.any():
        return packaged
    which = owner * 2**32 + package
    parted: NDArray[np.bool_] = granted & packaged & np.isin(which, which[packaged & ~granted])
    return parted
