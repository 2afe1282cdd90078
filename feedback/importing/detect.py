"""Which log a file is, by its heading or by the shape of its first lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from adserver.errors import ConfigError
from feedback.importing.formats import (
    CRITEO,
    FORMATS,
    IPINYOU,
    IPINYOU_INDEX,
    IPINYOU_LOG,
    IPINYOU_PRICED,
    Column,
    Format,
    Kind,
    Role,
)
from feedback.importing.sources import Source

AUTO = "auto"
HEAD = 1 << 18
"""Bytes of a file that are looked at."""
LOOKED_AT = 50
FITTING = 0.2
"""Share of the first lines that must look right for a file to be taken for a log."""
_PAIR = re.compile(r"\d+:[\d.]+")
_NUMBER = re.compile(r"-?\d+(\.\d*)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of one file are to be read."""

    format: Format
    delimiter: str
    columns: tuple[Column | None, ...]
    """Of each field; None: not known, and left out."""
    headed: bool
    ignored: tuple[str, ...] = ()
    """Names of the fields that are left out."""

    @property
    def fields(self) -> tuple[int, int]:
        """Fewest and most fields of a line."""
        if self.headed:
            return len(self.columns), len(self.columns)
        return self.format.fewest, 1 << 30 if self.format.open_end else self.format.width


def layout(source: Source, name: str = AUTO) -> Layout:
    """That of the file, among those of the named format or of all; or ConfigError."""
    lines = first_lines(Source(source.path))
    if name != AUTO and name not in FORMATS:
        raise ConfigError([f"{name!r} is no format: use {', '.join((AUTO, *FORMATS))}"])
    asked = FORMATS[name] if name != AUTO else tuple(chain(*FORMATS.values()))
    found = _headed(source.path, lines, asked) or _shaped(lines, asked)
    if found is None and name != AUTO:
        found = Layout(asked[0], asked[0].delimiters[0], asked[0].columns, False)
    if found is None:
        raise ConfigError([f"{source.path}: {_unknown(lines)}"])
    return found


def _unknown(lines: Sequence[str]) -> str:
    if not lines:
        return "is empty"
    if len(lines[0].split("\t")) == CRITEO.width - 1:
        return "has the fields of Criteo without the label: nothing to learn from"
    return f"is in no known format (known: {', '.join(FORMATS)})"


def first_lines(source: Source) -> list[str]:
    """Up to LOOKED_AT of them that hold something."""
    head = b""
    for chunk in source.chunks(HEAD):
        head += chunk
        if len(head) >= HEAD:
            break
    text = head[:HEAD].decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.split("\n")[:LOOKED_AT]
    return [line.rstrip("\r") for line in lines if line.strip()]


def _headed(path: Path, lines: Sequence[str], asked: Sequence[Format]) -> Layout | None:
    """By the names in the first line."""
    for one in asked:
        for delimiter in one.delimiters if lines else "":
            names = [field.strip().strip('"') for field in lines[0].split(delimiter)]
            if one.telling and one.telling <= {name.lower() for name in names}:
                return _of_heading(path, one, delimiter, names)
    return None


def _of_heading(path: Path, one: Format, delimiter: str, names: Sequence[str]) -> Layout:
    known = {name: column for column in one.columns for name in (column.name.lower(), *column.also)}
    columns: list[Column | None] = []
    for name in names:
        column = known.pop(name.lower(), None)
        columns.append(column)
    lacking = [column.name for column in known.values() if column.needed]
    if lacking:
        raise ConfigError([f"{path}: has the heading of {one.name} without {', '.join(lacking)}"])
    ignored = [name for name, column in zip(names, columns, strict=True) if column is None]
    return Layout(one, delimiter, tuple(columns), True, tuple(ignored))


def _shaped(lines: Sequence[str], asked: Sequence[Format]) -> Layout | None:
    """By the first lines, of which some must fit: the format that most of them fit."""
    most, found = len(lines) * FITTING, None
    for one in asked:
        for delimiter in one.delimiters:
            fits = sum(_fits(line, one, delimiter) for line in lines)
            if fits > most:
                most, found = fits, Layout(one, delimiter, one.columns, False)
    return found


def _fits(line: str, one: Format, delimiter: str) -> bool:
    fields = line.split() if delimiter == " " else line.split(delimiter)
    if one in (IPINYOU_INDEX, IPINYOU_PRICED):
        first = 1 if one is IPINYOU_INDEX else 2
        numbers = all(_NUMBER.fullmatch(field) for field in fields[:first])
        return len(fields) > first and numbers and bool(_PAIR.fullmatch(fields[first]))
    if not one.fewest <= len(fields) <= one.width:
        return False
    if one is IPINYOU_LOG:
        return bool(re.fullmatch(r"\d{14,17}", fields[1])) and fields[2] in {"1", "2", "3"}
    if one is IPINYOU and len(fields) != one.width:
        return False
    pairs = zip(one.columns, fields, strict=False)
    return all(_likely(column, field) for column, field in pairs if column.needed)


def _likely(column: Column, field: str) -> bool:
    if column.role == Role.LABEL:
        return field in {"0", "1", "0.0", "1.0"}
    return field[:1].isdigit() and (column.kind != Kind.MOMENT or len(field) >= 8)
