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
from ranking.tabular.running import count, counted
from ranking.tabular.vocabulary import LIMITS, Limits, Load, Table, loads

STEPS = 20
"""Buckets of about as many training rows that a number falls into, beside its own size."""
HOUR_S, DAY_S, WEEK_S = 3_600.0, 86_400.0, 604_800.0
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
        bare = (self.bags, self.names, self.fields, self.load, self.first_row, self.rows)
        return Inputs(self.click[at], self.first[at], second, self.number[at], *bare)


def inputs(rows: Rows, parts: Parts, limits: Limits = LIMITS) -> Inputs:
    """Encode all rows by what the training rows tell."""
    names, number = _numbers(rows, parts)
    fields = [name for name, _ in _columns(rows, parts)]
    first = np.zeros((len(rows), len(fields)), np.int32)
    second: NDArray[np.int32] | None = None
    first_row = np.zeros(len(fields), np.int32)
    tables: dict[str, Table] = {}
    start = 0
    for at, (name, hashed) in enumerate(_columns(rows, parts)):
        field = name.partition("[")[0]
        if field not in tables:
            start = start + tables[list(tables)[-1]].rows - 1 if tables else 0
            tables[field] = _table(rows, field, hashed, parts, limits)
        one, two = tables[field].pair(hashed)
        first[:, at] = np.where(one > 0, one + start, 0)
        first_row[at] = start
        if two.any():
            second = np.zeros_like(first) if second is None else second
            second[:, at] = np.where(two > 0, two + start, 0)
    load = loads(list(tables.values()), list(tables))
    total = 1 + sum(table.rows - 1 for table in tables.values())
    bags = _bags(fields)
    return Inputs(rows.click, first, second, number, bags, names, fields, load, first_row, total)


def _table(rows: Rows, field: str, hashed: U64, parts: Parts, limits: Limits) -> Table:
    seen = rows.bag[field][parts.train].ravel() if field in rows.bag else hashed[parts.train]
    return Table.empty(limits).grown(seen[seen != 0])


def _columns(rows: Rows, parts: Parts) -> Iterator[tuple[str, U64]]:
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
