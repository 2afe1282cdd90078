"""Domains, categories, keywords and languages in the one spelling that targeting compares."""

from __future__ import annotations

import re
from collections.abc import Iterable

from adserver.wire.fields import MOST_WORDS, KeyValues, KvValue

_END_OF_HOST = re.compile(r"[/?#\\]")


def host(url: str) -> str:
    """Host of a URL or bare domain: no scheme, user, port, path, "www.", "*." or outer dots."""
    rest = url[url.find("://") + 3 :] if "://" in url else url
    rest = _END_OF_HOST.split(rest, maxsplit=1)[0].rpartition("@")[2]
    if not rest.startswith("["):
        rest = rest.partition(":")[0]
    return rest.strip(" .*").lower().removeprefix("www.").lstrip(".")[:253]


def domains(listed: Iterable[str] | None) -> tuple[str, ...]:
    return _distinct([host(name) for name in listed]) if listed else ()


def categories(*lists: Iterable[str] | None) -> tuple[str, ...]:
    """IAB ids in upper case, each once, as many as a request may have."""
    return _distinct([c.strip().upper() for one in lists if one for c in one])[:MOST_WORDS]


def blocked_categories(listed: Iterable[str] | None) -> tuple[str, ...]:
    """The same spelling, and never cut short: the publisher relies on each."""
    return _distinct([c.strip().upper() for c in listed]) if listed else ()


def keywords(*lists: Iterable[str] | None) -> tuple[str, ...]:
    """Lower case, each once, as many as a request may have."""
    return _distinct([w.strip().lower() for one in lists if one for w in one])[:MOST_WORDS]


def segments(listed: Iterable[str]) -> tuple[str, ...]:
    return _distinct(listed)[:MOST_WORDS]


def key_values(maps: Iterable[KeyValues | None]) -> tuple[str, ...]:
    """ "key=value" for each value of each key, numbers and truth values spelt as in JSON."""
    pairs = [
        f"{key}={value}"
        for one in maps
        if one
        for key, values in one.items()
        for value in _written(values)
    ]
    return _distinct(pairs)[:MOST_WORDS]


def language(tag: str | None) -> str:
    """Primary part of a language tag: "en" of "en-GB"; empty where it is not one."""
    primary = (tag or "").strip().replace("_", "-").partition("-")[0].lower()
    return primary if len(primary) in {2, 3} and primary.isascii() and primary.isalpha() else ""


def _written(value: KvValue) -> list[str]:
    if isinstance(value, list):
        return value
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)]


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, dict.fromkeys(names)))
