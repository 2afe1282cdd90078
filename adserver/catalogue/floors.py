"""Floor rules: what a slot must at least cost where all conditions of a rule hold.

A rule names, per condition, what the slot or its request may be: {"publisher": ["pub-1"],
"size": ["300x250"], "hours": ["mon-fri 08-18"]} (UTC). Where a slot takes several sizes, one of
them is enough. Of all rules that hold the strictest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from adserver.catalogue.columns import FloorRule
from adserver.catalogue.currency import Rates
from adserver.catalogue.targeting import RULES, hours_of_week

MOST_RULES = 1_000
"""All are looked at for each new kind of slot."""
VALUES_MOST = 1_000
KEPT = 4_096
"""Kinds of slots whose floor is remembered."""
_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}")
_NAME = re.compile(r"\S{1,128}")
PATTERNS = {
    "publisher": (_NAME, "a publisher's id without spaces"),
    "placement": RULES["placement"],
    "country": RULES["country"],
    "device": RULES["device"],
    "size": (_SIZE, 'a size, such as "300x250"'),
    "hours": RULES["hours"],
}


class SlotKind(NamedTuple):
    """All that a rule may ask about."""

    publisher: str
    placement: str
    country: str
    device: str
    sizes: tuple[tuple[int, int], ...]
    hour_of_week: int


class Floors:
    """Answers with the strictest floor, in US dollars rounded up; remembers what it was asked."""

    def __init__(self, rules: Sequence[FloorRule], rates: Rates) -> None:
        self._rules = [
            (_sets(rule.conditions), rates.floor_to_usd(rule.floor_micros, rule.currency))
            for rule in rules
        ]
        self._known: dict[SlotKind, int] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def micros(self, kind: SlotKind) -> int:
        """Per thousand impressions; 0 where no rule holds."""
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            known = self._known[kind] = self._strictest(kind)
        return known

    def _strictest(self, kind: SlotKind) -> int:
        has: dict[str, set[Any]] = {
            "publisher": {kind.publisher},
            "placement": {kind.placement},
            "country": {kind.country},
            "device": {kind.device},
            "size": {f"{width}x{height}" for width, height in kind.sizes},
            "hours": {kind.hour_of_week},
        }
        holding = (
            micros
            for conditions, micros in self._rules
            if all(has[name] & values for name, values in conditions.items())
        )
        return max(holding, default=0)


def _sets(conditions: Mapping[str, Sequence[str]]) -> dict[str, set[Any]]:
    return {
        name: {hour for value in values for hour in hours_of_week(value)}
        if name == "hours"
        else set(values)
        for name, values in conditions.items()
    }


def problems(conditions: Any) -> Iterator[str]:
    """What is wrong with a rule's conditions, in words."""
    try:
        asked = msgspec.convert(conditions, dict[str, list[str]])
    except msgspec.ValidationError as error:
        yield f"conditions: {error}"
        return
    for name, values in asked.items():
        if name not in PATTERNS:
            yield f"conditions.{name}: is none of {', '.join(PATTERNS)}"
            continue
        pattern, words = PATTERNS[name]
        if not 1 <= len(values) <= VALUES_MOST:
            yield f"conditions.{name}: has {len(values)} values, 1 to {VALUES_MOST} are allowed"
        for value in values:
            hours = name == "hours" and pattern.fullmatch(value) and not hours_of_week(value)
            if not pattern.fullmatch(value) or hours:
                yield f"conditions.{name}: {value!r} is not {words}"
