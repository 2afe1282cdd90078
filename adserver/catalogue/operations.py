"""Small changes of a living catalogue: pause, resume, bid, budget; and what it holds.

Each is one transaction that takes the next revision, so that every server hears of it at its
next poll. Other caps and other targeting are taken up with the next snapshot.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select

from adserver.catalogue import capping, targeting
from adserver.catalogue.codes import GOALS, PACING
from adserver.catalogue.schema import (
    LEVELS,
    NEW,
    PAUSABLE,
    ad,
    advertiser,
    change,
    deal,
    floor_rule,
    line_item,
    placement,
    revision,
)
from adserver.errors import ConfigError
from auction.columns import PPM
from auction.settings import MOST_TIER

CPM_STEP = 1_000
"""A CPM bid is a whole number of micros for one impression."""
PERIODS = ("daily", "lifetime")
BUDGETED = ("advertiser", "campaign", "line_item", "deal")


def pause(engine: Engine, level: str, row_id: int) -> None:
    """Stop an advertiser, campaign, line_item, ad or deal, and all below it."""
    _update(engine, level, row_id, {"status": "paused"})


def resume(engine: Engine, level: str, row_id: int) -> None:
    """Undo `pause` at this level; what is paused above or below stays so."""
    _update(engine, level, row_id, {"status": "active"})


def set_bid(engine: Engine, line_item_id: int, bid_micros: int) -> None:
    """Per thousand (viewable) impressions, click or conversion, or the whole fee, as it pays."""
    if bid_micros <= 0:
        raise ConfigError([f"bid: {bid_micros} micros is not positive"])
    row = _row(engine, line_item, line_item_id)
    if row["pricing"] in {"cpm", "vcpm"} and bid_micros % CPM_STEP:
        raise ConfigError([f"bid: {bid_micros} micros CPM is not a multiple of {CPM_STEP}"])
    _update(engine, "line_item", line_item_id, {"bid_micros": bid_micros})


def set_budget(
    engine: Engine, level: str, row_id: int, micros: int | None, period: str = "daily"
) -> None:
    """What may be spent a day, today included, or in a lifetime; 0 stops it, None: no limit."""
    if micros is not None and micros < 0:
        raise ConfigError([f"budget: {micros} micros is negative"])
    if period not in PERIODS:
        raise ConfigError([f"budget: {period!r} is neither daily nor lifetime"])
    if level not in BUDGETED:
        raise ConfigError([f"level: {level!r} is none of {', '.join(BUDGETED)}"])
    if micros is None and (level, period) == ("campaign", "daily"):
        raise ConfigError(["budget: a campaign always has a daily one"])
    _update(engine, level, row_id, {f"{period}_budget_micros": micros})


def set_tier(engine: Engine, line_item_id: int, tier: int, share: int = 1) -> None:
    """1 to 100, sold lowest first; `share` is its weight where the tier is a weighted one."""
    if not 1 <= tier <= MOST_TIER:
        raise ConfigError([f"tier: {tier} is not 1 to {MOST_TIER}"])
    if share < 1:
        raise ConfigError([f"share: {share} is not positive"])
    _update(engine, "line_item", line_item_id, {"tier": tier, "share": share})


def set_quality(engine: Engine, line_item_id: int, quality_ppm: int) -> None:
    """Millionths by which its rank is multiplied: a tenth to ten times."""
    if not PPM // 10 <= quality_ppm <= PPM * 10:
        raise ConfigError([f"quality: {quality_ppm} millionths is not {PPM // 10} to {PPM * 10}"])
    _update(engine, "line_item", line_item_id, {"quality_ppm": quality_ppm})


def set_goal(engine: Engine, line_item_id: int, kind: str | None, amount: int | None) -> None:
    """What it is to deliver in its flight; None, None: nothing in particular."""
    if (kind is None) != (amount is None):
        raise ConfigError(["goal: kind and amount go together"])
    if kind is not None and kind not in GOALS:
        raise ConfigError([f"goal: {kind!r} is none of {', '.join(GOALS)}"])
    if amount is not None and amount < 1:
        raise ConfigError([f"goal: {amount} is not positive"])
    if _row(engine, line_item, line_item_id)["pricing"] == "flat" and kind != "impressions":
        raise ConfigError(["goal: a flat fee bids what its goal of impressions implies"])
    _update(engine, "line_item", line_item_id, {"goal_kind": kind, "goal_amount": amount})


def set_pacing(engine: Engine, line_item_id: int, mode: str) -> None:
    if mode not in PACING:
        raise ConfigError([f"pacing: {mode!r} is none of {', '.join(PACING)}"])
    _update(engine, "line_item", line_item_id, {"pacing": mode})


def set_caps(engine: Engine, level: str, row_id: int, caps: list[dict[str, Any]]) -> None:
    """How often one person may have it (adserver.catalogue.capping); from the next snapshot on."""
    try:
        capping.parse(caps)
    except ValueError as error:
        raise ConfigError([f"caps: {error}"]) from None
    if level not in LEVELS:
        raise ConfigError([f"level: {level!r} is none of {', '.join(LEVELS)}"])
    _update(engine, level, row_id, {"frequency_caps": caps or None}, NEW)


def set_targeting(engine: Engine, line_item_id: int, stated: Any) -> None:
    """What it asks of a request (adserver.catalogue.targeting); from the next snapshot on."""
    try:
        targeting.parse(stated)
    except targeting.TargetingError as error:
        raise ConfigError([str(error)]) from None
    _update(engine, "line_item", line_item_id, {"targeting": stated}, NEW)


def _update(
    engine: Engine, level: str, row_id: int, values: dict[str, Any], mark: str = ""
) -> None:
    if level not in PAUSABLE:
        raise ConfigError([f"level: {level!r} is none of {', '.join(PAUSABLE)}"])
    table = PAUSABLE[level]
    with engine.begin() as connection:
        number = next_revision(connection)
        done = connection.execute(table.update().where(table.c.id == row_id).values(**values))
        if done.rowcount != 1:
            raise _unknown(table, row_id)
        note(connection, number, f"{mark}{level}", row_id)


def note(connection: Connection, number: int, kind: str, row_id: int) -> None:
    """List a change for those who poll."""
    connection.execute(change.insert().values(revision=number, kind=kind, row_id=row_id))


def next_revision(connection: Connection, count: int = 1) -> int:
    """Take the next number, or the last of so many; until the transaction ends, everybody else
    waits for theirs."""
    connection.execute(revision.update().values(value=revision.c.value + count))
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
    """One row of advertiser, campaign, line_item, ad, deal or placement, as the database has it."""
    tables = {**PAUSABLE, "placement": placement}
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
        for other in (deal, floor_rule):
            found[other.name] = _count(connection, other)
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
