"""What pages reported of each sold slot: events joined by decision and slot, in one place.

Says what came when and whether it counted. Which of it is a label, or an arm's, is for those who
ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

COUNTED = "code IN ('OK', 'RELEASED')"
MARGIN_MS = 3_600_000
"""An event's `decided` and its row's time are read off one clock, but not at one moment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events to look at: those of decisions made in a span, as far as they are known."""

    since_ms: int
    until_ms: int
    now_ms: int = 1 << 62
    """What came later is not looked at; all of it, if not given."""


def gather(connection: duckdb.DuckDBPyConnection, asked: Asked) -> None:
    """Temporary tables of the decisions asked for: `happening`, an event a row, and `happened`.

    Of each decision u64 and slot, `happened` has the wall ms of the first `shown`, `clicked` and
    `converted` that counted, how often the page `tried` to show it, its clicks that came before it
    was shown (`blind`), the `micros` billed, and whether any of it was a `test`.
    """
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE happening AS
        SELECT try_cast('0x' || decision AS UBIGINT) AS decision,
            slot, kind, code, t, decided, test, billed_micros
        FROM events
        WHERE decided >= {asked.since_ms - MARGIN_MS} AND decided < {asked.until_ms + MARGIN_MS}
            AND t <= {asked.now_ms} AND decision <> '';
        CREATE OR REPLACE TEMP TABLE happened AS
        SELECT decision, slot,
            min(t) FILTER (kind = 'impression' AND {COUNTED}) AS shown,
            min(t) FILTER (kind = 'click' AND {COUNTED}) AS clicked,
            min(t) FILTER (kind = 'conversion' AND {COUNTED}) AS converted,
            count(*) FILTER (kind = 'impression') AS tried,
            count(*) FILTER (kind = 'click' AND code = 'NO_PRIOR_IMP') AS blind,
            (sum(billed_micros) FILTER ({COUNTED}))::BIGINT AS micros,
            bool_or(test)::BIGINT AS test
        FROM happening WHERE decision IS NOT NULL GROUP BY 1, 2
    """)
