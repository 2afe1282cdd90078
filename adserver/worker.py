"""One server process: its parts, what it does in the background, and what HTTP asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from secrets import token_bytes

import structlog

from adserver import metrics
from adserver.auctions.recorder import Recorder
from adserver.background import Job, forever
from adserver.batcher import Ask, Batcher
from adserver.catalogue.currency import Rates
from adserver.commit import Till
from adserver.compiling import compile_auction
from adserver.deadline import REAL, Clocks, Deadline
from adserver.decision import Decision, Outcome
from adserver.decline import declined
from adserver.drift.gauges import DriftGauges
from adserver.edition import Edition
from adserver.editions import Editions, refresh, set_limits
from adserver.eventlog import EventLog, LogSettings
from adserver.events import EventSettings, Turnstile
from adserver.features.keeper import Features
from adserver.following import Following
from adserver.history import Histories
from adserver.http import EventAnswer
from adserver.lull import Lull
from adserver.money import open_drawer, open_store
from adserver.offers import Pacing
from adserver.pace import Pace
from adserver.pipeline import Pipeline
from adserver.plans import Planner
from adserver.report_page import ReportPage
from adserver.request import AdRequest, Explain, Slot
from adserver.reserve_prices import prices_of
from adserver.seen import HistorySettings
from adserver.selection.finding import Finding
from adserver.settings import Settings
from adserver.tokens import ON_PAGE, Kind, event_token, signer_of
from adserver.trace import Numbers
from adserver.trial import Trial
from adserver.upkeep import Upkeep
from adserver.why import Inquiries
from adserver.wire.render import Urls, UrlsOf
from auction.fairness import Exposure
from auction.pacing import Mode, PacingSettings
from ranking.tiers import Ranks

REFRESH_S = 0.5
"""Pauses, bids and budgets take effect within this and the refresh's own milliseconds."""
FULLEST_LOG = 0.9
"""Above this share of the log's queue, requests are declined: what cannot be written down must
not be sold."""
WARM_UPS = (8, 1, 8)
"""Batch sizes decided before the worker says that it is ready."""
log = structlog.get_logger()


class Worker:
    """Everything between the HTTP routes and the files. Serves one edition after another."""

    def __init__(self, settings: Settings, number: int, clocks: Clocks = REAL) -> None:
        self.settings, self.number, self.clocks = settings, number, clocks
        wall, monotonic = clocks.wall, clocks.monotonic
        self.editions = Editions(settings)
        edition = self.editions.open(wall())
        self.store = open_store(settings)
        self.drawer = open_drawer(settings, number, wall(), self.store)
        set_limits(edition, self.drawer, wall())
        self.histories = Histories(self.store, token_bytes(32), HistorySettings.of(settings))
        self.features = Features.of(settings, number, wall, self.histories.identities, self.store)
        self.trial = Trial.of(settings, number, self.store)
        self.log = EventLog(settings.adserver_data / "events", number, wall, LogSettings())
        self.signer = signer_of(
            settings.adserver_token_key, (settings.adserver_token_key_previous,)
        )
        self.turnstile = self._turnstile(edition)
        self.recorder = Recorder.of(settings, number, wall)
        self.pipeline = self._pipeline(edition)
        self.inquiries = Inquiries.of(
            settings, self.pipeline.prices.settings, lambda: self.pipeline.edition, wall
        )
        self.batcher = Batcher(
            self.pipeline.decide,
            self._decline,
            monotonic,
            most=max(1, settings.batch_rows // settings.candidates),
            queue_limit=settings.queue_limit,
            in_flight=2 if settings.scorer == "triton" else 1,
            reserve_s=settings.reserve_ms / 1000,
        )
        self.lull = Lull(self.batcher.quiet, monotonic)
        self.pipeline.shadowing.behind = lambda: self.batcher.waiting > 0
        self.upkeep = self._upkeep()
        self._report = ReportPage(monotonic)
        self._tasks: list[asyncio.Task[None]] = []
        self._warm = self._draining = False

    def _turnstile(self, edition: Edition) -> Turnstile:
        return Turnstile(
            self.signer,
            self.drawer.book,
            self.drawer.bank,
            self.log,
            self.number,
            EventSettings(),
            self.histories,
            edition.shelf.caps,
            self.features,
            self.trial.collector,
        )

    def _pipeline(self, edition: Edition) -> Pipeline:
        settings, wall, monotonic = self.settings, self.clocks.wall, self.clocks.monotonic
        return Pipeline(
            edition=edition,
            ranks=Ranks(self.editions.scorer, monotonic),
            till=Till(
                self.number,
                self.drawer,
                self.signer,
                self.log,
                EventSettings().hold_s * 1000,
                monotonic,
                self.histories,
                self.trial.collector,
            ),
            histories=self.histories,
            features=self.features,
            exposure=Exposure(settings.fairness),
            numbers=Numbers.of(self.number, int(wall())),
            settings=settings,
            prices=prices_of(settings),
            clock=monotonic,
            wall=wall,
            recorder=self.recorder,
            finding=Finding.of(settings, monotonic),
            observer=self.trial.collector,
        )

    def _upkeep(self) -> Upkeep:
        settings, number = self.settings, self.number
        pace = Pace(self.store, number, PacingSettings())
        return Upkeep(
            number,
            self.clocks,
            self.pipeline,
            self.turnstile,
            self.drawer,
            Pacing(pace, Planner(Mode[settings.pacing.upper()])),
            self.trial,
            Following(self.editions, settings.snapshots, self.clocks),
            self.batcher,
            DriftGauges(settings.drift_folder),
        )

    async def start(self) -> None:
        """Warm up, then keep the edition, the money and the gauges fresh."""
        await self.warm_up()
        self.batcher.start()
        self.pipeline.later = self.lull.later
        for job in self.jobs():
            self._tasks.append(asyncio.create_task(forever(job, REFRESH_S), name=job.__name__))

    async def warm_up(self) -> None:
        """Have everything loaded and compiled that a decision needs."""
        why = await self.editions.introduce(self.pipeline.edition)
        if why:
            log.warning("the scorer does not take the model", why=why)
        refresh(self.pipeline.edition, self.drawer, self.clocks.wall())
        await self.upkeep.follow()
        await self.pipeline.rehearse([self._rehearsal()])
        await self.pipeline.rehearse([self._rehearsal(left_s=0.0)])  # the fallback compiles as well
        compile_auction([self.settings.mechanism])  # or wait for who began before us
        for size in WARM_UPS:
            await self.pipeline.decide([self._rehearsal()] * size)
        self.pipeline.seconds_per_row = 0.0  # compiling is not what a row costs
        self._warm = True

    def jobs(self) -> list[Job]:
        """What is to be done twice a second beside answering."""
        return self.upkeep.jobs()

    def drain(self) -> None:
        """Say that we are not ready for more."""
        self._draining = True

    async def stop(self) -> None:
        """Answer what was asked, write what was promised, then end."""
        self.drain()
        await self.batcher.stop()
        await self.lull.settle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.editions.scorer.close()
        await self.pipeline.finding.close()
        await asyncio.to_thread(self.trial.collector.flush)
        await asyncio.to_thread(self.drawer.close)
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self.recorder.close)
        await asyncio.to_thread(self.features.close, int(self.clocks.wall() * 1000))
        self.store.close()

    async def decide(self, ask: Ask) -> Decision:
        self.upkeep.asked += 1
        if self.log.backlog > FULLEST_LOG or self.log.failure or not ask.request.slots:
            return self._decline(ask)
        return await self.batcher.ask(ask)

    async def decide_together(self, asks: Sequence[Ask]) -> list[Decision]:
        """One batch as the caller has put it together, without a queue."""
        self.upkeep.asked += len(asks)
        return await self.pipeline.decide(asks)

    def urls(self, base: str) -> UrlsOf:
        """Event URLs under `base`, of slots that are sold."""

        def of(outcome: Outcome) -> Urls:
            token = outcome.sold.token if outcome.sold else ""
            impression, viewable, click = (
                f"{base}/e/{kind.name.lower()}?t={event_token(token, kind)}" for kind in ON_PAGE
            )
            return Urls(impression=impression, click=click, viewable=viewable)

        return of

    async def event(self, kind: str, token: str, prefetch: bool) -> EventAnswer:
        """One event of a sale: counted once, on disk when this returns."""
        if prefetch:
            return EventAnswer("PREFETCH")  # nobody has seen it; the page asks again when shown
        now_ms = int(self.clocks.wall() * 1000)  # its age does not count what we make it wait
        await self.lull.wait()
        receipt = await self.turnstile.receive(Kind[kind.upper()], token, now_ms)
        metrics.billed(kind, receipt.billed_micros)
        return EventAnswer(receipt.code.name, receipt.landing, receipt.logged)

    def unseen(self) -> float:
        """Seconds that a request which is read now may have waited for that."""
        return self.batcher.lag.age()

    def rates(self) -> Rates:
        """Of currencies, in force now."""
        return self.pipeline.edition.overlay.market.rates

    def health(self) -> dict[str, object]:
        return {"ok": True, "worker": self.number}

    def readiness(self) -> dict[str, object]:
        """Ready when the catalogue, the index and the model are warm and the log can be written."""
        breaker = self.pipeline.ranks.breaker(self.pipeline.edition.bundle.version)
        return {
            "ready": self._warm and not self._draining and self.log.failure is None,
            "worker": self.number,
            "catalogue": self.pipeline.edition.version,
            "ads": len(self.pipeline.edition.snapshot.ads),
            "model": self.pipeline.edition.bundle.version,
            "on_trial": {
                arm: edition.bundle.version
                for arm, edition in self.pipeline.beside.editions().items()
            },
            "model_warm": self._warm,
            "scorer": self.settings.scorer,
            "scorer_circuit": breaker.circuit.name,
            "event_log": "failed" if self.log.failure else "ok",
            "draining": self._draining,
        }

    async def report(self) -> str:
        """The report page, a few seconds old at most, however many ask for it."""
        return await self._report.current()

    async def explain(self, decision: str, offset: str, limit: str) -> dict[str, object]:
        """Of any worker's decision that is still kept."""
        return await self.inquiries.explain(decision, offset, limit)

    async def why(self, ad: str, window: str) -> dict[str, object]:
        """The funnel of one ad over all workers' latest decisions."""
        return await self.inquiries.why(ad, window)

    def _decline(self, ask: Ask) -> Decision:
        edition = self.pipeline.edition
        (number,) = self.pipeline.numbers.take(1)
        took_ms = (self.clocks.monotonic() - ask.arrived) * 1000
        metrics.DECLINED.inc()
        decision = declined(ask.request, number, edition.version, edition.model, took_ms)
        self.pipeline.till.write_down(decision, int(self.clocks.wall() * 1000))
        return decision

    def _rehearsal(self, left_s: float = 60.0) -> Ask:
        """A test request that can be sold: not billed, not reported."""
        sizes = self.pipeline.edition.snapshot.sizes[:4]
        slots = tuple(Slot(f"warm-up-{n}", sizes=sizes) for n in range(2))
        request = AdRequest("warm-up", slots, test=True, explain=Explain.SUMMARY)
        return Ask(request, Deadline(self.clocks.monotonic() + left_s), self.clocks.monotonic())
