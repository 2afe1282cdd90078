"""Adds to a catalogue what a document says: advertisers, campaigns, line items, ads.

{"advertisers": [{"id": 17, "campaigns": [{"name": …, "line_items": [{…, "ads": [{…}]}]}]}]}: each
part states its fields (`stated`), or is a row that is there and has nothing but its `id` and what
comes below it. All of it is added or nothing, and serves with the next snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import IntegrityError

from adserver.catalogue import reading, schema
from adserver.catalogue.currency import USD
from adserver.catalogue.labels import CATEGORY, Labels
from adserver.catalogue.operations import next_revision, note
from adserver.catalogue.stated import Ad, Advertiser, Campaign, LineItem, Stated, stated
from adserver.errors import ConfigError

MOST_ROWS: Final = 100_000
"""Of one document."""
ROOT: Final = "advertisers"


@dataclass(frozen=True, slots=True)
class Level:
    """One of the four, and what lies below it."""

    name: str
    stated: type[Stated]
    above: str = ""
    """Column of the parent's id."""
    below: str = ""
    """Field that lists the children."""

    @property
    def table(self) -> Table:
        return schema.LEVELS[self.name]


LEVELS: Final = (
    Level("advertiser", Advertiser, below="campaigns"),
    Level("campaign", Campaign, "advertiser_id", "line_items"),
    Level("line_item", LineItem, "campaign_id", "ads"),
    Level("ad", Ad, "line_item_id"),
)


@dataclass(slots=True, eq=False)
class Part:
    """A part of the document."""

    path: str
    parent: Part | None
    row: Stated | None
    """None: it is there."""
    children: list[Any]
    id: int = 0
    """0 until a new row is there."""


def add(engine: Engine, document: Any) -> dict[str, list[int]]:
    """Add all of it and give the new ids by level; ConfigError, naming each wrong field, else."""
    mistakes: list[str] = []
    levels = _parts(document, mistakes)
    if not mistakes and not any(part.row for parts in levels for part in parts):
        mistakes.append(f"{ROOT}: nothing is to be added")
    if mistakes:
        raise ConfigError(mistakes[: reading.MISTAKES_MOST])
    try:
        with engine.begin() as connection:
            return _added(connection, levels)
    except IntegrityError as error:
        raise ConfigError([f"the catalogue refuses it: {error.orig}"]) from None


def _parts(document: Any, mistakes: list[str]) -> list[list[Part]]:
    """Of each level, in the order of the document."""
    if not isinstance(document, dict) or document.keys() != {ROOT}:
        raise ConfigError([f"the document is an object with the field {ROOT} and no other"])
    above = [Part("", None, None, _listed(document, ROOT, ROOT, mistakes))]
    below, levels = ROOT, list[list[Part]]()
    for level in LEVELS:
        found = [
            _part(level, f"{parent.path}.{below}[{n}]".lstrip("."), parent, raw, mistakes)
            for parent in above
            for n, raw in enumerate(parent.children)
        ]
        levels.append(found)
        if sum(map(len, levels)) > MOST_ROWS:
            raise ConfigError([f"{ROOT}: more than {MOST_ROWS} rows at a time"])
        above, below = found, level.below
    return levels


def _part(level: Level, path: str, parent: Part, raw: Any, mistakes: list[str]) -> Part:
    part = Part(path, parent, None, [])
    if not isinstance(raw, dict):
        mistakes.append(f"{path}: is not an object")
        return part
    own = {name: value for name, value in raw.items() if name != level.below}
    if level.below:
        part.children = _listed(raw, level.below, f"{path}.{level.below}", mistakes)
    if "id" in own:
        part.id = _id(own, path, parent, mistakes)
        return part
    row = stated(level.stated, own, path)
    if isinstance(row, list):
        mistakes += row
    else:
        part.row = row
    return part


def _id(own: dict[str, Any], path: str, parent: Part, mistakes: list[str]) -> int:
    """Of a part that is there."""
    number = own["id"]
    if type(number) is not int or not 1 <= number < 1 << 31:
        mistakes.append(f"{path}.id: {str(number)[:40]!r} is not an id")
    elif len(own) > 1:
        others = sorted(own.keys() - {"id"})
        mistakes.append(f"{path}.{others[0]}: what has an id is there, and is not changed here")
    elif parent.row is not None:
        mistakes.append(f"{path}.id: what lies in something new is new itself")
    else:
        return number
    return 0


def _listed(raw: dict[str, Any], name: str, path: str, mistakes: list[str]) -> list[Any]:
    children = raw.get(name, [])
    if isinstance(children, list):
        return children
    mistakes.append(f"{path}: is not a list")
    return []


def _added(connection: Connection, levels: Sequence[list[Part]]) -> dict[str, list[int]]:
    fresh = [[part for part in parts if part.row] for parts in levels]
    # first of all, so that whoever adds at the same time gets higher ids
    last = next_revision(connection, sum(map(len, fresh)))
    mistakes = [*_strangers(connection, levels), *_unknown(connection, fresh)]
    if mistakes:
        raise ConfigError(mistakes[: reading.MISTAKES_MOST])
    ids: dict[str, list[int]] = {}
    for level, parts in zip(LEVELS, fresh, strict=True):
        ids[level.name] = _inserted(connection, level, parts)
        for part, number in zip(parts, ids[level.name], strict=True):
            part.id = number
    if any(getattr(part.row, "labels", None) for part in fresh[2]):
        _check_labels(connection)
    new = [(f"{schema.NEW}{level}", number) for level, some in ids.items() for number in some]
    for revision, (kind, number) in enumerate(new, last - len(new) + 1):
        note(connection, revision, kind, number)
    return ids


def _inserted(connection: Connection, level: Level, parts: Sequence[Part]) -> list[int]:
    """Ids in the order of the parts."""
    if not parts:
        return []
    rows = [msgspec.to_builtins(part.row) for part in parts]
    if level.above:
        for row, part in zip(rows, parts, strict=True):
            assert part.parent is not None
            row[level.above] = part.parent.id
    made = level.table.insert().returning(level.table.c.id, sort_by_parameter_order=True)
    return [int(number) for number in connection.execute(made, rows).scalars()]


def _strangers(connection: Connection, levels: Sequence[list[Part]]) -> Iterator[str]:
    """Parts that are said to be there and are not, or lie in something else."""
    for level, parts in zip(LEVELS, levels, strict=True):
        there = {part.id: part for part in parts if not part.row}
        key, table = level.above, level.table
        columns = (table.c.id, table.c[key]) if key else (table.c.id,)
        known = {
            row.id: getattr(row, key) if key else 0
            for some in reading.conditions(table.c.id, sorted(there))
            for row in connection.execute(select(*columns).where(some))
        }
        for number, part in there.items():
            if number not in known:
                yield f"{part.path}.id: there is no {level.name} {number}"
            elif part.parent is not None and key and known[number] != part.parent.id:
                yield f"{part.path}.id: {level.name} {number} is of {key} {known[number]}"


def _unknown(connection: Connection, fresh: Sequence[list[Part]]) -> Iterator[str]:
    """Fields that name a row of another table that is not there."""
    deals = set(connection.execute(select(schema.deal.c.id)).scalars())
    templates = set(connection.execute(select(schema.template.c.id)).scalars())
    currencies = {USD, *connection.execute(select(schema.rate.c.currency)).scalars()}
    for part in (part for parts in fresh for part in parts):
        row = part.row
        if isinstance(row, LineItem) and row.deal_id not in {None, *deals}:
            yield f"{part.path}.deal_id: there is no deal {row.deal_id}"
        if isinstance(row, Ad) and row.template_id not in {None, *templates}:
            yield f"{part.path}.template_id: there is no template {row.template_id}"
        if isinstance(row, Campaign) and row.currency not in currencies:
            yield f"{part.path}.currency: there is no rate for {row.currency}"


def _check_labels(connection: Connection) -> None:
    """ConfigError where there are more than a snapshot can tell apart: none would be built."""
    item, ad = schema.line_item.c, schema.ad.c
    stated = {
        row.id: tuple(row.labels or ())
        for row in connection.execute(select(item.id, item.labels).where(item.labels.is_not(None)))
    }
    used = [([name for name in names if name != CATEGORY], "") for names in stated.values()]
    owners = sorted(number for number, names in stated.items() if CATEGORY in names)
    for some in reading.conditions(ad.line_item_id, owners):
        found = connection.execute(select(ad.category).where(some).distinct()).scalars()
        used += [([CATEGORY], category) for category in found]
    labels = Labels()
    labels.bits(*zip(*used, strict=True))
    labels.check()
