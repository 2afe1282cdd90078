"""Who was shown, how evenly, and what evenness cost.

The cost is exact, not modelled: every decision says at what price it would have sold with fairness
off. Test traffic is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from feedback.merit import Tally, tally
from feedback.reports import Span
from feedback.spread import Merit, Spread, merit, spread

BASES = {
    "impressions": "SELECT advertiser, decided AS moment FROM events "
    "WHERE NOT test AND kind = 'impression' AND code IN ('OK', 'RELEASED')",
    "fills": "SELECT advertiser, t AS moment FROM decisions WHERE NOT test AND reason = 0",
}


@dataclass(frozen=True, slots=True)
class AdvertiserShare:
    advertiser: int
    name: str
    exposures: int
    share: float
    plain_share: float
    """Of the slots that somebody would have won with fairness off."""
    eligible_share: float
    """Of the recorded auctions, those in which it could have bought; 0 without any, like these:"""
    merit_share: float
    """Of what all would have paid in the auctions in which they could have bought."""
    per_merit: float
    """Exposure share over merit share: 1 is proportional."""


@dataclass(frozen=True, slots=True)
class HourlyCost:
    """Prices of single impressions, summed and rounded."""

    hour: str
    plain_micros: int
    clear_micros: int
    relaxed: int


@dataclass(frozen=True, slots=True)
class FairnessReport:
    basis: str
    rows: tuple[AdvertiserShare, ...]
    """Largest share first."""
    overall: Spread
    hours: tuple[tuple[str, Spread], ...]
    """Each hour, over the same advertisers as `overall`."""
    exposure: NDArray[np.int64]
    """[advertisers] for the Lorenz curve."""
    merit: Merit | None
    """The same advertisers; None when no auction was recorded."""
    auctions: int
    """Recorded auctions that merit is taken from."""
    costs: tuple[HourlyCost, ...]
    plain_micros: int
    """Per thousand impressions, summed over slots, as `clear_micros`: prices with fairness off."""
    clear_micros: int
    relaxed: int
    """Slots sold past the cap, because they would have stayed empty."""

    @property
    def cost_micros(self) -> int:
        """What fairness cost the seller in prices of single impressions, rounded; below 0: it
        earned, since stepping back one bidder can raise the next one's price."""
        return round((self.plain_micros - self.clear_micros) / 1000)

    @property
    def cost_share(self) -> float:
        return 1 - self.clear_micros / self.plain_micros if self.plain_micros else 0.0


def fairness(
    connection: duckdb.DuckDBPyConnection,
    basis: str = "impressions",
    span: Span | None = None,
    names: Mapping[int, str] | None = None,
    recorded: Tally | None = None,
) -> FairnessReport:
    """Exposure by advertiser, against the merit that recorded auctions show.

    With `names`, those never shown count as zeros; without, only advertisers that were shown, or
    would have been, are known.
    """
    if basis not in BASES:
        raise ValueError(f"basis must be one of {', '.join(BASES)}, not {basis!r}")
    span = span or Span()
    hours = _hours(connection, basis, span)
    plain = _plain(connection, span)
    everyone = sorted({*(names or {}), *plain, *(a for counts in hours.values() for a in counts)})
    by_hour = {
        hour: np.array([counts.get(a, 0) for a in everyone], np.int64)
        for hour, counts in sorted(hours.items())
    }
    exposure = sum(by_hour.values(), np.zeros(len(everyone), np.int64))
    money, recorded = _money(connection, span), recorded or tally(())
    deserved = merit(exposure, recorded.of(everyone)[1])
    return FairnessReport(
        basis=basis,
        rows=_shares(everyone, exposure, plain, names or {}, recorded),
        overall=spread(exposure),
        hours=tuple((hour, spread(counts)) for hour, counts in by_hour.items()),
        exposure=exposure,
        plain_micros=money[0],
        clear_micros=money[1],
        relaxed=money[2],
        merit=deserved if recorded.auctions else None,
        auctions=recorded.auctions,
        costs=tuple(_costs(connection, span)),
    )


def _hours(
    connection: duckdb.DuckDBPyConnection, basis: str, span: Span
) -> dict[str, dict[int, int]]:
    hours: dict[str, dict[int, int]] = {}
    for hour, advertiser, count in connection.execute(
        f"""
        SELECT strftime(make_timestamp(moment * 1000), '%Y-%m-%d %H:00'), advertiser, count(*)
        FROM ({BASES[basis]}) WHERE moment >= $1 AND moment < $2 GROUP BY 1, 2
        """,
        [span.since_ms, span.until_ms],
    ).fetchall():
        hours.setdefault(hour, {})[advertiser] = count
    return hours


def _plain(connection: duckdb.DuckDBPyConnection, span: Span) -> dict[int, int]:
    return dict(
        connection.execute(
            """
            SELECT plain_advertiser, count(*) FROM decisions
            WHERE NOT test AND plain_advertiser > 0 AND t >= $1 AND t < $2 GROUP BY 1
            """,
            [span.since_ms, span.until_ms],
        ).fetchall()
    )


def _money(connection: duckdb.DuckDBPyConnection, span: Span) -> tuple[int, int, int]:
    row = connection.execute(
        """
        SELECT coalesce(sum(plain_clear_micros), 0)::BIGINT, coalesce(sum(clear_micros), 0)::BIGINT,
            count(*) FILTER (relaxed)
        FROM decisions WHERE NOT test AND t >= $1 AND t < $2
        """,
        [span.since_ms, span.until_ms],
    ).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def _costs(connection: duckdb.DuckDBPyConnection, span: Span) -> Iterator[HourlyCost]:
    for hour, plain, clear, relaxed in connection.execute(
        """
        SELECT strftime(make_timestamp(t * 1000), '%Y-%m-%d %H:00'),
            coalesce(sum(plain_clear_micros), 0)::BIGINT, coalesce(sum(clear_micros), 0)::BIGINT,
            count(*) FILTER (relaxed)
        FROM decisions WHERE NOT test AND t >= $1 AND t < $2 GROUP BY 1 ORDER BY 1
        """,
        [span.since_ms, span.until_ms],
    ).fetchall():
        yield HourlyCost(hour, round(plain / 1000), round(clear / 1000), relaxed)


def _shares(
    everyone: list[int],
    exposure: NDArray[np.int64],
    plain: dict[int, int],
    names: Mapping[int, str],
    recorded: Tally,
) -> tuple[AdvertiserShare, ...]:
    total, plain_total = max(1, int(exposure.sum())), max(1, sum(plain.values()))
    eligible, worth = recorded.of(everyone)
    deserved = merit(exposure, worth)
    rows = [
        AdvertiserShare(
            advertiser=advertiser,
            name=names.get(advertiser, str(advertiser)),
            exposures=int(exposure[place]),
            share=int(exposure[place]) / total,
            plain_share=plain.get(advertiser, 0) / plain_total,
            eligible_share=int(eligible[place]) / max(1, recorded.auctions),
            merit_share=float(deserved.merit_share[place]),
            per_merit=float(deserved.ratio[place]),
        )
        for place, advertiser in enumerate(everyone)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.exposures, row.advertiser)))
