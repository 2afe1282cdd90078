"""Small changes of a living catalogue: pause, resume, bid, budget; and what it holds.

Each is one transaction that takes the next revision, so that every server hears of it at its
next poll. A new ad or new targeting is heard of at the next build.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select

from adserver.catalogue.schema import (
    LEVELS,
    ad,
    advertiser,
    change,
    line_item,
    placement,
    revision,
)
from adserver.errors import ConfigError

CPM_STEP = 1_000
"""A CPM bid is a whole number of micros for one impression."""


def pause(engine: Engine, level: str, row_id: int) -> None:
    """Stop an advertiser, campaign, line_item or ad, and all below it."""
    _update(engine, level, row_id, {"status": "paused"})


def resume(engine: Engine, level: str, row_id: int) -> None:
    """Undo `pause` at this level; what is paused above or below stays so."""
    _update(engine, level, row_id, {"status": "active"})


def set_bid(engine: Engine, line_item_id: int, bid_micros: int) -> None:
    """Per thousand impressions or per click, as the line item pays."""
    if bid_micros <= 0:
        raise ConfigError([f"bid: {bid_micros} micros is not positive"])
    row = _row(engine, line_item, line_item_id)
    if row["pricing"] == "cpm" and bid_micros % CPM_STEP:
        raise ConfigError([f"bid: {bid_micros} micros CPM is not a multiple of {CPM_STEP}"])
    _update(engine, "line_item", line_item_id, {"bid_micros": bid_micros})


def set_budget(engine: Engine, campaign_id: int, daily_budget_micros: int) -> None:
    """What a campaign may spend a day, today included; 0 stops it."""
    if daily_budget_micros < 0:
        raise ConfigError([f"budget: {daily_budget_micros} micros is negative"])
    _update(engine, "campaign", campaign_id, {"daily_budget_micros": daily_budget_micros})


def _update(engine: Engine, level: str, row_id: int, values: dict[str, Any]) -> None:
    if level not in LEVELS:
        raise ConfigError([f"level: {level!r} is none of {', '.join(LEVELS)}"])
    table = LEVELS[level]
    with engine.begin() as connection:
        number = next_revision(connection)
        done = connection.execute(table.update().where(table.c.id == row_id).values(**values))
        if done.rowcount != 1:
            raise _unknown(table, row_id)
        connection.execute(change.insert().values(revision=number, kind=level, row_id=row_id))


def next_revision(connection: Connection) -> int:
    """Take the next number; until the transaction ends, everybody else waits for theirs."""
    connection.execute(revision.update().values(value=revision.c.value + 1))
    return int(connection.execute(select(revision.c.value)).scalar_one())


def _unknown(table: Table, row_id: int) -> ConfigError:
    return ConfigError([f"{table.name}: there is none with id {row_id}"])


def _row(engine: Engine, table: Table, row_id: int) -> dict[str, Any]:
    with engine.connect() as connection:
        row = connection.execute(select(table).where(table.c.id == row_id)).mappings().first()
    if row is None:
        raise _unknown(table, row_id)
    return dict(row)


def show(engine: Engine, level: str, row_id: int) -> dict[str, Any]:
    """One row of advertiser, campaign, line_item, ad or placement, as the database has it."""
    tables = {**LEVELS, "placement": placement}
    if level not in tables:
        raise ConfigError([f"level: {level!r} is none of {', '.join(tables)}"])
    return _row(engine, tables[level], row_id)


def summary(engine: Engine) -> dict[str, int]:
    """How many of each the catalogue holds, how many are paused, and its revision."""
    found: dict[str, int] = {}
    with engine.connect() as connection:
        for name, table in LEVELS.items():
            statuses = select(table.c.status, func.count()).group_by(table.c.status)
            counts = {str(status): int(number) for status, number in connection.execute(statuses)}
            found[name] = sum(counts.values())
            found[f"{name}_paused"] = counts.get("paused", 0)
        found["placement"] = _count(connection, placement)
        found["revision"] = int(connection.execute(select(revision.c.value)).scalar_one())
    return found


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def is_empty(engine: Engine) -> bool:
    """No advertiser and no ad yet."""
    with engine.connect() as connection:
        return not any(
            connection.execute(select(table.c.id).limit(1)).first() for table in (advertiser, ad)
        )
