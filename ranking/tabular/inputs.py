"""What the methods read: rows of embeddings and plain numbers, the same for all of them.

Whatever is learnt of the columns, which values are frequent, how numbers spread, is learnt from
the training rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.tabular.kernels import U64, hash_words
from ranking.tabular.parts import Parts
from ranking.tabular.rows import Rows
from ranking.tabular.running import count, counted, paired
from ranking.tabular.vocabulary import LIMITS, Limits, Load, Table, loads

STEPS = 20
"""Buckets of about as many training rows that a number falls into, beside its own size."""
HOUR_S, DAY_S, WEEK_S = 3_600.0, 86_400.0, 604_800.0
Numbers = dict[str, NDArray[np.float32]]
WIDEST = 4.0
"""Standard deviations that a number is cut off at."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """R rows of F fields and D numbers."""

    click: NDArray[np.uint8]
    first: NDArray[np.int32]
    """[R, F] row of one embedding over all fields; 0 for what is not there."""
    second: NDArray[np.int32] | None
    """[R, F] the second row of values that have two; None if no value has."""
    number: NDArray[np.float32]
    """[R, D] of mean 0 and deviation 1 over the training rows."""
    bags: tuple[slice, ...]
    """Fields whose rows are the tokens of one bag."""
    names: list[str]
    """[D] of the numbers."""
    fields: list[str]
    """[F]"""
    embedded: int
    """The first so many fields are worth vectors; the rest are running counts in steps."""
    load: list[Load]
    first_row: NDArray[np.int32]
    """[F] of each field."""
    rows: int
    """Of the embedding."""

    def __len__(self) -> int:
        return len(self.click)

    def part(self, at: slice | NDArray[np.int64]) -> Inputs:
        """Some of the rows."""
        second = None if self.second is None else self.second[at]
        bare = (self.bags, self.names, self.fields, self.embedded)
        rest = (self.load, self.first_row, self.rows)
        return Inputs(self.click[at], self.first[at], second, self.number[at], *bare, *rest)


def inputs(rows: Rows, parts: Parts, limits: Limits = LIMITS) -> Inputs:
    """Encode all rows by what the training rows tell."""
    names, number = _numbers(rows, parts)
    counts = dict(zip(names, number.T, strict=True)) if paired(rows) else {}
    stepped = {name: one for name, one in counts.items() if name not in rows.count}
    tables: dict[str, Table] = {}
    fields, firsts, seconds, starts, start = [], [], [], [], 0
    for name, hashed in _columns(rows, parts, stepped):
        field = name.partition("[")[0]
        if field not in tables:
            start += tables[list(tables)[-1]].rows - 1 if tables else 0
            tables[field] = _table(rows, field, hashed, parts, limits)
        one, two = tables[field].pair(hashed)
        fields.append(name)
        starts.append(start)
        firsts.append(_shifted(one, start))
        seconds.append(_shifted(two, start) if two.any() else None)
    return Inputs(
        click=rows.click,
        first=np.column_stack(firsts),
        second=_second(seconds, len(rows)),
        number=number,
        bags=_bags(fields),
        names=names,
        fields=fields,
        embedded=len(fields) - len(stepped),
        load=loads(list(tables.values()), list(tables)),
        first_row=np.array(starts, np.int32),
        rows=1 + sum(table.rows - 1 for table in tables.values()),
    )


def _shifted(row: NDArray[np.int32], start: int) -> NDArray[np.int32]:
    """Of one embedding over all fields, of which this one's begins behind `start`."""
    return np.where(row > 0, row + start, 0).astype(np.int32)


def _second(columns: list[NDArray[np.int32] | None], rows: int) -> NDArray[np.int32] | None:
    if all(one is None for one in columns):
        return None
    nothing = np.zeros(rows, np.int32)
    return np.column_stack([nothing if one is None else one for one in columns])


def _table(rows: Rows, field: str, hashed: U64, parts: Parts, limits: Limits) -> Table:
    seen = rows.bag[field][parts.train].ravel() if field in rows.bag else hashed[parts.train]
    return Table.empty(limits).grown(seen[seen != 0])


def _columns(rows: Rows, parts: Parts, more: Numbers) -> Iterator[tuple[str, U64]]:
    """Each field's hashes: categories, numbers in steps, hours and days, a bag's tokens."""
    yield from rows.category.items()
    for name, number in rows.count.items():
        yield f"{name} in steps", _stepped(number, number[parts.train])
    for name, every_s, until_s in (("hour", HOUR_S, DAY_S), ("weekday", DAY_S, WEEK_S)):
        if rows.time_s is not None and np.ptp(rows.time_s[parts.train]) >= 2 * until_s:
            yield f"{name} of the time", _hash_steps(rows.time_s % until_s // every_s)
    for name, tokens in rows.bag.items():
        used = int((tokens != 0).any(axis=0).sum())
        yield from ((f"{name}[{at}]", tokens[:, at]) for at in range(used))
    for name, number in more.items():
        yield f"{name} in steps", _stepped(number, number[parts.train])


def _bags(fields: list[str]) -> tuple[slice, ...]:
    named = [field.partition("[")[0] if "[" in field else "" for field in fields]
    return tuple(
        slice(named.index(bag), named.index(bag) + named.count(bag))
        for bag in dict.fromkeys(named)
        if bag
    )


def _stepped(number: NDArray[np.float32], seen: NDArray[np.float32]) -> U64:
    """Which of STEPS buckets, by the quantiles of what was seen; a missing number has its own."""
    there = seen[~np.isnan(seen)]
    edge = np.unique(np.quantile(there, np.arange(1, STEPS) / STEPS)) if len(there) else there
    step = np.searchsorted(edge, number, side="right").astype(np.float64)
    return _hash_steps(np.where(np.isnan(number), -1.0, step))


def _hash_steps(step: NDArray[np.float64]) -> U64:
    out = np.empty(len(step), np.uint64)
    hash_words((step + 1).astype(np.uint64), out)
    return out


def _numbers(rows: Rows, parts: Parts) -> tuple[list[str], NDArray[np.float32]]:
    """Counts as ± log(1 + |count|), 0 where missing, and the running counts; standardised."""
    names = counted(rows)
    out = np.empty((len(rows), len(rows.count) + len(names)), np.float32)
    for at, number in enumerate(rows.count.values()):
        out[:, at] = np.sign(number) * np.log1p(np.abs(number))
    count(rows, out[:, len(rows.count) :])
    for at in range(out.shape[1]):
        seen = out[parts.train, at]
        there = seen[~np.isnan(seen)].astype(np.float64)
        centre, spread = (there.mean(), there.std()) if len(there) else (0.0, 1.0)
        out[:, at] = np.clip((out[:, at] - centre) / max(spread, 1e-3), -WIDEST, WIDEST)
    np.nan_to_num(out, copy=False)
    return [*rows.count, *names], out
