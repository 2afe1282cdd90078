"""The Parquet files that reports read, and how far into the log they reach.

One file, `progress.json`, says both at once and is replaced by rename. A reader therefore sees
every line of the log once or not yet, whenever the writer died.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec

from feedback.tables import DECISIONS, EVENTS

TABLES = {"decisions": DECISIONS, "events": EVENTS}


@dataclass(frozen=True, slots=True)
class Progress:
    """What the warehouse holds. Files are named relative to its folder."""

    batch: int = 0
    offset: dict[str, int] = field(default_factory=dict)
    """Segment name -> bytes of it that are in the files."""
    files: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    """Merged into others; kept for one more batch, for readers that began before."""
    damaged: int = 0
    """Lines that were left out because their checksum did not match."""

    def of(self, table: str) -> list[str]:
        return [name for name in self.files if name.startswith(f"{table}/")]


def load(folder: Path) -> Progress:
    """The last committed progress; nothing, for a folder that has none."""
    try:
        return msgspec.json.decode((folder / "progress.json").read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress()


def commit(folder: Path, progress: Progress) -> None:
    """All of `progress` or none of it is what `load` gives from now on, whatever crashes."""
    draft = folder / "progress.json.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(progress))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, folder / "progress.json")
    sync_folders([folder])


def sync_folders(folders: Iterable[Path]) -> None:
    """New names in these folders survive a power cut."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB with the views `decisions` and `events` of what is committed now."""
    progress = load(folder)
    connection = duckdb.connect(config={"threads": 1})  # the other cores have ads to serve
    for table, schema in TABLES.items():
        files = [str(folder / name) for name in progress.of(table)]
        if files:
            relation = connection.read_parquet(files, union_by_name=True, hive_partitioning=True)
        else:
            relation = connection.from_arrow(schema.empty_table())
        relation.create_view(table)
    return connection
