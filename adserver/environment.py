"""Settings out of environment variables: what each may be stands beside its field, as a value.

Knows of no setting; `adserver/settings.py` names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

import msgspec

KINDS = {int: "a whole number", float: "a number", Path: "a path", str: "a text"}


class Allowed(Protocol):
    """What a field may be; as a text, for the page of the settings."""

    def wrong(self, value: Any) -> str:
        """What is wrong with a value of the field's type; empty where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Between:
    least: float
    most: float

    def wrong(self, value: float) -> str:
        return "" if self.least <= value <= self.most else f"must be {self}, not {value:,}"

    def __str__(self) -> str:
        return f"{self.least:,} to {self.most:,}"


@dataclass(frozen=True, slots=True)
class OneOf:
    words: tuple[str, ...]

    def wrong(self, value: str) -> str:
        return "" if value in self.words else f"must be one of {self}, not {value!r}"

    def __str__(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class ReadBy:
    """A text that `read` understands; its ValueError says what it does not."""

    read: Callable[[str], object]

    def wrong(self, value: str) -> str:
        try:
            self.read(value)
        except ValueError as error:
            return str(error)
        return ""

    def __str__(self) -> str:
        return ""


def allowed(kind: type) -> Iterator[tuple[str, type, tuple[Allowed, ...]]]:
    """Name, type and what is allowed of each field of a dataclass."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        plain, *rules = get_args(hint) or (hint,)
        yield name, plain, tuple(rules)


def values(kind: type, environment: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    """By field, the variables of its name in upper case; what is wrong is added to `mistakes`."""
    found: dict[str, Any] = {}
    for name, plain, rules in allowed(kind):
        text = environment.get(name.upper())
        if text is None:
            continue
        try:
            if not text and plain is not str:
                raise ValueError
            value = plain(text)
        except ValueError:
            mistakes.append(f"{name.upper()}: must be {KINDS[plain]}, not {text!r}")
            continue
        wrong = [told for told in (rule.wrong(value) for rule in rules) if told]
        mistakes += [f"{name.upper()}: {told}" for told in wrong]
        if not wrong:
            found[name] = value
    return found


class Numbers(Protocol):
    """A dataclass of numbers that says itself what is wrong with them."""

    def problems(self) -> Iterator[str]: ...


N = TypeVar("N", bound=Numbers)


def changed(usual: N, text: str) -> N:
    """`usual` with the numbers that a JSON object names; ValueError tells the mistake."""
    try:
        given = msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    known: dict[str, float] = asdict(usual)  # type: ignore[call-overload]
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{name!r} is unknown; known are {', '.join(sorted(known))}")
        kind = type(known[name])
        if isinstance(value, bool) or not isinstance(value, (int, kind)):
            raise ValueError(f"{name} must be {KINDS[kind]}, not {value!r}")
    new: N = replace(usual, **given)  # type: ignore[type-var]
    for problem in new.problems():
        raise ValueError(problem)
    return new
