"""The life of a batch of ad requests, from targeting to price.

This module decides the order of the stages and what happens when one is late. It knows nothing
of HTTP, of how ads are indexed, or of how a click is predicted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from adserver import arm_metrics
from adserver.arms import ALONE, CANARY, PRODUCTION, Arm, Beside, Observer, among, in_order, keys_of
from adserver.auctions.recorder import Found, Recorder
from adserver.batcher import Ask
from adserver.columns import bids_of, counted_of, gate, odds_of, pairs_of, within_terms
from adserver.commit import Till
from adserver.deadline import Clock, Deadline
from adserver.dealing import dealing
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
from adserver.selection.finding import PLANNED, Finding
from adserver.settings import Settings
from adserver.shadow import Decided, Shadowing
from adserver.shares import in_scopes
from adserver.trace import Numbers, Trace
from adserver.verdict import Verdict
from adserver.weighed import Weighed
from auction.columns import Bids, Slate
from auction.fairness import Exposure
from auction.mechanism import run_auction
from ranking.scorer import FULL, TRUNCATED
from ranking.tiers import Ranks

log = structlog.get_logger()
Later = Callable[[Callable[[], object]], None]
EWMA = 0.1
"""Weight of the newest batch in what a candidate row costs."""


def when_answered(work: Callable[[], object]) -> None:
    """Two turns of the loop later: when the answers have been sent."""
    turn = asyncio.get_running_loop().call_soon
    turn(turn, work)


@dataclass(slots=True)
class Pipeline:
    """Decides batches on the current editions. One per worker; not shared between threads."""

    edition: Edition
    """Of the model in production."""
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
    beside: Beside = ALONE
    """The editions of a model on trial; replaced together with `edition`, between two batches."""
    finding: Finding = PLANNED
    later: Later = when_answered
    """Does what nobody waits for."""
    seconds_per_row: float = 0.0
    shadowing: Shadowing = field(init=False)
    _blamed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shadowing = Shadowing(
            self.ranks, self.clock, self.settings.shadow_rows_per_s, observer=self.observer
        )

    async def decide(self, asks: Sequence[Ask]) -> list[Decision]:
        """Choose and price an ad for each slot; always answers, possibly with none.

        What a canary's people ask is a batch of its own, by its own edition from end to end.
        """
        beside, canary = self.beside, self.beside.canary
        if canary is None or not (dealt := self._dealt(asks)).any():
            return await self._decide(asks, self.edition, beside.arm(PRODUCTION))
        both = await asyncio.gather(
            self._decide(among(asks, ~dealt), self.edition, beside.arm(PRODUCTION)),
            self._decide(among(asks, dealt), canary, beside.arm(CANARY)),
        )
        return in_order(dealt, *both)

    def _dealt(self, asks: Sequence[Ask]) -> NDArray[np.bool_]:
        """[B] whose people are the canary's."""
        people = self.histories.identities.of([ask.request for ask in asks]).person
        numbers = range(self.numbers.next, self.numbers.next + len(asks))
        return self.beside.deals(keys_of(people, numbers))

    async def rehearse(self, asks: Sequence[Ask]) -> None:
        """Decide up to the auction, and forget it: what that takes is compiled then."""
        await self._weigh(asks, self.edition, self.beside.arm(PRODUCTION))

    async def _decide(self, asks: Sequence[Ask], edition: Edition, arm: Arm) -> list[Decision]:
        if not asks:
            return []
        try:
            weighed = await self._weigh(asks, edition, arm)
        except Exception:
            self._blame(edition, arm, len(asks))
            if arm.name == PRODUCTION:
                raise
            return await self._decide(asks, self.edition, replace(arm, name=PRODUCTION))
        return self._sell(weighed)

    async def _weigh(self, asks: Sequence[Ask], edition: Edition, arm: Arm) -> Weighed:
        """Find and score candidates; nothing is binding yet."""
        now = self.wall()
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
            candidates = await self.finding.find(encoded, edition, most, deadline.remaining())
        with trace.stage("gate"):
            seen = self.histories.look_for(callers, edition.shelf, now_ms)
            rejected = gate(requests, candidates, edition, self.till.remaining(), seen)
            deals = dealing(candidates, encoded.deals, edition)
            rejected = within_terms(rejected, candidates, deals, encoded, edition)
        with trace.stage("rank"):
            pairs = pairs_of(candidates, encoded, edition)
            scores = await self.ranks.score(pairs, encoded.features, edition, deadline.remaining())
            counted = counted_of(candidates, encoded, edition, self.features.counters.board)
            odds = odds_of(scores, counted, encoded.slot_bias, edition.bundle)
            bids = bids_of(candidates, odds, rejected, deals, edition)
        quality = max(scores.quality, TRUNCATED if most < self.settings.candidates else FULL)
        return Weighed(
            *(asks, edition, arm, numbers, encoded, candidates, seen),
            *(counted, odds, bids, quality, trace, now_ms),
        )

    def _sell(self, weighed: Weighed) -> list[Decision]:
        """The auction, and what becomes binding by it; in one turn of the loop."""
        asks, numbers, edition, trace = (
            weighed.asks,
            weighed.numbers,
            weighed.edition,
            weighed.trace,
        )
        slots, seen, now_ms = weighed.encoded.slots, weighed.seen, weighed.now_ms
        with trace.stage("auction"):
            bids = self._priced(weighed, weighed.bids)
            # What nobody is shown must not count as somebody's exposure.
            exposure = None if all(ask.request.test for ask in asks) else self.exposure
            with self.till.money() as money:  # another batch may have sold meanwhile
                slate = run_auction(bids, slots, exposure, money, self.prices.settings)
                found = self.recorder.found(weighed, bids, slate, money)
        verdict = Verdict(
            *(asks, numbers, edition, weighed.encoded, weighed.candidates, bids, slate),
            *(weighed.quality, seen, self.prices.contracts, weighed.arm),
        )
        shown = shown_of(verdict, weighed.counted, weighed.odds)  # now: what is counted changes
        with trace.stage("commit"):
            decisions = self.till.commit(verdict, now_ms, trace.milliseconds())
        self._learn_cost(trace, len(weighed.candidates.ad))
        self.later(partial(self._note, verdict, decisions, trace, now_ms, found, shown))
        if self.beside.shadow is not None:
            decided = Decided(weighed, slate, partial(self._sold_again, weighed))
            self.later(partial(self.shadowing.offer, self.beside.shadow, decided))
        return decisions

    def _priced(self, weighed: Weighed, bids: Bids) -> Bids:
        """The bids as the auction takes them."""
        edition = weighed.edition
        bids = self.prices.weighed(weighed.seen.discounted(bids), edition)
        return offered(bids, edition, self.offers)

    def _sold_again(self, weighed: Weighed, bids: Bids) -> Slate:
        """Who would win with other bids, fairness and lots aside; nothing comes of it."""
        bids = self._priced(weighed, bids)
        slots = replace(weighed.encoded.slots, explore=None, explore_ppm=None)
        with self.till.money() as money:
            return run_auction(bids, slots, None, money, self.prices.settings)

    def _blame(self, edition: Edition, arm: Arm, requests: int) -> None:
        """Of the exception that is being handled."""
        if self.observer:
            self.observer.failed(arm, edition.bundle.version, requests)
        if arm.name == PRODUCTION:
            return  # whoever asked hears of it
        if edition.model not in self._blamed:
            self._blamed.add(edition.model)
            log.exception("a canary failed, production decides", model=edition.model)
        arm_metrics.LEFT.inc(requests)

    def _observe(self, verdict: Verdict, decisions: list[Decision], trace: Trace) -> None:
        if self.observer:
            self.observer.decided(verdict, decisions, trace.total)
        observe(trace, verdict)
        arm_metrics.observe_arm(verdict, trace.total, trace.seconds["rank"])

    def _note(
        self,
        verdict: Verdict,
        decisions: list[Decision],
        decided: Trace,
        now_ms: int,
        found: dict[int, Found],
        shown: Shown,
    ) -> None:
        """What is counted and recorded of a batch when its answers are out."""
        self._observe(verdict, decisions, decided)
        trace = Trace(self.clock)
        with trace.stage("record"):
            self.recorder.write(verdict, decisions, now_ms, found)
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
