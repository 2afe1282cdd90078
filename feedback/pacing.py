"""Spend against plan: what each budget was due by now, what it has spent, and what held it back.

A plan is a day's budget, due along the traffic: a campaign is due the share of its budget that the
day's requests until now are of all requests of a usual day. The traffic is learnt from the decision
log itself (`auction.traffic`). Why a budget lags is counted in the sampled auctions, where every
candidate has its one reason. Test traffic is left out; days are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from adserver.records import DAY_MS
from auction.columns import LEVELS, Level, Rejection
from auction.shortfall import GROUP, Shortfall
from auction.traffic import Curve, CurveLearner
from feedback.reports import ReportError

HOUR_MS = 3_600_000
HOURS = 24
LAGGING = 0.975
"""Below this share of what is due a budget under-delivers."""
_WORDS = {
    Shortfall.OUTBID: "lost to other bids",
    Shortfall.PACING: "held back by pacing",
    Shortfall.CAPS: "page rules and fairness",
    Shortfall.TARGETING: "targeting",
    Shortfall.CREATIVE: "creative or publisher's rules",
    Shortfall.SUPPLY: "no time or no auction",
}
WHY = {code: _WORDS[group] for code, group in GROUP.items()} | {
    Rejection.BUDGET: "budget spent",
    Rejection.FREQUENCY: "frequency caps",
}
"""What kept a budget's ads from slots they were candidates for, in words; two groups are told
apart further than a plan needs."""
UNDER = {"campaign": Level.CAMPAIGN, "line_item": Level.LINE_ITEM, "advertiser": Level.ADVERTISER}
Reasons = dict[int, dict[int, int]]
"""Id -> Rejection -> candidates."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget on one day."""

    key: int
    name: str
    plan_micros: int
    """Of the whole day."""
    due_micros: int
    """Until now."""
    hours: tuple[int, ...]
    """[24] micros spent in each hour."""
    reasons: dict[str, float]
    """What kept its ads from slots, each as a share of what did; empty without sampled auctions."""
    projected_micros: int
    """Spend at the end of the day if it goes on like this; at most the plan."""

    @property
    def spent_micros(self) -> int:
        return sum(self.hours)

    @property
    def delivery(self) -> float:
        """Spent of what is due; 1 for a budget of which nothing is due yet."""
        return self.spent_micros / self.due_micros if self.due_micros else 1.0

    @property
    def lags(self) -> bool:
        return self.delivery < LAGGING

    @property
    def reason(self) -> str:
        """The first reason of a budget that lags."""
        if not self.lags:
            return ""
        return next(iter(self.reasons), "no auction that it was a candidate in")


@dataclass(frozen=True, slots=True)
class PacingReport:
    by: str
    day: str
    rows: tuple[Budget, ...]
    """Largest plan first."""
    traffic: NDArray[np.float64]
    """[24] expected share of the day's requests in each hour."""
    elapsed: float
    """Of the day, in hours."""
    passed: float
    """Share of the day's traffic that is over."""
    as_of_ms: int
    sampled: int
    """Candidates whose reasons were counted."""


def pacing(
    connection: duckdb.DuckDBPyConnection,
    plan_micros: Mapping[int, int],
    by: str = "campaign",
    names: Mapping[int, str] | None = None,
    reasons: Reasons | None = None,
) -> PacingReport:
    """The latest day in the log; ids without a plan are in it if they have spent."""
    if by not in UNDER:
        raise ValueError(f"by must be one of {', '.join(UNDER)}, not {by!r}")
    as_of_ms = _one(
        connection,
        "SELECT greatest((SELECT max(t) FROM decisions), (SELECT max(t) FROM events))",
    )
    day_ms = as_of_ms // DAY_MS * DAY_MS
    spent = _spent(connection, by, day_ms)
    traffic, elapsed = _traffic(_curve(connection), day_ms), (as_of_ms - day_ms) / HOUR_MS
    passed = passed_of(traffic, elapsed)
    idle = dict.fromkeys(plan_micros, (0,) * HOURS)
    rows = [
        _budget(_name(key, names), plan_micros.get(key, 0), hours, passed, (reasons or {}).get(key))
        for key, hours in (idle | spent).items()
    ]
    report = PacingReport(
        by=by,
        day=str(np.datetime64(day_ms, "ms").astype("datetime64[D]")),
        rows=tuple(sorted(rows, key=lambda row: (-row.plan_micros, row.key))),
        traffic=traffic,
        elapsed=elapsed,
        passed=passed,
        as_of_ms=as_of_ms,
        sampled=sum(sum(codes.values()) for codes in (reasons or {}).values()),
    )
    _prove(connection, report.rows, day_ms)
    return report


def passed_of(traffic: NDArray[np.float64], elapsed: float) -> float:
    """Share of the day's traffic that is over after so many hours."""
    whole = int(elapsed)
    part = traffic[whole] * (elapsed - whole) if whole < HOURS else 0.0
    return float(traffic[:whole].sum() + part)


def count_reasons(
    auctions: Iterable[tuple[NDArray[np.int32], NDArray[np.uint8]]], by: str
) -> Reasons:
    """From the accounts [R, LEVELS] of candidates and the codes [R] they came to."""
    counts: Reasons = {}
    for account, code in auctions:
        owner = account[:, UNDER[by]] // LEVELS
        lost = (code != Rejection.WON) & (owner >= 0)
        pairs, found = np.unique(
            owner[lost].astype(np.int64) * 256 + code[lost], return_counts=True
        )
        for pair, count in zip(pairs.tolist(), found.tolist(), strict=True):
            of = counts.setdefault(pair // 256, {})
            of[pair % 256] = of.get(pair % 256, 0) + count
    return counts


def _budget(
    named: tuple[int, str],
    plan: int,
    hours: tuple[int, ...],
    passed: float,
    codes: Mapping[int, int] | None,
) -> Budget:
    spent = sum(hours)
    projected = round(spent / passed) if passed > 0 else 0
    return Budget(
        *named,
        plan_micros=plan,
        due_micros=round(plan * passed),
        hours=hours,
        reasons=_shares(codes or {}),
        projected_micros=max(spent, min(projected, plan)) if plan else projected,
    )


def _name(key: int, names: Mapping[int, str] | None) -> tuple[int, str]:
    return key, (names or {}).get(key, str(key) if key else "(none)")


def _shares(codes: Mapping[int, int]) -> dict[str, float]:
    """Largest first."""
    total = sum(codes.values())
    named: dict[str, int] = {}
    for code, count in codes.items():
        why = WHY[Rejection(code)]
        named[why] = named.get(why, 0) + count
    ordered = sorted(named.items(), key=lambda item: (-item[1], item[0]))
    return {why: count / total for why, count in ordered}


def _spent(
    connection: duckdb.DuckDBPyConnection, by: str, day_ms: int
) -> dict[int, tuple[int, ...]]:
    """Billed on the day, by the hour of the event: budgets count when money is spent."""
    hours: dict[int, list[int]] = {}
    for key, hour, micros in connection.execute(
        f"""
        SELECT {by}, (t - $1) // {HOUR_MS}, sum(billed_micros)::BIGINT FROM events
        WHERE NOT test AND billed_micros > 0 AND t >= $1 AND t < $1 + {DAY_MS} GROUP BY 1, 2
        """,
        [day_ms],
    ).fetchall():
        hours.setdefault(int(key), [0] * HOURS)[int(hour)] = int(micros)
    return {key: tuple(spent) for key, spent in hours.items()}


def _curve(connection: duckdb.DuckDBPyConnection) -> Curve:
    """Requests by hour of the week, from the whole log; an hour without any was a quiet one."""
    found = connection.execute(
        f"""
        SELECT t // {HOUR_MS}, count(*), min(t), max(t) FROM decisions
        WHERE NOT test AND position = 0 GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    learner = CurveLearner()
    if not found:
        return learner.curve()
    requests = {hour: count for hour, count, _, _ in found}
    begin, end = found[0][2], found[-1][3]
    for hour in range(found[0][0], found[-1][0] + 1):
        since, until = max(begin, hour * HOUR_MS), min(end, (hour + 1) * HOUR_MS - 1)
        learner.observe(since / 1000, until / 1000, requests.get(hour, 0))
    after = (found[-1][0] + 1) * HOUR_MS / 1000
    learner.observe(after, after, 0)  # an hour is learnt when the next one begins
    return learner.curve()


def _traffic(curve: Curve, day_ms: int) -> NDArray[np.float64]:
    edges = np.asarray(day_ms / 1000 + 3600.0 * np.arange(HOURS + 1), np.float64)
    mass = curve.between(edges[:-1], edges[1:])
    return np.asarray(mass / mass.sum(), np.float64)


def _prove(connection: duckdb.DuckDBPyConnection, rows: tuple[Budget, ...], day_ms: int) -> None:
    spent = sum(row.spent_micros for row in rows)
    billed = _one(
        connection,
        "SELECT sum(billed_micros)::BIGINT FROM events WHERE NOT test "
        f"AND t >= {day_ms} AND t < {day_ms + DAY_MS}",
    )
    if spent != billed:
        raise ReportError(f"the budgets spent {spent} micros, the events of the day bill {billed}")


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
