"""What a line item may ask of a request, and what is wrong with targeting that is refused.

Targeting is an object of dimensions: {"country": {"include": ["DEU"], "exclude": []}, …}. In each
dimension a request must have one of the included values and none of the excluded. This module
turns it into values that the index knows; it reads no database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from retrieval.query import Dimension

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
VALUES_MOST = 1_000
"""Values of one list; a longer one is a segment or a category that wants a name."""


class TargetingError(ValueError):
    """Malformed targeting; the message begins with the field's path."""


class Lists(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    include: list[str] = []
    exclude: list[str] = []


class Targeting(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One field a dimension; `hours` are UTC ("mon-fri 08-18"), `placement` are keys of ours."""

    country: Lists = Lists()
    region: Lists = Lists()
    device: Lists = Lists()
    os: Lists = Lists()
    browser: Lists = Lists()
    language: Lists = Lists()
    hours: Lists = Lists()
    domain: Lists = Lists()
    category: Lists = Lists()
    keyword: Lists = Lists()
    segment: Lists = Lists()
    key_value: Lists = Lists()
    placement: Lists = Lists()


class Rule(NamedTuple):
    """How a dimension's values look, in a regular expression and in words."""

    pattern: re.Pattern[str]
    words: str


def _rule(pattern: str, words: str) -> Rule:
    return Rule(re.compile(pattern), words)


_NAME = _rule(r"[a-z0-9][a-z0-9 ._-]{0,39}", 'a lower-case name, such as "android"')
RULES = {
    "country": _rule(r"[A-Z]{3}", 'an ISO 3166-1 alpha-3 code, such as "DEU"'),
    "region": _rule(r"[A-Z]{2}-[A-Z0-9]{1,3}", 'an ISO 3166-2 code, such as "US-CA"'),
    "device": _rule(r"desktop|phone|tablet|tv|other", "desktop, phone, tablet, tv or other"),
    "os": _NAME,
    "browser": _NAME,
    "language": _rule(r"[a-z]{2}", 'an ISO 639-1 code, such as "de"'),
    "hours": _rule(
        r"(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))? \d\d-\d\d",
        'days and hours, such as "mon-fri 08-18"',
    ),
    "domain": _rule(r"(?=.{1,253}$)([a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}", "a lower-case domain"),
    "category": _rule(r"IAB\d{1,2}(-\d{1,2})?", 'an IAB category, such as "IAB17-3"'),
    "keyword": _rule(
        r"[^A-Z\s]([^A-Z]{0,98}[^A-Z\s])?", "lower-case words, 100 characters at most"
    ),
    "segment": _rule(r"\S{1,100}", "a segment id without spaces"),
    "key_value": _rule(r"[^=\s]{1,100}=.{1,200}", '"key=value"'),
    "placement": _rule(r"\S{1,100}", "a placement key without spaces"),
}

INDEXED = {
    "country": Dimension.COUNTRY,
    "region": Dimension.REGION,
    "device": Dimension.DEVICE,
    "os": Dimension.OS,
    "browser": Dimension.BROWSER,
    "language": Dimension.LANGUAGE,
    "hours": Dimension.HOUR_OF_WEEK,
    "domain": Dimension.DOMAIN,
    "category": Dimension.CATEGORY,
    "keyword": Dimension.KEYWORD,
    "segment": Dimension.SEGMENT,
    "key_value": Dimension.KEY_VALUE,
}
"""Field -> dimension of the index; the placement is a property of slots, indexed by itself."""


def parse(raw: Any, field: str = "targeting") -> Targeting:
    """Valid targeting, or a TargetingError that names the first wrong field."""
    try:
        targeting = msgspec.convert(raw, Targeting)
    except msgspec.ValidationError as error:
        raise TargetingError(located(str(error), field)) from None
    for name in raw:
        _check_dimension(f"{field}.{name}", name, getattr(targeting, name))
    return targeting


def located(message: str, field: str) -> str:
    """A mistake as msgspec tells it ("… - at `$.path`"), with where it is first."""
    text, _, place = message.partition(" - at `$")
    return f"{field}{place.rstrip('`')}: {text}"


def _check_dimension(path: str, name: str, lists: Lists) -> None:
    if name == "placement" and lists.exclude:
        raise TargetingError(f"{path}.exclude: placements can be included only")
    for kind, values in (("include", lists.include), ("exclude", lists.exclude)):
        _check_values(f"{path}.{kind}", name, values)
    both = sorted(set(lists.include) & set(lists.exclude))
    if both:
        raise TargetingError(f"{path}.exclude: {both[0]!r} is included as well")


def _check_values(path: str, name: str, values: list[str]) -> None:
    if len(values) > VALUES_MOST:
        raise TargetingError(f"{path}: has {len(values)} values, at most {VALUES_MOST} are allowed")
    rule = RULES[name]
    for number, value in enumerate(values):
        if not rule.pattern.fullmatch(value):
            raise TargetingError(f"{path}[{number}]: {value!r} is not {rule.words}")
        if name == "hours" and not hours_of_week(value):
            raise TargetingError(f"{path}[{number}]: {value!r} contains no hour of the day")


def hours_of_week(text: str) -> list[int]:
    """Hours 0 (Monday 00–01 UTC) … 167 that "mon-fri 08-18" covers; the last hour is not in it.

    Days may wrap ("sat-mon"), hours may not: a night is two values.
    """
    days, _, hours = text.partition(" ")
    first, _, last = days.partition("-")
    begin, end = (int(hour) for hour in hours.split("-"))
    start = DAYS.index(first)
    count = (DAYS.index(last or first) - start) % 7 + 1
    covered = range(begin, min(end, 24)) if end <= 24 else range(0)
    return [(start + day) % 7 * 24 + hour for day in range(count) for hour in covered]


def index_values(targeting: Targeting) -> Iterator[tuple[Dimension, str, bool]]:
    """(dimension, value, exclude) of all that the index must know, but placements."""
    for name, dimension in INDEXED.items():
        lists: Lists = getattr(targeting, name)
        expand = _EXPAND.get(name, _as_it_is)
        for exclude, values in ((False, lists.include), (True, lists.exclude)):
            for value in values:
                for indexed in expand(value):
                    yield dimension, indexed, exclude


def _as_it_is(value: str) -> list[str]:
    return [value]


def _hour_values(value: str) -> list[str]:
    return [str(hour) for hour in hours_of_week(value)]


_EXPAND: dict[str, Callable[[str], list[str]]] = {"hours": _hour_values}
