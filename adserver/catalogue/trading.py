"""Deals, floor rules and rates: made, changed and listed; heard of by every server in a second."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Table, func, select, union

from adserver.catalogue import floors
from adserver.catalogue.currency import USD
from adserver.catalogue.operations import next_revision, note
from adserver.catalogue.schema import campaign, deal, floor_rule, rate
from adserver.errors import ConfigError

CURRENCY = re.compile(r"[A-Z]{3}")
KEY = re.compile(r"\S{1,64}")
DEAREST = 9_000_000
"""Units of a currency for a dollar; above it whole millionths leave 64 bits."""


@dataclass(frozen=True, slots=True)
class NewDeal:
    key: str
    floor_micros: int = 0
    currency: str = USD
    fixed_price: bool = False
    publisher: str = ""
    seats: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        if not KEY.fullmatch(self.key):
            yield f"key: {self.key[:80]!r} is not 1 to 64 characters without spaces"
        if self.floor_micros < 0:
            yield f"floor: {self.floor_micros} micros is negative"
        if self.fixed_price and not self.floor_micros:
            yield "floor: a fixed price is not 0"


def add_deal(engine: Engine, new: NewDeal) -> int:
    """Its id. ConfigError if the key is taken, or the currency has no rate."""
    mistakes = [*new.problems(), *_without_rate(engine, new.currency)]
    with engine.connect() as connection:
        if connection.execute(select(deal.c.id).where(deal.c.key == new.key)).first():
            mistakes.append(f"key: there is a deal {new.key!r} already")
    if mistakes:
        raise ConfigError(mistakes)
    values = {name: getattr(new, name) for name in NewDeal.__slots__}
    return _insert(engine, deal, values | {"seats": list(new.seats)})


def add_floor_rule(
    engine: Engine, conditions: Mapping[str, Sequence[str]], floor_micros: int, currency: str = USD
) -> int:
    """Its id; see adserver.catalogue.floors for what conditions there are."""
    mistakes = [*floors.problems(conditions), *_without_rate(engine, currency)]
    if floor_micros < 0:
        mistakes.append(f"floor: {floor_micros} micros is negative")
    if len(listed(engine, floor_rule)) >= floors.MOST_RULES:
        mistakes.append(f"floor: there are {floors.MOST_RULES} rules already")
    if mistakes:
        raise ConfigError(mistakes)
    return _insert(
        engine,
        floor_rule,
        {"conditions": dict(conditions), "floor_micros": floor_micros, "currency": currency},
    )


def remove_floor_rule(engine: Engine, rule_id: int) -> None:
    with engine.begin() as connection:
        number = next_revision(connection)
        done = connection.execute(floor_rule.delete().where(floor_rule.c.id == rule_id))
        if done.rowcount != 1:
            raise ConfigError([f"floor_rule: there is none with id {rule_id}"])
        note(connection, number, "floor_rule", rule_id)


def set_rates(engine: Engine, per_usd_ppm: Mapping[str, int]) -> int:
    """A whole new table, in force from now on; its version.

    ConfigError if a currency that the catalogue uses is left out.
    """
    mistakes = [
        f"rates: {name}: {ppm} units for a million dollars is not 1 to {DEAREST * 1_000_000}"
        for name, ppm in per_usd_ppm.items()
        if not 1 <= ppm <= DEAREST * 1_000_000
    ]
    mistakes += [
        f"rates: {name!r} is not a currency that needs a rate"
        for name in per_usd_ppm
        if not CURRENCY.fullmatch(name) or name == USD
    ]
    left_out = sorted(_used(engine) - {USD, *per_usd_ppm})
    mistakes += [f"rates: {name} is left out, but the catalogue uses it" for name in left_out]
    if mistakes:
        raise ConfigError(mistakes)
    with engine.begin() as connection:
        number = next_revision(connection)
        version = int(connection.execute(select(func.max(rate.c.version))).scalar() or 0) + 1
        if per_usd_ppm:
            rows = [
                {"version": version, "currency": name, "per_usd_ppm": ppm}
                for name, ppm in per_usd_ppm.items()
            ]
            connection.execute(rate.insert(), rows)
        note(connection, number, "rate", version)
    return version


def rates(engine: Engine) -> tuple[int, dict[str, int]]:
    """The version in force, and units of each currency for a million dollars."""
    with engine.connect() as connection:
        version = int(connection.execute(select(func.max(rate.c.version))).scalar() or 0)
        rows = connection.execute(select(rate).where(rate.c.version == version)).all()
    return version, {row.currency: row.per_usd_ppm for row in rows}


def listed(engine: Engine, table: Table) -> list[dict[str, Any]]:
    """All rows of deals or floor rules."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def _used(engine: Engine) -> set[str]:
    stated = union(*(select(table.c.currency) for table in (campaign, deal, floor_rule)))
    with engine.connect() as connection:
        return set(connection.execute(stated).scalars())


def _without_rate(engine: Engine, currency: str) -> list[str]:
    known = {USD, *rates(engine)[1]}
    return [] if currency in known else [f"currency: {currency!r} has no rate: catalog rates set"]


def _insert(engine: Engine, table: Table, values: dict[str, Any]) -> int:
    with engine.begin() as connection:
        number = next_revision(connection)
        made = connection.execute(table.insert().values(**values)).inserted_primary_key
        row_id = int(made[0]) if made else 0
        note(connection, number, table.name, row_id)
    return row_id
