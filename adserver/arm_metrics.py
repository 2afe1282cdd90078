"""What each model that is served does, as Prometheus counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from adserver.arms import CANARY, PRODUCTION, SHADOW, Beside
from adserver.edition import Edition
from adserver.metrics import REGISTRY
from adserver.releases.statistics import Scored
from adserver.verdict import Verdict

_SECONDS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.010, 0.015, 0.020, 0.030, 0.040, 0.050, 0.1, 0.25)

REQUESTS = Counter(
    "adserver_arm_requests",
    "Requests decided, by what the deciding model does and by quality tier",
    ["arm", "quality"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "adserver_arm_seconds",
    "From a batch's start to its decisions, by what the deciding model does",
    ["arm"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
RANK_SECONDS = Histogram(
    "adserver_arm_rank_seconds",
    "Of this, scoring",
    ["arm"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
LEFT = Counter(
    "adserver_canary_failures",
    "Requests that a canary could not decide, and production did",
    registry=REGISTRY,
)
SHADOWED = Counter(
    "adserver_shadow_requests",
    "Requests that a shadow was to score: scored, skipped for want of time, failed",
    ["what"],
    registry=REGISTRY,
)
SHADOW_ROWS = Counter("adserver_shadow_rows", "Candidates that a shadow scored", registry=REGISTRY)
SHADOW_SECONDS = Histogram(
    "adserver_shadow_seconds",
    "Time that a shadow took for one batch",
    buckets=_SECONDS,
    registry=REGISTRY,
)
VERSION = Gauge(
    "adserver_model_version",
    "Version of the click model that every worker has in this part; 0: not all have one",
    ["arm"],
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
NOT_OPENED = Counter(
    "adserver_editions_failed",
    "Attempts to open a model for a snapshot that failed; production goes on",
    ["model"],
    registry=REGISTRY,
)
MOVED = Counter(
    "adserver_release_moves",
    "Versions that the guardrails moved by themselves: advance, roll back",
    ["call"],
    registry=REGISTRY,
)


def observe_arm(verdict: Verdict, seconds: float, rank_s: float) -> None:
    """Count one batch."""
    arm = verdict.arm.name
    REQUESTS.labels(arm, str(verdict.quality)).inc(len(verdict.asks))
    SECONDS.labels(arm).observe(seconds)
    RANK_SECONDS.labels(arm).observe(rank_s)


def observe_shadow(scored: Scored) -> None:
    """Count what a shadow scored or skipped."""
    SHADOWED.labels("scored").inc(scored.requests)
    SHADOWED.labels("skipped").inc(scored.skipped)
    SHADOW_ROWS.inc(scored.rows)


def observe_served(production: Edition, beside: Beside) -> None:
    """Set what serves now."""
    serving = beside.editions() | {PRODUCTION: production}
    for arm in (PRODUCTION, CANARY, SHADOW):
        VERSION.labels(arm).set(serving[arm].bundle.version if arm in serving else 0)
