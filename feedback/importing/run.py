"""A log, or several of one kind, into Parquet: in one pass, in flat memory, no line lost.

The folder holds `part-NNNNN.parquet`, `quarantine.jsonl` and `manifest.json`; the manifest is
written last, so a folder without one is unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adserver.errors import ConfigError
from feedback.importing import columns
from feedback.importing.detect import AUTO, Layout, layout
from feedback.importing.formats import LABEL, TIME
from feedback.importing.joins import Join, is_side_file, join_of
from feedback.importing.lines import blocks
from feedback.importing.quarantine import Quarantine
from feedback.importing.sources import CHUNK, Source, checked

MANIFEST, QUARANTINED = "manifest.json", "quarantine.jsonl"
GROUP_ROWS = 1 << 16
PART_ROWS = 1 << 20
Heard = Callable[[str, int, int], None]
"""What is being read, bytes of it done, bytes there are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to import, and how."""

    format: str = AUTO
    limit: int = 0
    """Lines to read at most, of all files; 0: all."""
    chunk: int = CHUNK
    """Bytes at a time."""
    group_rows: int = GROUP_ROWS
    part_rows: int = PART_ROWS


@dataclass(slots=True)
class Tally:
    """What has passed so far."""

    rows_in: int = 0
    rows_out: int = 0
    clicks: int = 0
    repaired: int = 0
    """Lines that were not UTF-8 and in which that was replaced."""
    first_ms: int | None = None
    last_ms: int | None = None
    nulls: dict[str, int] = field(default_factory=dict)

    def add(self, rows: Any) -> None:
        self.rows_out += rows.num_rows
        self.clicks += int(np.asarray(rows.column(LABEL)).sum())
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            self.nulls[name] = self.nulls.get(name, 0) + column.null_count
        if TIME in rows.schema.names and rows.num_rows:
            span = pc.min_max(rows.column(TIME)).as_py()
            self.first_ms = min(span["min"], self.first_ms or span["min"])
            self.last_ms = max(span["max"], self.last_ms or span["max"])


def import_log(
    paths: Sequence[Path],
    out: Path,
    plan: Plan = Plan(),
    heard: Heard = lambda what, done, of: None,
) -> dict[str, Any]:
    """The manifest; ConfigError, before anything is written, if a file is no log of a known kind.

    rows_in = rows_out + quarantined, always.
    """
    given = [checked(path) for path in _files(paths)]
    layouts = [layout(source, plan.format) for source in given]
    if len({one.format.name for one in layouts}) > 1:
        kinds = ", ".join(
            f"{s.path} {one.format.name}" for s, one in zip(given, layouts, strict=True)
        )
        raise ConfigError([f"the files are of different formats: {kinds}"])
    join, logs = join_of(given, layouts)
    sources, layouts = [given[n] for n in logs], [layouts[n] for n in logs]
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("part-*.parquet"), out / MANIFEST):
        old.unlink(missing_ok=True)
    tally = Tally()
    with Quarantine(out / QUARANTINED) as quarantine, _Parts(out, join.schema, plan) as parts:
        work = _Work(tally, quarantine, parts, join, heard)
        for source, how in zip(sources, layouts, strict=True):
            _import_one(source, how, plan, work)
    manifest = _manifest(sources, layouts, work)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _files(paths: Sequence[Path]) -> list[Path]:
    """Folders stand for the files in them."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            found += [one for one in inside if one.name[0] != "." and not is_side_file(one)]
        else:
            found.append(path)
    if not found:
        raise ConfigError([f"{path}: holds no files" for path in paths])
    return found


@dataclass(frozen=True, slots=True)
class _Work:
    """Where things go."""

    tally: Tally
    quarantine: Quarantine
    parts: _Parts
    join: Join
    heard: Heard


def _import_one(source: Source, how: Layout, plan: Plan, work: _Work) -> None:
    names = [column.name if column else "" for column in how.columns]
    size = source.path.stat().st_size
    heading = how.headed
    for block in blocks(source, plan.chunk):
        lines = block
        if heading:
            lines, heading = block.part(1, len(block)), False
        left = plan.limit - work.tally.rows_in if plan.limit else len(lines)
        lines = lines.part(0, min(left, len(lines)))
        parsed = columns.parse(lines, how)
        work.tally.rows_in += len(lines)
        work.tally.repaired += block.repaired
        rows = work.join.rows(source.path, parsed.rows)
        work.tally.add(rows)
        work.quarantine.add(source.path, lines, parsed.blamed, names)
        work.parts.write(rows)
        work.heard(source.path.name, source.size, size)
        if plan.limit and work.tally.rows_in >= plan.limit:
            break


class _Parts:
    """Parquet files of a bounded number of rows, written a row group at a time."""

    def __init__(self, folder: Path, wanted: Any, plan: Plan) -> None:
        self.folder, self.schema, self.plan = folder, wanted, plan
        self.written: list[dict[str, object]] = []
        self._waiting: list[Any] = []
        self._rows = 0
        self._file: Any = None
        self._file_rows = 0

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._close()

    def write(self, rows: Any) -> None:
        if rows.num_rows:
            self._waiting.append(rows)
            self._rows += rows.num_rows
        if self._rows >= self.plan.group_rows:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._file is None:
            name = f"part-{len(self.written):05d}.parquet"
            self._file = pq.ParquetWriter(self.folder / name, self.schema, compression="zstd")
            self.written.append({"file": name, "rows": 0})
        self._file.write_table(
            pa.Table.from_batches(self._waiting, self.schema), row_group_size=self.plan.group_rows
        )
        self._file_rows += self._rows
        self.written[-1]["rows"] = self._file_rows
        self._waiting, self._rows = [], 0
        if self._file_rows >= self.plan.part_rows:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._file_rows = None, 0


def _manifest(sources: Sequence[Source], layouts: Sequence[Layout], work: _Work) -> dict[str, Any]:
    tally, quarantine, parts = work.tally, work.quarantine, work.parts
    about = [
        {**source.about(), "heading": how.headed, "ignored_fields": list(how.ignored)}
        for source, how in zip(sources, layouts, strict=True)
    ]
    held = [
        {
            "name": one.name,
            "type": str(one.type),
            **{key.decode(): text.decode() for key, text in one.metadata.items()},
            "nulls": tally.nulls.get(one.name, 0),
        }
        for one in parts.schema
    ]
    return {
        "format": layouts[0].format.name,
        "sources": about,
        "beside": work.join.about(),
        "rows_in": tally.rows_in,
        "rows_out": tally.rows_out,
        "quarantined": sum(quarantine.count.values()),
        "reasons": {str(reason): count for reason, count in sorted(quarantine.count.items())},
        "first_quarantined": quarantine.first,
        "lines_not_utf8": tally.repaired,
        "clicks": tally.clicks,
        "time_ms": None if tally.first_ms is None else [tally.first_ms, tally.last_ms],
        "columns": held,
        "parts": parts.written,
    }
