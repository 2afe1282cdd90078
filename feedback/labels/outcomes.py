"""What became of each logged row: when it was shown, clicked and converted, or why it is left out.

Events are aggregated by DuckDB (`feedback.happened`); the verdict is plain columns. Knows no
features and no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feedback.happened import COUNTED, Asked, gather
from feedback.labels.settings import LabelSettings

NEVER = np.int64(1 << 62)


class Excluded(IntEnum):
    """Why a logged row is no label; the first that holds. 0: it is one."""

    NOT = 0
    REPEATED_ROW = 1  # logged twice
    DEGRADED = 2
    TEST = 3
    NOT_SHOWN = 4  # sold, but the page never said that it was rendered
    NOT_COUNTED = 5  # it said so, but too late or with a ticket that is gone
    ROBOT = 6  # its person clicked more than people do, in a minute or of all it saw that day
    FLOODED = 7  # its decision was clicked more in a minute than people do
    BLIND_CLICK = 8  # clicked before it was shown
    FAST_CLICK = 9
    OPEN = 10  # its click may still come


@dataclass(frozen=True, slots=True)
class Keys:
    """[R] logged rows, as far as events are concerned."""

    decision: NDArray[np.uint64]
    slot: NDArray[np.int64]
    quality: NDArray[np.int64]
    person: NDArray[np.int64]
    """0: nobody known."""

    def __len__(self) -> int:
        return len(self.decision)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """[R] what became of each row; times are wall ms, NEVER where it did not happen."""

    shown: NDArray[np.int64]
    clicked: NDArray[np.int64]
    """The first counted click, however late."""
    converted: NDArray[np.int64]
    excluded: NDArray[np.int8]


def outcomes(
    connection: duckdb.DuckDBPyConnection, keys: Keys, asked: Asked, settings: LabelSettings
) -> Outcomes:
    """One verdict for each row, from the events of `asked`."""
    _aggregate(connection, keys, asked)
    found = connection.execute("""
        SELECT shown, clicked, converted, tried, blind, test, decision_clicks, person_clicks,
            all_clicks, all_shows
        FROM logged LEFT JOIN happened USING (decision, slot)
            LEFT JOIN floods USING (decision) LEFT JOIN robots USING (person)
        ORDER BY row
    """).fetchnumpy()
    columns = {name: _filled(column, name) for name, column in found.items()}
    excluded = _verdict(keys, columns, asked, settings)
    return Outcomes(columns["shown"], columns["clicked"], columns["converted"], excluded)


def _aggregate(connection: duckdb.DuckDBPyConnection, keys: Keys, asked: Asked) -> None:
    """Tables by decision and slot, by decision, and by person, of what happened."""
    table = {name: getattr(keys, name) for name in ("decision", "slot", "person")}
    connection.register("logged", pa.table({"row": np.arange(len(keys)), **table}))
    gather(connection, asked)
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE floods AS
        SELECT decision, max(clicks) AS decision_clicks FROM (
            SELECT decision, count(*) AS clicks FROM happening
            WHERE kind = 'click' GROUP BY decision, t // 60000
        ) GROUP BY decision;
        CREATE OR REPLACE TEMP TABLE robots AS
        SELECT person, max(clicks) AS person_clicks, sum(clicks)::BIGINT AS all_clicks,
            sum(shows)::BIGINT AS all_shows
        FROM (
            SELECT person, count(*) FILTER (kind = 'click') AS clicks,
                count(*) FILTER (kind = 'impression' AND {COUNTED}) AS shows
            FROM happening
            JOIN (SELECT DISTINCT decision, slot, person FROM logged WHERE person > 0)
            USING (decision, slot)
            GROUP BY person, t // 60000
        ) GROUP BY person
    """)


def events_seen(connection: duckdb.DuckDBPyConnection, asked: Asked) -> dict[str, int]:
    """Events by kind and code, as "click DUPLICATE", and those of rows that nobody logged; of the
    decisions last given to `outcomes`."""
    span = f"decided >= {asked.since_ms} AND decided < {asked.until_ms} AND kind <> 'viewable'"
    rows = connection.execute(f"""
        SELECT kind || ' ' || code, count(*) FROM happening WHERE {span} GROUP BY 1
        UNION ALL
        SELECT kind || ' of no row', count(*) FROM happening
        WHERE {span} AND NOT test AND (decision, slot) NOT IN (SELECT (decision, slot) FROM logged)
        GROUP BY 1 ORDER BY 1
    """).fetchall()
    return dict(rows)


def _filled(column: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Times that never came are NEVER, counts of nothing 0."""
    missing = NEVER if name in ("shown", "clicked", "converted") else 0
    return np.ma.filled(np.ma.asarray(column), missing).astype(np.int64)


def _verdict(
    keys: Keys, column: Mapping[str, NDArray[np.int64]], asked: Asked, settings: LabelSettings
) -> NDArray[np.int8]:
    shown, clicked = column["shown"], column["clicked"]
    was_clicked = clicked < NEVER
    rules = {
        Excluded.REPEATED_ROW: repeated(keys),
        Excluded.DEGRADED: keys.quality > settings.worst_quality,
        Excluded.TEST: column["test"] > 0,
        Excluded.NOT_SHOWN: (shown == NEVER) & (column["tried"] == 0),
        Excluded.NOT_COUNTED: shown == NEVER,
        Excluded.ROBOT: _robot(column, settings),
        Excluded.FLOODED: column["decision_clicks"] > settings.decision_clicks,
        Excluded.BLIND_CLICK: column["blind"] > 0,
        Excluded.FAST_CLICK: was_clicked & (clicked - shown < settings.fastest_click_ms),
        Excluded.OPEN: (settings.form == "settled")
        & (shown + 1000 * settings.click_window_s > asked.now_ms),
    }
    return np.select(list(rules.values()), list(rules), default=Excluded.NOT).astype(np.int8)


def _robot(column: Mapping[str, NDArray[np.int64]], settings: LabelSettings) -> NDArray[np.bool_]:
    """[R] the row's person clicks faster, or a greater part of what it sees, than people do."""
    many = column["all_clicks"] >= settings.suspect_clicks
    eager = column["all_clicks"] > settings.suspect_rate * column["all_shows"]
    fast: NDArray[np.bool_] = column["person_clicks"] > settings.person_clicks
    return fast | (many & eager)


def repeated(keys: Keys) -> NDArray[np.bool_]:
    """[R] rows of a decision and slot that an earlier row has already."""
    order = np.lexsort((keys.slot, keys.decision))
    decision, slot = keys.decision[order], keys.slot[order]
    again = np.zeros(len(keys), np.bool_)
    again[order[1:]] = (decision[1:] == decision[:-1]) & (slot[1:] == slot[:-1])
    return again
