"""Frequency caps as the database holds them, and what is wrong with those that are refused.

A list of objects: {"max": 3, "window": "24h"}. A window is a number with its unit (s, m, h or d:
it slides) or a word (hour, day, week or month: it begins anew). `on` is impression (the default),
viewable or click; `zone_s` is how far east of UTC a day begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from sqlalchemy import Row

from auction.caps import Cap, Caps, Entity, On, Unit

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SLIDING = re.compile(r"(\d{1,8})([smhd])")
CALENDAR = {unit.name.lower(): unit for unit in Unit if unit is not Unit.SLIDING}
Capped = dict[tuple[Entity, int], tuple[Cap, ...]]


class _Cap(msgspec.Struct, forbid_unknown_fields=True):
    max: int
    window: str
    on: Literal["impression", "viewable", "click"] = "impression"
    zone_s: int = 0
    dont_affect_parent: bool = False


def parse(raw: Any) -> tuple[Cap, ...]:
    """Valid caps, none for None; ValueError that says all that is wrong."""
    if raw is None:
        return ()
    try:
        caps = tuple(_cap(one) for one in msgspec.convert(raw, list[_Cap]))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    Caps.of({(Entity.AD, 1): caps})
    return caps


def read_caps(text: str) -> tuple[Cap, ...]:
    """The same of JSON, as a setting has it; none for an empty text."""
    if not text.strip():
        return ()
    try:
        return parse(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def of_rows(
    kind: Entity, rows: Iterable[Row[Any]], mistakes: list[str]
) -> Iterator[tuple[tuple[Entity, int], tuple[Cap, ...]]]:
    """The caps of those that have some; what is wrong is added to `mistakes`."""
    for row in rows:
        if row.frequency_caps is None:
            continue
        try:
            yield (kind, int(row.id)), parse(row.frequency_caps)
        except ValueError as error:
            name = kind.name.lower().replace("_", " ")
            mistakes.append(f"{name} {row.id}: frequency_caps: {error}")


def _cap(asked: _Cap) -> Cap:
    sliding, unit = SLIDING.fullmatch(asked.window), CALENDAR.get(asked.window)
    if not sliding and unit is None:
        raise ValueError(f'window: {asked.window!r} is neither like "24h" nor one of {_units()}')
    return Cap(
        most=asked.max,
        window_s=int(sliding[1]) * SECONDS[sliding[2]] if sliding else 0,
        unit=unit or Unit.SLIDING,
        zone_s=asked.zone_s,
        on=On[asked.on.upper()],
        dont_affect_parent=asked.dont_affect_parent,
    )


def _units() -> str:
    return ", ".join(CALENDAR)
