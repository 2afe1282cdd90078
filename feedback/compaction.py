"""The event log into Parquet, each line exactly once, whenever the process dies.

A batch writes files under names that only it uses, then commits names and log offsets together; a
batch that died before its commit is done again and overwrites what it left. Knows log lines by
their checksum and kind only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adserver.eventlog import Segment, complete_lines, segments
from adserver.records import DAY_MS, checked_text, is_decision
from feedback.tables import day_of, decision_rows, event_rows
from feedback.warehouse import TABLES, Progress, commit, load, sync_folders

MERGE_AT = 24
"""Small files of one table and day that are merged into one: reports open few files."""
SMALL = 32 << 20
"""Bytes above which a file is left as it is: a row is rewritten a few times, not all day long."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one run took over."""

    slots: int = 0
    events: int = 0
    damaged: int = 0


@dataclass(slots=True)
class _Batch:
    """Lines on their way, and the offsets at which the next batch begins."""

    decisions: list[bytes]
    events: list[bytes]
    offset: dict[str, int]
    damaged: int = 0
    size: int = 0


def compact(log: Path, warehouse: Path, batch_bytes: int = 32 << 20) -> Compacted:
    """Take over all complete lines that the log holds now. One at a time per warehouse."""
    done = Compacted()
    warehouse.mkdir(parents=True, exist_ok=True)
    with _alone(warehouse):
        _sweep(warehouse, load(warehouse))
        while True:
            progress = load(warehouse)
            batch = _gather(log, progress.offset, batch_bytes)
            if batch.offset == progress.offset:
                break
            slots, events = decision_rows(batch.decisions), event_rows(batch.events)
            _commit_batch(warehouse, progress, batch, {"decisions": slots, "events": events})
            done = Compacted(
                done.slots + slots.num_rows,
                done.events + events.num_rows,
                done.damaged + batch.damaged,
            )
        _merge(warehouse, load(warehouse))
    return done


@contextmanager
def _alone(warehouse: Path) -> Iterator[None]:
    with (warehouse / "lock").open("w") as file:
        flock(file, LOCK_EX)  # ends with the file, or with the process
        yield


def _sweep(warehouse: Path, progress: Progress) -> None:
    """Remove what a dead batch left, and what was retired a batch ago is removed by the next."""
    kept = {*progress.files, *progress.retired}
    for table in TABLES:
        for path in (warehouse / table).glob("date=*/*.parquet"):
            if str(path.relative_to(warehouse)) not in kept:
                path.unlink()


def _gather(log: Path, offset: dict[str, int], limit: int) -> _Batch:
    found = segments(log)
    names = {segment.path.name for segment in found}
    batch = _Batch([], [], {name: at for name, at in offset.items() if name in names})
    latest = {segment.worker: segment for segment in found}
    for segment in found:
        closed = latest[segment.worker] is not segment
        _gather_segment(segment, closed, limit, batch)
        if batch.size >= limit:
            break
    return batch


def _gather_segment(segment: Segment, closed: bool, limit: int, batch: _Batch) -> None:
    name = segment.path.name
    begin = batch.offset.get(name, 0)
    size = segment.path.stat().st_size
    if size == begin:
        return
    lines, end = complete_lines(segment.path, begin, limit - batch.size)
    if closed and not lines:  # what a crash tore off; nobody will finish it
        batch.damaged += 1
        end = size
    for line in lines:
        text = checked_text(line)
        if text is None:
            batch.damaged += 1
        else:
            (batch.decisions if is_decision(line) else batch.events).append(text)
    if end > begin:
        batch.offset[name] = end
    batch.size += end - begin


def _commit_batch(
    warehouse: Path, progress: Progress, batch: _Batch, tables: dict[str, pa.Table]
) -> None:
    number = progress.batch + 1
    written = [
        name for table, rows in tables.items() for name in _write(warehouse, table, rows, number)
    ]
    commit(
        warehouse,
        Progress(
            batch=number,
            offset=batch.offset,
            files=(*progress.files, *written),
            damaged=progress.damaged + batch.damaged,
        ),
    )
    for name in progress.retired:
        (warehouse / name).unlink(missing_ok=True)


def _write(warehouse: Path, table: str, rows: pa.Table, number: int) -> list[str]:
    """Names of the files that the rows went to, one per day."""
    days = day_of(rows)
    return [
        _write_file(
            warehouse, _partition(table, int(day)), rows.filter(pa.array(days == day)), number
        )
        for day in np.unique(days)
    ]


def _partition(table: str, day: int) -> str:
    return f"{table}/date={datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m-%d}"


def _write_file(warehouse: Path, partition: str, rows: pa.Table, number: int) -> str:
    folder = warehouse / partition
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.parquet"
    with path.open("wb") as file:
        pq.write_table(rows, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    sync_folders([folder, folder.parent, warehouse])
    return f"{partition}/{path.name}"


def _merge(warehouse: Path, progress: Progress) -> None:
    """Days that have become many small files become one file each, in one commit."""
    days: dict[str, list[str]] = {}
    for name in progress.files:
        if (warehouse / name).stat().st_size < SMALL:
            days.setdefault(name.rpartition("/")[0], []).append(name)
    small = {partition: names for partition, names in days.items() if len(names) >= MERGE_AT}
    if not small:
        return
    number = progress.batch + 1
    merged = [_merge_day(warehouse, part, names, number) for part, names in small.items()]
    retired = {name for names in small.values() for name in names}
    files = tuple(name for name in progress.files if name not in retired)
    commit(
        warehouse,
        replace(progress, batch=number, files=(*files, *merged), retired=tuple(sorted(retired))),
    )


def _merge_day(warehouse: Path, partition: str, names: Sequence[str], number: int) -> str:
    schema: Any = TABLES[partition.partition("/")[0]]
    parts = [pq.read_table(warehouse / name, schema=schema, partitioning=None) for name in names]
    return _write_file(warehouse, partition, pa.concat_tables(parts), number)
