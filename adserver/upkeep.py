"""What a worker does twice a second beside answering: it keeps what decisions rest on fresh.

Its jobs run one after another's pause, each on its own; what blocks is done in threads. It knows no
HTTP and decides nothing. Times are wall seconds of the clocks it is given.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from adserver import arm_metrics, metrics
from adserver.background import Job
from adserver.batcher import Batcher
from adserver.deadline import Clocks
from adserver.drift.gauges import DriftGauges
from adserver.editions import refresh, set_limits
from adserver.events import Turnstile
from adserver.following import Following, Serving
from adserver.history import PAGE, PERSON
from adserver.money import Drawer
from adserver.offers import Pacing
from adserver.pipeline import Pipeline
from adserver.trial import Trial

RELEASES: Final = 5_000
"""Reservations looked at per round: twice what a worker can make meanwhile, in milliseconds."""
REST_S: Final = 0.005
"""Between two steps of an exchange of counts: each computes for a millisecond or two, in which
decisions beside it are half as fast."""
MOST_RESTS: Final = 5
"""While somebody waits for a decision; the exchange would have no end in a server at its limit."""
log = structlog.get_logger()


@dataclass(slots=True)
class Upkeep:
    """Of one worker; the first of them also does what need be done only once."""

    number: int
    clocks: Clocks
    pipeline: Pipeline
    turnstile: Turnstile
    drawer: Drawer
    pacing: Pacing
    trial: Trial
    following: Following
    batcher: Batcher
    drift: DriftGauges
    asked: int = 0
    """Requests since the last beat of pacing."""
    _swept: dict[bytes, bytes] = field(default_factory=lambda: {PERSON: b"", PAGE: b""})

    def jobs(self) -> list[Job]:
        """Each is to be called again and again, in any order."""
        jobs: list[Job] = [self.refresh, self.follow, self.release]
        jobs += [self.tend, self.pace, self.count, self.observe, self.select, self.write_out]
        return [*jobs, self.sweep, self.drift.tell_drift] if self.number == 0 else jobs

    async def refresh(self) -> None:
        """Pauses, bids, budgets and the gauges of what serves."""
        pipeline, now = self.pipeline, self.clocks.wall()
        for edition in self._serving.editions().values():
            await asyncio.to_thread(refresh, edition, self.drawer, now)
        metrics.observe_queue(self.batcher)
        breaker = pipeline.ranks.breaker(pipeline.edition.bundle.version)
        metrics.BREAKER.set(breaker.circuit.name == "CLOSED")
        metrics.observe_auctions(pipeline.recorder, int(now * 1000))
        arm_metrics.observe_served(pipeline.edition, pipeline.beside)
        metrics.SNAPSHOT.set(pipeline.edition.version)

    async def follow(self) -> None:
        """Serve what the snapshots and the record of releases say."""
        now = self._serving
        found = await self.following.step(now)
        if found is now:
            return
        await self.pipeline.finding.prepare(found.editions())
        # offers of another snapshot are not read: all would bid as if they were not paced
        offers = await asyncio.to_thread(self.pacing.last, found.production)
        wall = self.clocks.wall()
        await asyncio.to_thread(set_limits, found.production, self.drawer, wall)
        self.pipeline.offers = offers
        self.pipeline.edition, self.pipeline.beside = found.production, found.beside
        self.pipeline.ranks.keep(now.models | found.models)
        self.turnstile.caps = found.production.shelf.caps
        keys = sorted(found.editions())
        log.info("serving other editions", snapshots_models=keys, worker=self.number)

    async def release(self) -> None:
        """Give back what was reserved for ads that nobody showed."""
        self.drawer.holds.release_due(self._now_ms, RELEASES)

    async def tend(self) -> None:
        """The money that is shared with other workers."""
        await asyncio.to_thread(self.drawer.tend, self.clocks.wall())
        metrics.observe_money(self.drawer)

    async def pace(self) -> None:
        """What pacing leaves of the bids."""
        now = self.clocks.wall()
        if self.pacing.pace.is_due(now):
            asked, self.asked = self.asked, 0
            edition, steps = self.pipeline.edition, self.drawer.bank.tally.take()
            offers = await asyncio.to_thread(self.pacing.beat, edition, now, asked, steps)
            if edition.version == self.pipeline.edition.version:
                self.pipeline.offers = offers

    async def count(self) -> None:
        """What the model knows of ads and people."""
        features = self.pipeline.features
        fresh = await asyncio.to_thread(features.fetch, self._now_ms, self.rest)
        features.take(fresh)
        metrics.observe_features(features, self._now_ms)

    def rest(self) -> None:
        """What a thread does between two steps."""
        for _ in range(MOST_RESTS):
            self.clocks.sleep(REST_S)
            if self.batcher.quiet.is_set():
                return

    async def observe(self) -> None:
        """What models on trial did, and what is to become of them."""
        await asyncio.to_thread(self.trial.beat, self._now_ms)

    async def write_out(self) -> None:
        """What is recorded of auctions, before it is so much that its writing is felt."""
        await asyncio.to_thread(self.pipeline.recorder.ring.write_out)

    async def select(self) -> None:
        """Tell whoever else finds candidates what has changed."""
        await self.pipeline.finding.follow(self._serving.editions())

    async def sweep(self) -> None:
        """Histories and pages that have died, a few thousand at a time, round and round."""
        histories, caps = self.pipeline.histories, self.pipeline.edition.shelf.caps
        for prefix, after in self._swept.items():
            self._swept[prefix] = await asyncio.to_thread(
                histories.sweep, prefix, after, caps, self._now_ms
            )

    @property
    def _serving(self) -> Serving:
        return Serving(self.pipeline.edition, self.pipeline.beside)

    @property
    def _now_ms(self) -> int:
        return int(self.clocks.wall() * 1000)
