"""A verdict becomes binding: money set aside, a ticket drawn, URLs signed, a line in the log.

The only stage with side effects. A sale whose campaign has lost its last money to another worker
since the auction is taken back, with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adserver.batcher import Ask
from adserver.decision import Decision, Funnel, Outcome, RunnerUp, Sold
from adserver.edition import Edition
from adserver.encode import Encoded
from adserver.eventlog import EventLog
from adserver.events import decision_record, sale_token
from adserver.holds import Hold
from adserver.money import Drawer
from adserver.records import DAY_MS
from adserver.request import Explain
from adserver.tokens import Signer
from auction.columns import PPM, Bids, Rejection, Slate, bid_cpm_micros
from retrieval.planner import Plan
from retrieval.query import Candidates


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the stages found for a batch."""

    asks: Sequence[Ask]
    numbers: Sequence[int]
    edition: Edition
    encoded: Encoded
    candidates: Candidates
    bids: Bids
    slate: Slate
    quality: int


@dataclass(slots=True)
class Till:
    """Where sales are settled with the shared ledger. One per worker."""

    worker: int
    drawer: Drawer
    signer: Signer
    log: EventLog
    hold_ms: int

    def remaining(self) -> NDArray[np.int64]:
        """[C] micros left today by campaign id."""
        return self.drawer.ledger.remaining()

    def write_down(self, decision: Decision, now_ms: int) -> None:
        """One line in the log; when it takes no more, the worker declines what comes next."""
        self.log.append(decision_record(decision, now_ms, self.worker))

    def commit(self, verdict: Verdict, now_ms: int, stage_ms: dict[str, float]) -> list[Decision]:
        """The decisions, binding from now on; `now_ms` is wall time."""
        granted = self._reserve(verdict, now_ms)
        return [self._decision(verdict, row, granted, now_ms, stage_ms) for row in _rows(verdict)]

    def _reserve(self, verdict: Verdict, now_ms: int) -> NDArray[np.bool_]:
        """[T] which slots are sold and paid for; test requests cost nothing."""
        slate, slots = verdict.slate, verdict.encoded.slots
        sold = slate.winner >= 0
        test = np.array([ask.request.test for ask in verdict.asks], np.bool_)
        owner = np.repeat(np.arange(len(test)), np.diff(slots.offset))
        paid = np.flatnonzero(sold & ~test[owner])
        campaign = verdict.bids.campaign[slate.winner[paid]]
        drawer = self.drawer
        with drawer.box.lock():
            drawer.box.turn_to(now_ms // DAY_MS, drawer.ledger)
            granted = drawer.ledger.reserve(campaign, slate.cost_micros[paid])
        sold[paid[~granted]] = False
        return sold

    def _decision(
        self,
        verdict: Verdict,
        row: int,
        granted: NDArray[np.bool_],
        now_ms: int,
        stage_ms: dict[str, float],
    ) -> Decision:
        request, offset = verdict.asks[row].request, verdict.encoded.slots.offset
        first = int(offset[row])
        outcomes = tuple(
            self._outcome(verdict, row, number, bool(granted[first + number]))
            for number in range(len(request.slots))
        )
        decision = Decision(
            id=f"{verdict.numbers[row]:016x}",
            request=request,
            outcomes=outcomes,
            quality=verdict.quality,
            snapshot=verdict.edition.version,
            model=verdict.edition.model,
            funnel=_funnel(verdict, row, outcomes),
            stage_ms=stage_ms,
            took_ms=0.0,
        )
        decision = self._signed(decision, now_ms)
        self.write_down(decision, now_ms)
        return decision

    def _outcome(self, verdict: Verdict, row: int, number: int, granted: bool) -> Outcome:
        slate, bids, edition = verdict.slate, verdict.bids, verdict.edition
        at = int(verdict.encoded.slots.offset[row]) + number
        plain = int(slate.plain_winner[at])
        outcome = Outcome(
            slot=verdict.asks[row].request.slots[number],
            sold=None,
            reason=Rejection(int(slate.reason[at])),
            runner_up=_runner_up(slate, bids, edition, at, number),
            plain_advertiser=int(bids.advertiser[plain]) if plain >= 0 else 0,
            plain_clear_micros=int(slate.plain_clear_micros[at]) if plain >= 0 else 0,
            relaxed=bool(slate.relaxed[at]),
        )
        if granted:
            sold = _sold(verdict, row, at, number)
            return replace(outcome, sold=sold, number=self.drawer.book.take())
        return replace(outcome, reason=outcome.reason or Rejection.BUDGET)

    def _signed(self, decision: Decision, now_ms: int) -> Decision:
        outcomes = tuple(
            self._receipt(decision, slot, outcome, now_ms) if outcome.sold else outcome
            for slot, outcome in enumerate(decision.outcomes)
        )
        return replace(decision, outcomes=outcomes)

    def _receipt(self, decision: Decision, slot: int, outcome: Outcome, now_ms: int) -> Outcome:
        sold = outcome.sold
        assert sold is not None
        if not decision.request.test:
            self.drawer.holds.add(
                Hold(
                    now_ms + self.hold_ms,
                    outcome.number,
                    sold.creative.campaign_id,
                    sold.reserved_micros,
                    sold.per_click,
                )
            )
        token = self.signer.sign(sale_token(decision, slot, now_ms))
        return replace(outcome, sold=replace(sold, token=token))


def _rows(verdict: Verdict) -> range:
    return range(len(verdict.asks))


def _sold(verdict: Verdict, row: int, at: int, number: int) -> Sold:
    slate, bids = verdict.slate, verdict.bids
    winner = int(slate.winner[at])
    ppm, per_click = int(bids.pctr_ppm[winner, number]), bool(bids.per_click[winner])
    bid = int(bids.bid_micros[winner])
    return Sold(
        creative=verdict.edition.creative(int(bids.ad[winner])),
        bid_micros=bid,
        per_click=per_click,
        bid_cpm_micros=bid_cpm_micros(bid, per_click, ppm),
        clear_micros=int(slate.clear_micros[at]),
        charge_micros=int(slate.charge_micros[at]),
        pctr=ppm / PPM,
        first_price=bool(verdict.encoded.slots.first_price[row]),
        reserved_micros=int(slate.cost_micros[at]),
    )


def _runner_up(slate: Slate, bids: Bids, edition: Edition, at: int, number: int) -> RunnerUp | None:
    row = int(slate.runner_up[at])
    if row < 0:
        return None
    ppm = int(bids.pctr_ppm[row, number])
    return RunnerUp(
        creative=edition.creative(int(bids.ad[row])),
        bid_cpm_micros=bid_cpm_micros(int(bids.bid_micros[row]), bool(bids.per_click[row]), ppm),
        pctr=ppm / PPM,
        reason=Rejection(int(slate.rejected[row])),
    )


def _funnel(verdict: Verdict, row: int, outcomes: Sequence[Outcome]) -> Funnel:
    candidates, edition = verdict.candidates, verdict.edition
    first, last = int(candidates.offset[row]), int(candidates.offset[row + 1])
    unscored = np.count_nonzero(verdict.bids.rejected[first:last])
    funnel = Funnel(
        catalogue=len(edition.snapshot.ads),
        eligible=int(candidates.eligible[row]),
        retrieved=last - first,
        scored=last - first - int(unscored),
        plan=Plan(int(candidates.plan[row])).name.lower(),
    )
    asked = verdict.asks[row].request.explain is Explain.SUMMARY
    if asked or any(outcome.sold is None for outcome in outcomes):
        return replace(funnel, rejected=_reasons(verdict, row, funnel))
    return funnel


def _reasons(verdict: Verdict, row: int, funnel: Funnel) -> dict[str, int]:
    """Every ad of the catalogue that was not sold, by its one reason."""
    candidates, edition = verdict.candidates, verdict.edition
    first, last = int(candidates.offset[row]), int(candidates.offset[row + 1])
    counts = dict(edition.retriever.funnel(verdict.encoded.queries[row], edition.overlay.live))
    codes, ads = np.unique(verdict.slate.rejected[first:last], return_counts=True)
    for code, count in zip(codes.tolist(), ads.tolist(), strict=True):
        counts[code] = counts.get(code, 0) + count
    counts[Rejection.SIMILARITY] = funnel.eligible - funnel.retrieved
    counts.pop(Rejection.WON, None)
    return {Rejection(code).name: count for code, count in sorted(counts.items()) if count}
