"""A table of columns as numbers: hashes of its categories, its counts, its clicks, in time order.

Reads Parquet whose columns say their role (`role` in the field's metadata: label, time, category,
count, bag; others are left alone), part by part: the text itself is never held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ranking.tabular.kernels import U64, hash_texts, hash_tokens, hash_words

LABEL, TIME, CATEGORY, COUNT, BAG = "label", "time", "category", "count", "bag"
BATCH = 1 << 16
MOST_TOKENS = 24
"""Of a bag; further ones of the row are left out."""
MISSING = 1
"""The hash of a value that is not there: its absence tells something too."""


class TooLittle(ValueError):
    """There is not enough in a table to learn from, or to judge by."""


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows, in order of time, or of the table where it tells no time."""

    click: NDArray[np.uint8]
    time_s: NDArray[np.float64] | None
    """[R] seconds since 1970."""
    category: dict[str, U64]
    """[R] of each field the value's hash, never 0."""
    count: dict[str, NDArray[np.float32]]
    """[R] NaN where there is none."""
    bag: dict[str, U64]
    """[R, tokens] hashes; 0 where there are no more."""

    def __len__(self) -> int:
        return len(self.click)


def read(parts: list[Path]) -> Rows:
    """TooLittle if there are no rows or no column to learn from."""
    schema = pq.read_schema(parts[0]) if parts else ()
    role = {field.name: (field.metadata or {}).get(b"role", b"").decode() for field in schema}
    names = {kind: [name for name in role if role[name] == kind] for kind in set(role.values())}
    total = sum(pq.read_metadata(part).num_rows for part in parts)
    if not total:
        raise TooLittle("the data hold no rows")
    if not names.keys() & {CATEGORY, COUNT, BAG} or LABEL not in names:
        raise TooLittle("the data hold no label, or nothing to predict it from")
    rows = _empty(total, names)
    for begin, batch in _batches(parts, [n for n, kind in role.items() if kind in _READ]):
        _fill(rows, slice(begin, begin + batch.num_rows), batch)
    return rows if rows.time_s is None else _in_order(rows, rows.time_s)


_READ = {LABEL, TIME, CATEGORY, COUNT, BAG}


def _empty(total: int, names: dict[str, list[str]]) -> Rows:
    return Rows(
        np.zeros(total, np.uint8),
        np.zeros(total) if TIME in names else None,
        {name: np.zeros(total, np.uint64) for name in names.get(CATEGORY, [])},
        {name: np.zeros(total, np.float32) for name in names.get(COUNT, [])},
        {name: np.zeros((total, MOST_TOKENS), np.uint64) for name in names.get(BAG, [])},
    )


def _batches(parts: list[Path], names: list[str]) -> Iterator[tuple[int, Any]]:
    begin = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(BATCH, columns=names):
                yield begin, batch
                begin += batch.num_rows


def _fill(rows: Rows, at: slice, batch: Any) -> None:
    rows.click[at] = batch.column(LABEL).to_numpy(zero_copy_only=False)
    if rows.time_s is not None:
        rows.time_s[at] = batch.column("time_ms").to_numpy(zero_copy_only=False) / 1000
    for name, hashed in rows.category.items():
        _hash(batch.column(name), hashed[at])
    for name, number in rows.count.items():
        number[at] = batch.column(name).cast("float64").to_numpy(zero_copy_only=False)
    for name, tokens in rows.bag.items():
        data, offset = _bytes(batch.column(name))
        hash_tokens(data, offset, tokens[at])


def _hash(column: Any, out: U64) -> None:
    """Texts by their bytes, whole numbers by their value."""
    if str(column.type) == "string":
        hash_texts(*_bytes(column), out)
    else:
        hash_words(column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64), out)
    if column.null_count:
        out[np.asarray(column.is_null())] = MISSING


def _bytes(column: Any) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """All bytes, and where each row's begin and end; a null has none."""
    _, offsets, data = column.buffers()
    begin = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data or b"", np.uint8), begin


def _in_order(rows: Rows, time_s: NDArray[np.float64]) -> Rows:
    """By time; rows of one moment stay as they stood."""
    if (np.diff(time_s) >= 0).all():
        return rows
    order = np.argsort(time_s, kind="stable")
    for held in (rows.category, rows.count, rows.bag):
        for name, column in held.items():
            held[name] = column[order]  # type: ignore[assignment] # each keeps its own type
    return Rows(rows.click[order], time_s[order], rows.category, rows.count, rows.bag)
