"""The life of a batch of ad requests, from targeting to price.

This module decides the order of the stages and what happens when one is late. It knows nothing
of HTTP, of how ads are indexed, or of how a click is predicted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from adserver.arms import Observer
from adserver.auctions.record import Scarce
from adserver.auctions.recorder import Recorder
from adserver.batcher import EWMA, Ask
from adserver.columns import bids_of, counted_of, gate, odds_of, pairs_of, within_terms
from adserver.commit import Till
from adserver.deadline import Clock, Deadline
from adserver.decision import Decision
from adserver.edition import Edition
from adserver.encode import Asked, encode
from adserver.exploring import exploring
from adserver.features.keeper import Features
from adserver.features.shown import Shown, rows_of, shown_of
from adserver.history import Histories
from adserver.metrics import observe, observe_stages
from adserver.offers import FULL_BIDS, Offers, offered
from adserver.prices import Prices
from adserver.settings import Settings
from adserver.shares import in_scopes
from adserver.trace import Numbers, Trace
from adserver.verdict import Verdict
from auction.fairness import Exposure
from auction.mechanism import run_auction
from ranking.scorer import FULL, TRUNCATED
from ranking.tiers import Ranks


@dataclass(slots=True)
class Pipeline:
    """Decides batches on the current edition. One per worker; not shared between threads."""

    edition: Edition
    ranks: Ranks
    till: Till
    histories: Histories
    features: Features
    exposure: Exposure
    recorder: Recorder
    numbers: Numbers
    settings: Settings
    prices: Prices
    clock: Clock
    wall: Clock
    offers: Offers = FULL_BIDS
    """What pacing leaves of the bids; replaced once a second."""
    observer: Observer | None = None
    """Who counts for the release of models, if anybody does."""
    seconds_per_row: float = 0.0

    async def decide(self, asks: Sequence[Ask]) -> list[Decision]:
        """Choose and price an ad for each slot; always answers, possibly with none."""
        edition, now = self.edition, self.wall()
        now_ms = int(now * 1000)
        trace = Trace(self.clock)
        requests = [ask.request for ask in asks]
        deadline = min((ask.deadline for ask in asks), key=lambda d: d.at)
        deadline = deadline.reserving(self.settings.reserve_ms / 1000)
        numbers = self.numbers.take(len(requests))
        most = self._affordable(len(requests), deadline)

        with trace.stage("encode"):
            callers = self.histories.identities.of(requests)
            asked = Asked(requests, numbers, self.features.look(callers, now_ms))
            encoded = encode(asked, edition, now, self.settings.seed)
            encoded = in_scopes(encoded, requests, self.exposure)
            encoded = exploring(encoded, requests, self.settings.exploration)
        with trace.stage("retrieve"):
            candidates = edition.retriever.retrieve(encoded.queries, edition.overlay.live, most)
        with trace.stage("gate"):
            seen = self.histories.look_for(callers, edition.shelf, now_ms)
            rejected = gate(requests, candidates, edition, self.till.remaining(), seen)
            rejected = within_terms(rejected, candidates, encoded, edition)
        with trace.stage("rank"):
            pairs = pairs_of(candidates, encoded, edition)
            scores = await self.ranks.score(pairs, encoded.features, edition, deadline.remaining())
            counted = counted_of(candidates, encoded, edition, self.features.counters.board)
            odds = odds_of(scores, counted, encoded.slot_bias, edition.bundle)
        with trace.stage("auction"):
            bids = seen.discounted(bids_of(candidates, odds, rejected, encoded, edition))
            bids = offered(self.prices.weighed(bids, edition), edition, self.offers)
            # What nobody is shown must not count as somebody's exposure.
            exposure = None if all(request.test for request in requests) else self.exposure
            with self.till.money() as money:  # another batch may have sold meanwhile
                slate = run_auction(bids, encoded.slots, exposure, money, self.prices.settings)
                budgets = self.recorder.budgets(numbers, bids, encoded.slots, slate, money)
        quality = max(scores.quality, TRUNCATED if most < self.settings.candidates else FULL)
        verdict = Verdict(
            *(asks, numbers, edition, encoded, candidates, bids, slate, quality, seen),
            contracts=self.prices.contracts,
        )
        shown = shown_of(verdict, counted, odds)  # as of now: what is counted changes
        with trace.stage("commit"):
            decisions = self.till.commit(verdict, now_ms, trace.milliseconds())
        # Two turns of the loop later: when the answers have been sent.
        turn = asyncio.get_running_loop().call_soon
        turn(turn, self._record, verdict, decisions, now_ms, budgets, shown)
        if self.observer:
            self.observer.decided(verdict, decisions, trace.total)

        self._learn_cost(trace, len(candidates.ad))
        observe(trace, verdict)
        return decisions

    def _record(
        self,
        verdict: Verdict,
        decisions: list[Decision],
        now_ms: int,
        budgets: dict[int, Scarce],
        shown: Shown,
    ) -> None:
        trace = Trace(self.clock)
        with trace.stage("record"):
            self.recorder.write(verdict, decisions, now_ms, budgets)
            self.features.log.put(rows_of(verdict, shown, decisions, now_ms))
        observe_stages(trace)

    def _learn_cost(self, trace: Trace, rows: int) -> None:
        """A running mean of what a candidate row costs, waiting for the scorer included."""
        spent = trace.total / max(rows, self.settings.candidates)
        self.seconds_per_row += EWMA * (spent - self.seconds_per_row)

    def _affordable(self, requests: int, deadline: Deadline) -> int:
        """Candidates per request that the time left is predicted to allow."""
        if self.seconds_per_row <= 0:
            return self.settings.candidates
        rows = deadline.remaining() / self.seconds_per_row / requests
        fewest, most = self.settings.fewest_candidates, self.settings.candidates
        return most if rows >= most else max(fewest, int(rows))
