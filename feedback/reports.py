"""What happened, in figures: click rates, money and fill by any dimension.

Everything is computed from the Parquet tables by SQL, and each report proves its own sums: slot
decisions are fills plus no-fills by reason, exactly, in every row and in total. Test traffic is
left out. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import duckdb

from auction.columns import Rejection
from feedback.chance import NORMAL_95

Names = Mapping[str, Mapping[Any, str]]
"""Dimension -> key -> what to show for it."""
_OF_BOTH = {
    "advertiser": "advertiser",
    "campaign": "campaign",
    "ad": "ad",
    "creative": "creative",
    "placement": "placement",
    "hour": "strftime(make_timestamp(moment * 1000), '%Y-%m-%d %H:00')",
    "hour_of_day": "(moment // 3600000 % 24)",
    "date": "strftime(make_timestamp(moment * 1000), '%Y-%m-%d')",
}
_OF_DECISIONS = ("publisher", "domain", "country", "device", "quality", "line_item")
"""Events get these from the decision that they belong to."""
DIMENSIONS = (*_OF_BOTH, *_OF_DECISIONS)
_TIMES = {"hour", "hour_of_day", "date"}
_IDS = {"advertiser", "campaign", "ad", "creative", "line_item"}
_COUNTS = "code in ('OK', 'RELEASED')"


class ReportError(Exception):
    """The figures contradict each other: the data or the report has a bug."""


@dataclass(frozen=True, slots=True)
class Span:
    """Decisions of these wall-clock milliseconds, end not included, with all their events."""

    since_ms: int = 0
    until_ms: int = 1 << 62


EVENTS = ("impressions", "viewables", "clicks", "conversions", "filtered")
"""Fields of `Figures` that count events, each event once."""


@dataclass(slots=True)
class Figures:
    """One row of a report."""

    key: Any
    name: str
    decisions: int = 0
    """Slots that were decided on: fills and no-fills."""
    fills: int = 0
    no_fills: dict[str, int] = field(default_factory=dict)
    """Reason -> slots left empty for it."""
    impressions: int = 0
    viewables: int = 0
    clicks: int = 0
    conversions: int = 0
    filtered: int = 0
    """Events that were not counted: duplicates, late, forged."""
    spend_micros: int = 0

    @property
    def unfilled(self) -> int:
        return sum(self.no_fills.values())

    @property
    def fill_rate(self) -> float:
        return self.fills / self.decisions if self.decisions else 0.0

    @property
    def ctr(self) -> float:
        return self.clicks / self.impressions if self.impressions else 0.0

    @property
    def ctr_interval(self) -> tuple[float, float]:
        return wilson(self.clicks, self.impressions)

    @property
    def ecpm_micros(self) -> int:
        """Spend per thousand impressions, rounded to whole micros."""
        return round(self.spend_micros * 1000 / self.impressions) if self.impressions else 0


@dataclass(frozen=True, slots=True)
class CtrReport:
    by: str
    rows: tuple[Figures, ...]
    """Largest spend first; in time order for times."""
    total: Figures
    filtered: dict[str, int]
    """Filter code -> events that were not counted."""
    requests: int
    as_of_ms: int
    """Wall clock of the latest record that the report knows; 0 when it knows none."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a rate; (0, 1) when nothing was tried.

    Unlike the textbook interval it stays inside [0, 1] and is honest at few clicks (Wilson 1927).
    """
    if trials == 0:
        return 0.0, 1.0
    z = NORMAL_95
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    low = max(0.0, centre - half) if successes else 0.0  # not the 1e-19 that rounding leaves
    return low, min(1.0, centre + half) if successes < trials else 1.0


def ctr(
    connection: duckdb.DuckDBPyConnection,
    by: str = "advertiser",
    span: Span | None = None,
    names: Names | None = None,
) -> CtrReport:
    """Figures by one dimension; raises ReportError if they don't add up."""
    if by not in DIMENSIONS:
        raise ValueError(f"by must be one of {', '.join(DIMENSIONS)}, not {by!r}")
    _views(connection, span or Span())
    rows = _slots_by(connection, by, (names or {}).get(by, {}))
    _add_events(connection, by, rows, (names or {}).get(by, {}))
    report = CtrReport(
        by=by,
        rows=tuple(sorted(rows.values(), key=_order(by))),
        total=_total(rows.values()),
        filtered=dict(
            _rows(
                connection,
                f"SELECT code, count(*) FROM e WHERE NOT {_COUNTS} GROUP BY 1 ORDER BY 1",
            )
        ),
        requests=_one(connection, "SELECT count(*) FROM d WHERE position = 0"),
        as_of_ms=_one(
            connection,
            "SELECT greatest((SELECT max(t) FROM decisions), (SELECT max(t) FROM events))",
        ),
    )
    _prove(connection, report)
    return report


def _views(connection: duckdb.DuckDBPyConnection, span: Span) -> None:
    since, until = int(span.since_ms), int(span.until_ms)
    connection.execute(f"""
        CREATE OR REPLACE TEMP VIEW d AS SELECT *, t AS moment FROM decisions
        WHERE NOT test AND t >= {since} AND t < {until};
        CREATE OR REPLACE TEMP VIEW e AS SELECT *, if(decided > 0, decided, t) AS moment FROM events
        WHERE NOT test AND if(decided > 0, decided, t) >= {since}
        AND if(decided > 0, decided, t) < {until}
    """)


def _slots_by(
    connection: duckdb.DuckDBPyConnection, by: str, names: Mapping[Any, str]
) -> dict[Any, Figures]:
    rows: dict[Any, Figures] = {}
    key = _OF_BOTH.get(by, by)
    for value, reason, slots in _rows(
        connection, f"SELECT {key} AS key, reason, count(*) FROM d GROUP BY 1, 2 ORDER BY 1, 2"
    ):
        row = rows.setdefault(value, Figures(value, _name(by, value, names)))
        row.decisions += slots
        if reason == Rejection.WON:
            row.fills += slots
        else:
            row.no_fills[reason_name(reason)] = slots
    return rows


def _add_events(
    connection: duckdb.DuckDBPyConnection,
    by: str,
    rows: dict[Any, Figures],
    names: Mapping[Any, str],
) -> None:
    key, source = _OF_BOTH.get(by), "e"
    if key is None:
        missing = "''" if by not in {"quality", "line_item"} else "-1"
        key = f"coalesce(sold.{by}, {missing})"
        source = f"e LEFT JOIN (SELECT number, {by} FROM d WHERE reason = 0) sold USING (number)"
    for value, *counts in _rows(
        connection,
        f"""
        SELECT {key} AS key,
            count(*) FILTER (kind = 'impression' AND {_COUNTS}),
            count(*) FILTER (kind = 'viewable' AND {_COUNTS}),
            count(*) FILTER (kind = 'click' AND {_COUNTS}),
            count(*) FILTER (kind = 'conversion' AND {_COUNTS}),
            count(*) FILTER (NOT {_COUNTS}),
            sum(billed_micros)::BIGINT
        FROM {source} GROUP BY 1 ORDER BY 1
        """,
    ):
        row = rows.setdefault(value, Figures(value, _name(by, value, names)))
        row.impressions, row.viewables, row.clicks, row.conversions, row.filtered = counts[:-1]
        row.spend_micros = counts[-1]


def _total(rows: Any) -> Figures:
    total = Figures(None, "total")
    for row in rows:
        for name in ("decisions", "fills", *EVENTS):
            setattr(total, name, getattr(total, name) + getattr(row, name))
        total.spend_micros += row.spend_micros
        for reason, slots in row.no_fills.items():
            total.no_fills[reason] = total.no_fills.get(reason, 0) + slots
    return total


def _prove(connection: duckdb.DuckDBPyConnection, report: CtrReport) -> None:
    """Count again without grouping; the two ways must agree to the last slot and micro."""
    for row in (*report.rows, report.total):
        if row.decisions != row.fills + row.unfilled:
            raise ReportError(f"{report.by} {row.name}: decisions are not fills plus no-fills")
    total = report.total
    expected = {
        "SELECT count(*) FROM d": total.decisions,
        "SELECT count(*) FROM d WHERE number > 0": total.fills,
        "SELECT count(*) FROM e": sum(getattr(total, name) for name in EVENTS),
        "SELECT coalesce(sum(billed_micros), 0)::BIGINT FROM e": total.spend_micros,
    }
    for query, figure in expected.items():
        counted = _one(connection, query)
        if counted != figure:
            raise ReportError(
                f"by {report.by}: {query} gives {counted}, the rows add up to {figure}"
            )


def reason_name(code: int) -> str:
    """The reason's name; a code that a newer server wrote keeps its number."""
    try:
        return Rejection(code).name
    except ValueError:
        return f"CODE_{code}"


def _name(by: str, value: Any, names: Mapping[Any, str]) -> str:
    if by in _IDS and not value:
        return "(none)"
    return names.get(value) or str(value) or "(unknown)"


def _order(by: str) -> Any:
    if by in _TIMES:
        return lambda row: row.key
    return lambda row: (-row.spend_micros, -row.decisions, str(row.key))


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
