"""Prometheus metrics of the server; counted per batch, so that a request pays microseconds.

With several workers each process writes its own files (PROMETHEUS_MULTIPROC_DIR) and any worker
answers for all of them.
"""

from __future__ import annotations

import os
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from adserver.trace import Trace
from auction.columns import PPM, Level, Rejection
from retrieval.planner import Plan

if TYPE_CHECKING:
    from adserver.auctions.recorder import Recorder
    from adserver.batcher import Batcher
    from adserver.features.keeper import Features
    from adserver.money import Drawer
    from adserver.verdict import Verdict

REGISTRY = CollectorRegistry()
_STAGE_SECONDS = (0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)

REQUESTS = Counter(
    "adserver_requests", "Answers by route and status", ["route", "status"], registry=REGISTRY
)
TOOK = Histogram(
    "adserver_request_seconds",
    "From the request's head to its decision",
    ["dialect"],
    buckets=(0.001, 0.002, 0.005, 0.010, 0.015, 0.020, 0.025, 0.035, 0.050, 0.075, 0.1, 0.25, 1.0),
    registry=REGISTRY,
)
STAGE = Histogram(
    "adserver_stage_seconds",
    "Time of one stage for one batch",
    ["stage"],
    buckets=_STAGE_SECONDS,
    registry=REGISTRY,
)
BATCH = Histogram(
    "adserver_batch_requests",
    "Requests per batch",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)
QUALITY = Counter("adserver_decisions", "Decisions by quality tier", ["quality"], registry=REGISTRY)
SLOTS = Counter(
    "adserver_slots",
    "Slots by outcome: WON or the reason of no-fill",
    ["reason"],
    registry=REGISTRY,
)
REJECTED = Counter(
    "adserver_candidates", "Candidates by what became of them", ["reason"], registry=REGISTRY
)
DECLINED = Counter(
    "adserver_declined",
    "Requests answered empty at once: full, late or unloggable",
    registry=REGISTRY,
)
PLANS = Counter("adserver_retrievals", "Retrievals by plan", ["plan"], registry=REGISTRY)
SELECTIONS = Counter(
    "adserver_selections",
    "Batches with SELECTOR=gpu, by who found the candidates: selector, or why the worker did",
    ["by"],
    registry=REGISTRY,
)
EVENTS = Counter(
    "adserver_events",
    "Impressions, views and clicks by filter code",
    ["kind", "code"],
    registry=REGISTRY,
)
BILLED = Counter(
    "adserver_billed_dollars",
    "Money billed, by the event that was paid for",
    ["event"],
    registry=REGISTRY,
)
LEASED = Gauge(
    "adserver_leased_dollars",
    "Money of limited budgets that workers hold, by level and use: free, or promised to sales",
    ["level", "use"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
TAKEN_BACK = Counter(
    "adserver_leases_taken_back",
    "Leases of workers that died, taken from them",
    registry=REGISTRY,
)
QUEUED = Gauge(
    "adserver_queue_requests",
    "Requests waiting for a batch",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
LAG = Gauge(
    "adserver_loop_lag_seconds",
    "Longest that a worker's event loop was late by since the last look, half a second ago",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
MARGIN = Gauge(
    "adserver_admission_margin_seconds",
    "Kept back from deadlines because answers came late; grows under load, then requests are shed",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
SNAPSHOT = Gauge(
    "adserver_snapshot_version",
    "Catalogue snapshot being served",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
BREAKER = Gauge(
    "adserver_scorer_available",
    "1 while the scorer's circuit is closed",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
AUCTION_BYTES = Counter(
    "adserver_auction_bytes",
    "Bytes of auction records, by where they went: ring, overwritten there, sample",
    ["what"],
    registry=REGISTRY,
)
AUCTIONS_LOST = Counter(
    "adserver_auctions_lost",
    "Auctions not kept: batches too large for the ring, pages that the sample was behind with",
    ["what"],
    registry=REGISTRY,
)
AUCTIONS_KEPT = Gauge(
    "adserver_auctions_kept_seconds",
    "Age of the oldest auction that can be explained",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)

COUNTERS_AGE = Gauge(
    "adserver_counters_age_seconds",
    "Age of the running counts that decisions see; -1 before the first reading",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
COUNTS_LOST = Counter(
    "adserver_counts_lost",
    "Impressions and clicks not counted for the model, because the store took nothing for long",
    registry=REGISTRY,
)
PROFILES = Counter(
    "adserver_profiles",
    "People of whom something was remembered (known), and looks or events that failed",
    ["what"],
    registry=REGISTRY,
)
FEATURE_ROWS = Counter(
    "adserver_feature_rows",
    "Sold slots in the feature log: written, or dropped because the disk was behind",
    ["what"],
    registry=REGISTRY,
)


@cache
def _answers(route: str, status: int) -> Counter:
    return REQUESTS.labels(route, str(status))


def answered(route: str, status: int) -> None:
    """Count one HTTP answer; routes and statuses are few."""
    _answers(route, status).inc()


@cache
def _stage(name: str) -> Histogram:
    return STAGE.labels(name)


def observe_stages(trace: Trace) -> None:
    for stage, seconds in trace.seconds.items():
        _stage(stage).observe(seconds)


def observe(trace: Trace, verdict: Verdict) -> None:
    """Count one batch."""
    observe_stages(trace)
    BATCH.observe(len(verdict.asks))
    QUALITY.labels(str(verdict.quality)).inc(len(verdict.asks))
    _count(SLOTS, Rejection, verdict.slate.reason)
    _count(REJECTED, Rejection, verdict.slate.rejected)
    _count(PLANS, Plan, verdict.candidates.plan)


def observe_queue(batcher: Batcher) -> None:
    """Set how far behind this worker is."""
    QUEUED.set(batcher.waiting)
    LAG.set(batcher.lag.worst())
    MARGIN.set(batcher.admission.margin_s)


def observe_auctions(recorder: Recorder, now_ms: int) -> None:
    """Count what was recorded since the last time."""
    rose = recorder.rose()
    for what in ("ring", "overwritten", "sample"):
        AUCTION_BYTES.labels(what).inc(rose[what])
    AUCTIONS_LOST.labels("ring").inc(rose["refused"])
    AUCTIONS_LOST.labels("sample").inc(rose["dropped"])
    oldest = recorder.ring.oldest_ms()
    AUCTIONS_KEPT.set(0 if oldest is None else max(0, now_ms - oldest) / 1000)


def observe_features(features: Features, now_ms: int) -> None:
    """Count what happened since the last time."""
    rose, at_ms = features.rose(), features.counters.at_ms
    COUNTERS_AGE.set((now_ms - at_ms) / 1000 if at_ms else -1)
    COUNTS_LOST.inc(rose["lost"])
    for what in ("known", "failed"):
        PROFILES.labels(what).inc(rose[what])
    for what in ("written", "dropped"):
        FEATURE_ROWS.labels(what).inc(rose[what])


def billed(event: str, micros: int) -> None:
    """Count the money of one event; most bring none."""
    if micros:
        BILLED.labels(event).inc(micros / PPM)


def observe_money(drawer: Drawer) -> None:
    """Set what this worker holds, count what it took from the dead since the last time."""
    for level, (free, promised) in zip(Level, drawer.bank.out().T.tolist(), strict=True):
        name = level.name.lower()
        LEASED.labels(name, "free").set(free / PPM)
        LEASED.labels(name, "promised").set(promised / PPM)
    TAKEN_BACK.inc(drawer.rose())


def forget_the_dead() -> None:
    """Drop the gauges of processes that are gone: what they held, they hold no more."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return
    owners = {int(path.stem.rpartition("_")[2]) for path in Path(folder).glob("gauge_live*.db")}
    for pid in owners:
        if not _lives(pid):
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # ships no annotations


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's by now
        return True
    return True


def _count(counter: Counter, kind: type[IntEnum], codes: NDArray[np.integer]) -> None:
    """Each code under its name."""
    counted: list[int] = np.bincount(codes).tolist()
    for code, count in enumerate(counted):
        if count:
            _named(counter, kind, code).inc(count)


@cache
def _named(counter: Counter, kind: type[IntEnum], code: int) -> Counter:
    return counter.labels(kind(code).name)


def exposition() -> tuple[bytes, str]:
    """The scrape's body and its content type."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # ships no annotations
    return generate_latest(registry), CONTENT_TYPE_LATEST
