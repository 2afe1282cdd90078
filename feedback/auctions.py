"""What the auctions were like: who bid what, who won at which price, and what rules cost.

Bids and prices are per thousand impressions, of the winner and the best loser of each slot, which
the decision log has for every sale. Everything is computed by SQL and proves its own sums. Test
traffic is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, Pricing, Rejection
from feedback.reports import ReportError, Span

KEYS = {
    "placement": "placement",
    "tier": "tier",
    "pricing": "if(pricing = 0 AND per_click, 1, pricing)",
    "deal": "deal",
    "advertiser": "advertiser",
    "hour": "strftime(make_timestamp(t * 1000), '%Y-%m-%d %H:00')",
}
"""Dimension -> its SQL. Slots that stayed empty have a placement and an hour only."""
OF_SALES = ("tier", "pricing", "deal", "advertiser")
QUANTILES = (0.1, 0.5, 0.9)
PER_DECADE = 10
"""Bins of bids and prices: each is 26 % wider than the one before."""
MOST_POINTS = 20_000
ENTERED = (
    Rejection.WON, Rejection.OUTBID, Rejection.LOST_TO_DEAL, Rejection.LOWER_TIER,
    Rejection.BELOW_FLOOR, Rejection.BELOW_DEAL_FLOOR, Rejection.PACING, Rejection.FAIRNESS,
    Rejection.EXPLORED,
)  # fmt: skip
"""What a row that was in the running may have come to."""


@dataclass(frozen=True, slots=True)
class Spread:
    """P10, P50 and P90 per thousand impressions; zeros where there was nothing."""

    low_micros: int = 0
    median_micros: int = 0
    high_micros: int = 0


@dataclass(frozen=True, slots=True)
class Landscape:
    """One row of the report."""

    key: Any
    name: str
    slots: int
    """Decided on; of a dimension of sales, the sold ones."""
    sold: int
    bid_micros: int
    """Sum of the winning bids."""
    clear_micros: int
    """Sum of the prices, per thousand impressions."""
    plain_micros: int
    """Sum of the prices with fairness off, where somebody would have bought then."""
    first_price: int
    """Sold at the winner's own bid because the request asked for it."""
    contested: int
    """Sold with a runner-up."""
    winning: Spread
    losing: Spread
    """Of the best loser of each sold slot."""

    @property
    def fill_rate(self) -> float:
        return self.sold / self.slots if self.slots else 0.0

    @property
    def revenue_micros(self) -> int:
        """Expected, if every ad that was sold is shown once; rounded."""
        return round(self.clear_micros / 1000)

    @property
    def paid_share(self) -> float:
        """Price paid of each unit bid."""
        return self.clear_micros / self.bid_micros if self.bid_micros else 0.0

    @property
    def fairness_cost_micros(self) -> int:
        return round((self.plain_micros - self.clear_micros) / 1000)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of bids or prices; bin b holds 10^(b/PER_DECADE) to 10^((b+1)/PER_DECADE) dollars."""

    first: int
    count: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """[bins + 1] dollars per thousand impressions."""
        return np.asarray(
            10 ** ((self.first + np.arange(len(self.count) + 1)) / PER_DECADE), np.float64
        )


@dataclass(frozen=True, slots=True)
class WinRate:
    """Of the rows in the running of sampled auctions, by bid: how many won a slot."""

    entered: Histogram
    won: Histogram


@dataclass(frozen=True, slots=True)
class AuctionReport:
    rows: dict[str, tuple[Landscape, ...]]
    """Dimension -> rows, most revenue first."""
    total: Landscape
    histograms: dict[str, Histogram]
    """winning bid, losing bid, price."""
    points: NDArray[np.float64]
    """[n, 2] winning bid and price in dollars, of up to MOST_POINTS sales."""
    as_of_ms: int
    win_rate: WinRate | None = field(default=None)
    """None without sampled auctions."""


def auctions(
    connection: duckdb.DuckDBPyConnection,
    span: Span | None = None,
    names: Mapping[str, Mapping[Any, str]] | None = None,
) -> AuctionReport:
    """Bids and prices by every dimension; raises ReportError if the sums contradict each other."""
    since, until = (span or Span()).since_ms, (span or Span()).until_ms
    connection.execute(f"""
        CREATE OR REPLACE TEMP VIEW slot AS SELECT * FROM decisions
        WHERE NOT test AND t >= {int(since)} AND t < {int(until)}
    """)
    rows = {by: _rows(connection, by, (names or {}).get(by, {})) for by in KEYS}
    (total,) = _rows(connection, "", {}) or (_EMPTY,)
    report = AuctionReport(
        rows=rows,
        total=total,
        histograms={
            "winning bid": _histogram(connection, "bid_cpm_micros"),
            "best losing bid": _histogram(connection, "runner_up_cpm_micros"),
            "price": _histogram(connection, "clear_micros"),
        },
        points=_points(connection),
        as_of_ms=_one(connection, "SELECT max(t) FROM decisions"),
    )
    _prove(report)
    return report


def win_rate(bids: Iterable[tuple[NDArray[np.int64], NDArray[np.uint8]]]) -> WinRate | None:
    """From bids per thousand impressions and the codes they came to, of any number of auctions."""
    entered, won = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for cpm, code in bids:
        running = np.isin(code, ENTERED) & (cpm > 0)
        bins = np.floor(np.log10(cpm[running] / 1e6) * PER_DECADE).astype(np.int64) + _OFFSET
        bins = np.clip(bins, 0, 2 * _OFFSET)
        entered = _added(entered, bins)
        won = _added(won, bins[code[running] == Rejection.WON])
    if not entered.any():
        return None
    low, high = np.flatnonzero(entered)[[0, -1]]
    first = int(low) - _OFFSET
    size = max(len(entered), len(won))
    both = [np.pad(counts, (0, size - len(counts)))[low : high + 1] for counts in (entered, won)]
    return WinRate(Histogram(first, both[0]), Histogram(first, both[1]))


def cpm_of(
    bid_micros: NDArray[np.int64], per_click: NDArray[np.bool_], pctr_ppm: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bids [R] per thousand impressions in each row's best slot; `pctr_ppm` is [R, S]."""
    best = pctr_ppm.max(axis=1, initial=1)
    return np.asarray(np.where(per_click, bid_micros * best // MILLE, bid_micros), np.int64)


_OFFSET = 60
"""Bins below one dollar."""
_EMPTY = Landscape(None, "total", 0, 0, 0, 0, 0, 0, 0, Spread(), Spread())
_SUMS = (
    "slots", "sold", "bid_micros", "clear_micros", "plain_micros", "first_price", "contested",
)  # fmt: skip
_WON = "reason = 0"


def _rows(
    connection: duckdb.DuckDBPyConnection, by: str, names: Mapping[Any, str]
) -> tuple[Landscape, ...]:
    key = KEYS.get(by, "'total'")
    quantiles = ", ".join(
        f"quantile_disc({column}, {list(QUANTILES)}) FILTER ({_WON} AND {column} > 0)"
        for column in ("bid_cpm_micros", "runner_up_cpm_micros")
    )
    found = connection.execute(f"""
        SELECT {key} AS key, count(*), count(*) FILTER ({_WON}),
            coalesce(sum(bid_cpm_micros) FILTER ({_WON}), 0)::BIGINT,
            coalesce(sum(clear_micros) FILTER ({_WON}), 0)::BIGINT,
            coalesce(sum(plain_clear_micros), 0)::BIGINT,
            count(*) FILTER ({_WON} AND first_price),
            count(*) FILTER ({_WON} AND runner_up_ad > 0), {quantiles}
        FROM slot {f"WHERE {_WON}" if by in OF_SALES else ""}
        GROUP BY 1 ORDER BY 5 DESC, 1
    """).fetchall()
    return tuple(
        Landscape(
            key=one[0],
            name=_name(by, one[0], names),
            winning=_spread(one[8]),
            losing=_spread(one[9]),
            **dict(zip(_SUMS, one[1:8], strict=True)),
        )
        for one in found
    )


def _spread(quantiles: list[int] | None) -> Spread:
    return Spread(*map(int, quantiles)) if quantiles else Spread()


def _name(by: str, key: Any, names: Mapping[Any, str]) -> str:
    if by == "pricing":
        return Pricing(key).name if key in set(Pricing) else f"pricing {key}"
    if by in {"deal", "tier"}:
        return names.get(key) or (f"{by} {key}" if key or by == "tier" else "open auction")
    return names.get(key) or str(key) or "(unknown)"


def _histogram(connection: duckdb.DuckDBPyConnection, column: str) -> Histogram:
    found = dict(
        connection.execute(f"""
            SELECT floor(log10({column} / 1e6) * {PER_DECADE})::BIGINT, count(*)
            FROM slot WHERE {_WON} AND {column} > 0 GROUP BY 1
        """).fetchall()
    )
    if not found:
        return Histogram(0, np.zeros(0, np.int64))
    bins = range(min(found), max(found) + 1)
    return Histogram(min(found), np.array([found.get(at, 0) for at in bins], np.int64))


def _points(connection: duckdb.DuckDBPyConnection) -> NDArray[np.float64]:
    """The same sales whenever it is asked: a hash of their numbers chooses."""
    found = connection.execute(f"""
        SELECT bid_cpm_micros / 1e6, clear_micros / 1e6 FROM slot
        WHERE {_WON} AND bid_cpm_micros > 0 AND clear_micros > 0
        ORDER BY hash(number) LIMIT {MOST_POINTS}
    """).fetchall()
    return np.array(found, np.float64).reshape(-1, 2)


def _prove(report: AuctionReport) -> None:
    """Each dimension adds up to the whole, to the last slot and micro."""
    total = report.total
    for by, rows in report.rows.items():
        slots = total.sold if by in OF_SALES else total.slots
        expected = (slots, total.sold, total.clear_micros, total.bid_micros)
        sums = tuple(
            sum(getattr(row, name) for row in rows)
            for name in ("slots", "sold", "clear_micros", "bid_micros")
        )
        if sums != expected:
            raise ReportError(f"by {by}: the rows add up to {sums}, all slots to {expected}")


def _added(counts: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    more = np.bincount(bins, minlength=len(counts))
    return np.asarray(np.pad(counts, (0, len(more) - len(counts))) + more, np.int64)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
