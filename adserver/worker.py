"""One server process: its parts, what it does in the background, and what HTTP asks of it."""

from __future__ import annotations

import asyncio
import sys
from secrets import token_bytes

import structlog

from adserver import metrics, reserve_prices
from adserver.auctions.recorder import Recorder
from adserver.background import forever
from adserver.batcher import Ask, Batcher
from adserver.catalogue.currency import Rates
from adserver.catalogue.snapshot import is_outdated
from adserver.commit import Till
from adserver.deadline import Deadline, monotonic, wall
from adserver.decision import Decision, Outcome
from adserver.decline import declined
from adserver.editions import Editions, refresh, set_limits
from adserver.eventlog import EventLog, LogSettings
from adserver.events import EventSettings, Turnstile
from adserver.history import PAGE, PERSON, Histories
from adserver.http import EventAnswer
from adserver.money import open_drawer, open_store
from adserver.offers import Pacing
from adserver.pace import Pace
from adserver.pipeline import Pipeline
from adserver.plans import Planner
from adserver.prices import NO_RESERVES, Prices
from adserver.request import AdRequest, Explain, Slot
from adserver.seen import HistorySettings
from adserver.settings import Settings
from adserver.tokens import ON_PAGE, Kind, event_token, signer_of
from adserver.trace import Numbers
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
REPORT_S = 10.0
"""How old the report page may be."""
RELEASES = 5_000
"""Reservations looked at per refresh: twice what a worker can make meanwhile, in milliseconds."""
WARM_UPS = (1, 8, 1, 8)
"""Batch sizes decided before the worker says that it is ready."""
log = structlog.get_logger()


class Worker:
    """Everything between the HTTP routes and the files. Serves one edition after another."""

    def __init__(self, settings: Settings, number: int) -> None:
        self.settings, self.number = settings, number
        self.editions = Editions(settings)
        edition = self.editions.open(wall())
        self.store = open_store(settings)
        self.drawer = open_drawer(settings, number, wall(), self.store)
        set_limits(edition, self.drawer, wall())
        self.histories = Histories(self.store, token_bytes(32), HistorySettings.of(settings))
        self.log = EventLog(settings.adserver_data / "events", number, wall, LogSettings())
        signer = signer_of(settings.adserver_token_key, (settings.adserver_token_key_previous,))
        events, drawer = EventSettings(), self.drawer
        self.turnstile = Turnstile(
            signer,
            drawer.book,
            drawer.bank,
            self.log,
            number,
            events,
            self.histories,
            edition.shelf.caps,
        )
        self.pacing = Pacing(
            Pace(self.store, number, PacingSettings()), Planner(Mode[settings.pacing.upper()])
        )
        self._asked = 0
        self.recorder = Recorder.of(settings, number, wall)
        self.pipeline = Pipeline(
            edition=edition,
            ranks=Ranks(self.editions.scorer, monotonic),
            till=Till(
                number,
                drawer,
                signer,
                self.log,
                events.hold_s * 1000,
                monotonic,
                self.histories,
            ),
            histories=self.histories,
            exposure=Exposure(settings.fairness),
            numbers=Numbers.of(number, int(wall())),
            settings=settings,
            prices=_prices(settings),
            clock=monotonic,
            wall=wall,
            recorder=self.recorder,
        )
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
        )
        self._report, self._report_at, self._report_lock = "", -REPORT_S, asyncio.Lock()
        self._swept = {PERSON: b"", PAGE: b""}
        self._tasks: list[asyncio.Task[None]] = []
        self._warm = self._draining = False

    async def start(self) -> None:
        """Warm up, then keep the edition, the money and the gauges fresh."""
        await self.editions.introduce(self.pipeline.edition)
        refresh(self.pipeline.edition, self.drawer, wall())
        self.batcher.start()
        for size in WARM_UPS:
            await self.pipeline.decide([self._rehearsal()] * size)
        self.pipeline.seconds_per_row = 0.0  # compiling is not what a row costs
        self._warm = True
        jobs = [self._refresh, self._follow_snapshots, self._release, self._tend, self._pace]
        if self.number == 0:
            jobs.append(self._sweep)
        for job in jobs:
            self._tasks.append(asyncio.create_task(forever(job, REFRESH_S), name=job.__name__))

    def drain(self) -> None:
        """Say that we are not ready for more."""
        self._draining = True

    async def stop(self) -> None:
        """Answer what was asked, write what was promised, then end."""
        self.drain()
        await self.batcher.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.editions.scorer.close()
        await asyncio.to_thread(self.drawer.close)
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self.recorder.close)
        self.store.close()

    async def decide(self, ask: Ask) -> Decision:
        self._asked += 1
        if self.log.backlog > FULLEST_LOG or self.log.failure or not ask.request.slots:
            return self._decline(ask)
        return await self.batcher.ask(ask)

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
        receipt = await self.turnstile.receive(Kind[kind.upper()], token, int(wall() * 1000))
        metrics.billed(kind, receipt.billed_micros)
        return EventAnswer(receipt.code.name, receipt.landing, receipt.logged)

    def rates(self) -> Rates:
        """Of currencies, in force now."""
        return self.pipeline.edition.overlay.market.rates

    def health(self) -> dict[str, object]:
        return {"ok": True, "worker": self.number}

    def readiness(self) -> dict[str, object]:
        """Ready when the catalogue, the index and the model are warm and the log can be written."""
        full = self.pipeline.ranks.breaker.circuit.name
        return {
            "ready": self._warm and not self._draining and self.log.failure is None,
            "catalogue": self.pipeline.edition.version,
            "ads": len(self.pipeline.edition.snapshot.ads),
            "model_warm": self._warm,
            "scorer": self.settings.scorer,
            "scorer_circuit": full,
            "event_log": "failed" if self.log.failure else "ok",
            "draining": self._draining,
        }

    async def report(self) -> str:
        """The report page, a few seconds old at most, however many ask for it."""
        async with self._report_lock:
            if monotonic() - self._report_at > REPORT_S:
                self._report = await _draw_report()
                self._report_at = monotonic()
            return self._report

    async def explain(self, decision: str, offset: str, limit: str) -> dict[str, object]:
        """Of any worker's decision that is still kept."""
        return await self.inquiries.explain(decision, offset, limit)

    async def why(self, ad: str, window: str) -> dict[str, object]:
        """The funnel of one ad over all workers' latest decisions."""
        return await self.inquiries.why(ad, window)

    def _decline(self, ask: Ask) -> Decision:
        edition = self.pipeline.edition
        (number,) = self.pipeline.numbers.take(1)
        took_ms = (monotonic() - ask.arrived) * 1000
        metrics.DECLINED.inc()
        decision = declined(ask.request, number, edition.version, edition.model, took_ms)
        self.pipeline.till.write_down(decision, int(wall() * 1000))
        return decision

    def _rehearsal(self) -> Ask:
        """A test request that can be sold: not billed, not reported."""
        sizes = self.pipeline.edition.snapshot.sizes[:4]
        slots = tuple(Slot(f"warm-up-{n}", sizes=sizes) for n in range(2))
        request = AdRequest("warm-up", slots, test=True, explain=Explain.SUMMARY)
        return Ask(request, Deadline(monotonic() + 60.0), monotonic())

    async def _refresh(self) -> None:
        await asyncio.to_thread(refresh, self.pipeline.edition, self.drawer, wall())
        metrics.QUEUED.set(self.batcher.waiting)
        metrics.BREAKER.set(self.pipeline.ranks.breaker.circuit.name == "CLOSED")
        metrics.observe_auctions(self.recorder, int(wall() * 1000))
        metrics.SNAPSHOT.set(self.pipeline.edition.version)

    async def _follow_snapshots(self) -> None:
        if not is_outdated(self.pipeline.edition.snapshot, self.settings.snapshots):
            return
        edition = await asyncio.to_thread(self.editions.open, wall())
        await self.editions.introduce(edition)
        set_limits(edition, self.drawer, wall())
        self.pipeline.edition = edition
        self.turnstile.caps = edition.shelf.caps
        log.info("serving a new snapshot", version=edition.version, worker=self.number)

    async def _tend(self) -> None:
        await asyncio.to_thread(self.drawer.tend, wall())
        metrics.observe_money(self.drawer)

    async def _pace(self) -> None:
        now = wall()
        if self.pacing.pace.is_due(now):
            asked, self._asked = self._asked, 0
            edition, steps = self.pipeline.edition, self.drawer.bank.tally.take()
            self.pipeline.offers = await asyncio.to_thread(
                self.pacing.beat, edition, now, asked, steps
            )

    async def _release(self) -> None:
        self.drawer.holds.release_due(int(wall() * 1000), RELEASES)

    async def _sweep(self) -> None:
        """Histories and pages that have died, a few thousand at a time, round and round."""
        caps, now_ms = self.pipeline.edition.shelf.caps, int(wall() * 1000)
        for prefix, after in self._swept.items():
            self._swept[prefix] = await asyncio.to_thread(
                self.histories.sweep, prefix, after, caps, now_ms
            )


def _prices(settings: Settings) -> Prices:
    reserves = settings.personal_reserves == "on"
    learnt = reserve_prices.load(settings.adserver_data) if reserves else NO_RESERVES
    return Prices(settings.auction, settings.squash, learnt)


async def _draw_report() -> str:
    """In another process, and a polite one: drawing plots here would stall decisions."""
    process = await asyncio.create_subprocess_exec(
        *("nice", sys.executable, "-m", "adserver", "report", "page"),
        stdout=asyncio.subprocess.PIPE,
    )
    page, _ = await process.communicate()
    return page.decode()
