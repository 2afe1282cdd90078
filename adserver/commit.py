"""A verdict becomes binding: money set aside, a ticket drawn, URLs signed, a line in the log.

The only stage with side effects. A sale whose campaign has lost its last money to another worker
since the auction is taken back, with that reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.deadline import Clock
from adserver.decision import Decision, Outcome, Sold
from adserver.eventlog import EventLog
from adserver.events import decision_record
from adserver.holds import Hold
from adserver.money import Drawer
from adserver.records import DAY_MS
from adserver.tokens import Signer, Token
from adserver.verdict import Verdict
from auction.columns import LEVELS, Level, Pricing, Rejection


@dataclass(slots=True)
class Till:
    """Where sales are settled with the shared ledger. One per worker."""

    worker: int
    drawer: Drawer
    signer: Signer
    log: EventLog
    hold_ms: int
    clock: Clock

    def remaining(self) -> NDArray[np.int64]:
        """[C] micros left today by campaign id."""
        return self.drawer.ledger.remaining()

    def accounts(self) -> NDArray[np.int64]:
        """[A] micros left today by account; only campaigns have a budget."""
        campaigns = self.remaining()
        micros = np.zeros(len(campaigns) * LEVELS, np.int64)
        micros[Level.CAMPAIGN :: LEVELS] = campaigns
        return micros

    def write_down(self, decision: Decision, now_ms: int) -> None:
        """One line in the log; when it takes no more, the worker declines what comes next."""
        self.log.append(decision_record(decision, now_ms, self.worker))

    def commit(self, verdict: Verdict, now_ms: int, stage_ms: dict[str, float]) -> list[Decision]:
        """The decisions, binding from now on; `now_ms` is wall time."""
        granted = self._reserve(verdict, now_ms).tolist()
        return [
            self._decision(verdict, row, granted, now_ms, stage_ms)
            for row in range(len(verdict.asks))
        ]

    def _reserve(self, verdict: Verdict, now_ms: int) -> NDArray[np.bool_]:
        """[T] which slots are sold and paid for; test requests cost nothing."""
        slate, drawer = verdict.slate, self.drawer
        sold = slate.winner >= 0
        test = np.array([ask.request.test for ask in verdict.asks], np.bool_)
        paid = np.flatnonzero(sold & ~test[verdict.owner])
        campaign = verdict.bids.account[slate.winner[paid], Level.CAMPAIGN] // LEVELS
        with drawer.box.lock():
            drawer.box.turn_to(now_ms // DAY_MS, drawer.ledger)
            granted = drawer.ledger.reserve(campaign, slate.cost_micros[paid])
        sold[paid[~granted]] = False
        return sold

    def _decision(
        self,
        verdict: Verdict,
        row: int,
        granted: list[bool],
        now_ms: int,
        stage_ms: dict[str, float],
    ) -> Decision:
        ask, first = verdict.asks[row], verdict.starts[row]
        name = f"{verdict.numbers[row]:016x}"
        outcomes = tuple(
            self._outcome(verdict, row, at, name, granted[at], now_ms)
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
        )
        self.write_down(decision, now_ms)
        return decision

    def _outcome(
        self, verdict: Verdict, row: int, at: int, decision: str, granted: bool, now_ms: int
    ) -> Outcome:
        slate, request = verdict.slate, verdict.asks[row].request
        plain = int(slate.plain_winner[at])
        reason = Rejection(int(slate.reason[at]))
        slot = at - verdict.starts[row]
        number, sold = 0, None
        if granted:
            number = self.drawer.book.take()
            sold = self._sold(verdict, row, at, decision, number, now_ms)
        return Outcome(
            slot=request.slots[slot],
            sold=sold,
            reason=reason if granted or reason else Rejection.BUDGET,
            runner_up=verdict.runner_up(at),
            number=number,
            plain_advertiser=int(verdict.bids.advertiser[plain]) if plain >= 0 else 0,
            plain_clear_micros=int(slate.plain_clear_micros[at]) if plain >= 0 else 0,
            relaxed=bool(slate.relaxed[at]),
        )

    def _sold(
        self, verdict: Verdict, row: int, at: int, decision: str, number: int, now_ms: int
    ) -> Sold:
        request, slot = verdict.asks[row].request, at - verdict.starts[row]
        creative = verdict.edition.creative(verdict.winners.ad[at])
        per_click, cost = verdict.winners.per_click[at], verdict.cost[at]
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
            reserved_micros=cost,
            pricing=Pricing.CPC if per_click else Pricing.CPM,
            test=request.test,
            landing=creative.landing_url,
            line_item=creative.line_item_id,
            worker=self.worker,
        )
        if not request.test:
            hold = Hold(now_ms + self.hold_ms, number, creative.campaign_id, cost, per_click)
            self.drawer.holds.add(hold)
        return verdict.sold(row, at, creative, self.signer.sign(token))
