"""What each user was shown, clicked and brought, by arm, from the feature log and the events.

A user is a row of the model's table of users, 65 536 of them, as the feature log names nobody; the
few users that share a row within an arm count as one, which costs precision and not truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adserver.features.log import read
from adserver.features.rows import matrix
from adserver.records import DAY_MS
from feedback.experiments.ratios import Measured
from feedback.happened import Asked, gather
from feedback.reports import Span
from feedback.warehouse import connect
from ranking.features import REQUEST_FIELDS, bag_starts

Floats = NDArray[np.float64]
_USER = [field.name for field in REQUEST_FIELDS].index("user")
ROWS = REQUEST_FIELDS[_USER].rows
_COLUMN = int(bag_starts(REQUEST_FIELDS)[_USER])


@dataclass(frozen=True, slots=True)
class Users:
    """[U] users of A arms; a row of the table whose people are in two arms is two users."""

    arms: tuple[str, ...]
    arm: NDArray[np.int8]
    shown: Floats
    clicked: Floats
    micros: Floats
    """Billed."""
    before: Floats
    """[U, 3] shown, clicked and billed before the experiment, in whatever arm."""

    def click_rate(self) -> Measured:
        return Measured(self.arm, self.clicked, self.shown, self.before[:, 1], self.before[:, 0])

    def revenue(self) -> Measured:
        """Dollars per thousand impressions."""
        now, then = self.micros / 1000, self.before[:, 2] / 1000
        return Measured(self.arm, now, self.shown, then, self.before[:, 0])

    def people(self) -> Floats:
        """[A] of each arm, from how many rows of the table have any: -B ln(1 - occupied / B)."""
        occupied = np.bincount(self.arm, minlength=len(self.arms))
        free = np.maximum(1 - occupied / ROWS, 0.5 / ROWS)
        return np.asarray(-ROWS * np.log(free), np.float64)


def users(warehouse: Path, features: Path, span: Span, before: Span) -> Users:
    """Decisions of `span` by user and arm, with what was counted of `before` for each user."""
    with connect(warehouse) as connection:
        connection.execute(
            "CREATE TEMP TABLE seen (before BOOLEAN, person BIGINT, arm VARCHAR, shown BIGINT, "
            "clicked BIGINT, micros BIGINT)"
        )
        for earlier, one in ((True, before), (False, span)):
            for since, until in _days(one):
                _add_day(connection, features, Span(since, until), earlier)
        return _users(connection)


def _days(span: Span) -> Iterator[tuple[int, int]]:
    since = span.since_ms
    while since < span.until_ms:
        end = min(span.until_ms, (since // DAY_MS + 1) * DAY_MS)
        yield since, end
        since = end


def _add_day(
    connection: duckdb.DuckDBPyConnection, features: Path, span: Span, before: bool
) -> None:
    table = read(features, span.since_ms, span.until_ms)
    person = matrix(table.column("request"), "request")[:, _COLUMN].astype(np.int64)
    keys = table.select(["decision", "slot", "arm"]).append_column("person", pa.array(person))
    connection.register("sold", keys)
    gather(connection, Asked(span.since_ms, span.until_ms))
    connection.execute(f"""
        INSERT INTO seen SELECT {before}, person, arm, count(shown), count(clicked),
            coalesce(sum(micros), 0)
        FROM (SELECT DISTINCT decision, slot, arm, person FROM sold WHERE person > 0)
        JOIN happened USING (decision, slot) WHERE test = 0 GROUP BY person, arm
    """)


def _users(connection: duckdb.DuckDBPyConnection) -> Users:
    found = connection.execute("""
        WITH now AS (
            SELECT person, arm, sum(shown) AS shown, sum(clicked) AS clicked, sum(micros) AS micros
            FROM seen WHERE NOT before GROUP BY 1, 2
        ), past AS (
            SELECT person, sum(shown) AS shown, sum(clicked) AS clicked, sum(micros) AS micros
            FROM seen WHERE before GROUP BY 1
        )
        SELECT arm, now.shown::DOUBLE AS shown, now.clicked::DOUBLE AS clicked,
            now.micros::DOUBLE AS micros, coalesce(past.shown, 0)::DOUBLE AS a,
            coalesce(past.clicked, 0)::DOUBLE AS b, coalesce(past.micros, 0)::DOUBLE AS c
        FROM now LEFT JOIN past USING (person) WHERE now.shown > 0 ORDER BY arm, person
    """).fetchnumpy()
    arms, arm = np.unique(found["arm"].astype(str), return_inverse=True)
    return Users(
        tuple(arms.tolist()),
        arm.astype(np.int8),
        found["shown"],
        found["clicked"],
        found["micros"],
        np.stack([found["a"], found["b"], found["c"]], axis=1),
    )
