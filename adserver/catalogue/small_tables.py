"""Reads the small tables of the catalogue whole: deals, floors, rates, placements, templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select

from adserver.catalogue import schema
from adserver.catalogue.columns import CataloguePlacement, Deal, FloorRule, MarketRows
from adserver.catalogue.reading import ACTIVE


def market(connection: Connection) -> MarketRows:
    """Deals, floor rules and the rates in force."""
    rate = schema.rate.c
    version = connection.execute(select(func.max(rate.version))).scalar() or 0
    rates = connection.execute(select(schema.rate).where(rate.version == version)).all()
    return MarketRows(
        deals=tuple(_deal(row) for row in _all(connection, schema.deal)),
        floors=tuple(
            FloorRule(
                row.id,
                {name: tuple(values) for name, values in row.conditions.items()},
                row.floor_micros,
                row.currency,
            )
            for row in _all(connection, schema.floor_rule)
        ),
        rates_version=version,
        per_usd_ppm={row.currency: row.per_usd_ppm for row in rates},
    )


def _deal(row: Row[Any]) -> Deal:
    return Deal(
        row.id,
        row.key,
        row.floor_micros,
        row.currency,
        row.fixed_price,
        row.publisher,
        tuple(row.seats),
        row.daily_budget_micros,
        row.lifetime_budget_micros,
        row.status == ACTIVE,
    )


def _all(connection: Connection, table: Table) -> Sequence[Row[Any]]:
    return connection.execute(select(table).order_by(table.c.id)).all()


def placements(connection: Connection) -> dict[str, CataloguePlacement]:
    """Key -> placement."""
    return {
        row.key: CataloguePlacement(
            floor_micros=row.floor_micros,
            sizes=tuple((width, height) for width, height in row.sizes),
            publisher=row.publisher,
            bcat=tuple(row.blocked_categories),
            badv=tuple(row.blocked_advertisers),
        )
        for row in connection.execute(select(schema.placement).order_by(schema.placement.c.id))
    }


def templates(connection: Connection) -> dict[int, str]:
    """Id -> markup."""
    table = schema.template.c
    return {row.id: row.markup for row in connection.execute(select(table.id, table.markup))}
