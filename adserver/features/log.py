"""The feature log: what the model was shown of every sold slot, kept as Arrow IPC streams.

Each worker appends to files of its own, `w<worker>-<start ms>.arrows`; a thread writes once a
second, so that no decision waits for a disk. What it cannot keep up with is left out and counted.
A crash tears the last batch of a file at most, and the reader leaves that out.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import pyarrow as pa

from adserver.deadline import Clock
from adserver.features.rows import NAME, SCHEMA, Rows, joined

LATE_MS = 60_000
"""Rows may be this much older than the name of their file says."""
_NAME = re.compile(r"w(\d+)-(\d+)\.arrows")


@dataclass(frozen=True, slots=True)
class FeatureLogSettings:
    limit_bytes: int = 4 << 30
    """Of this worker's files; the oldest are deleted beyond it."""
    segment_s: int = 3600
    """A new file after this. Whole files are deleted, and skipped by readers."""
    segment_bytes: int = 64 << 20
    """Or after this."""
    queue: int = 20_000
    """Rows waiting for the thread; further ones are left out."""
    linger_s: float = 1.0
    """Rows wait this long for company; it is also what a crash costs."""


class FeatureLog:
    """Appends of one worker. `put` never waits."""

    dropped: int
    """Rows left out because the thread was behind, or the disk failed."""
    written: int
    """Rows on disk, in the life of this worker."""

    def __init__(
        self, folder: Path, worker: int, clock: Clock, settings: FeatureLogSettings
    ) -> None:
        """`clock` gives wall seconds; it names and ages the files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.dropped = self.written = 0
        self._settings = settings
        self._files = _Files(folder, worker, clock, settings)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[Rows] = []
        self._rows = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="features", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Take these rows; they are on disk after about `linger_s`."""
        with self._lock:
            if self._rows + len(rows) > self._settings.queue:
                self.dropped += len(rows)
            elif len(rows):
                self._waiting.append(rows)
                self._rows += len(rows)

    def flush(self) -> None:
        """Returns when what was put before is in the file, or dropped."""
        with self._writing:  # one writer at a time, so that rows stay in order
            with self._lock:
                parts, self._waiting = self._waiting, []
                rows, self._rows = self._rows, 0
            if not parts:
                return
            try:
                self._files.write(joined(parts))
                self.written += rows
            except OSError:
                self.dropped += rows
                self._files.abandon()

    def close(self) -> None:
        """Write what was taken, and end. Call it after the last `put`."""
        self._closing.set()
        self._thread.join()
        self._files.close()

    def _write_forever(self) -> None:
        while not self._closing.wait(self._settings.linger_s):
            self.flush()
        self.flush()


class _Files:
    """The files of one worker; only who holds the writing lock touches them."""

    def __init__(
        self, folder: Path, worker: int, clock: Clock, settings: FeatureLogSettings
    ) -> None:
        self._folder, self._worker, self._clock = folder, worker, clock
        self._settings = settings
        self._options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._file: BufferedWriter | None = None
        self._stream: Any = None
        self._since = 0

    def write(self, batch: pa.RecordBatch) -> None:
        file, stream = self._current()
        stream.write_batch(batch)
        file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._stream.close()
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """What lies behind a failed write cannot be read: go on in a new file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _current(self) -> tuple[BufferedWriter, Any]:
        now, settings = int(self._clock() * 1000), self._settings
        old = now - self._since >= settings.segment_s * 1000
        if self._file is None or old or self._file.tell() >= settings.segment_bytes:
            self.close()
            self._make_room()
            self._file, self._since = self._create(now), now
            self._stream = pa.ipc.new_stream(self._file, SCHEMA, options=self._options)
        return self._file, self._stream

    def _create(self, now: int) -> BufferedWriter:
        """A file behind all that this worker ever wrote: a stream cannot be continued."""
        last = max((s.start_ms for s in self._mine()), default=0)
        return (self._folder / f"w{self._worker}-{max(now, last + 1)}.arrows").open("xb")

    def _make_room(self) -> None:
        """Delete the oldest files beyond the limit."""
        kept = 0
        for segment in reversed(self._mine()):
            kept += segment.path.stat().st_size
            if kept > self._settings.limit_bytes:
                segment.path.unlink()

    def _mine(self) -> list[Segment]:
        return [segment for segment in segments(self._folder) if segment.worker == self._worker]


@dataclass(frozen=True, slots=True)
class Segment:
    path: Path
    worker: int
    start_ms: int


@dataclass(slots=True)
class Damage:
    """Files that a reader had to leave out, in part (torn by a crash) or altogether."""

    torn: int = 0
    foreign: int = 0
    """Of another feature schema."""


def segments(folder: Path) -> list[Segment]:
    """The log's files, oldest first."""
    found = [
        Segment(path, int(name[1]), int(name[2]))
        for path in folder.glob("w*.arrows")
        if (name := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda segment: (segment.start_ms, segment.worker))


def read(
    folder: Path, since_ms: int = 0, until_ms: int = 1 << 62, damage: Damage | None = None
) -> pa.Table:
    """All rows decided in [since, until) in `rows.SCHEMA`, each worker's in their order."""
    return pa.Table.from_batches(list(batches(folder, since_ms, until_ms, damage)), SCHEMA)


def batches(
    folder: Path, since_ms: int = 0, until_ms: int = 1 << 62, damage: Damage | None = None
) -> Iterator[pa.RecordBatch]:
    """The same, a batch at a time; what is damaged is left out and counted."""
    damage = damage or Damage()
    found = segments(folder)
    for place, segment in enumerate(found):
        later = [s.start_ms for s in found[place + 1 :] if s.worker == segment.worker]
        # rows may have waited for the thread while the clock went on, so look back a little
        if segment.start_ms - LATE_MS >= until_ms or (later and later[0] < since_ms):
            continue
        for batch in read_segment(segment.path, damage):
            t = batch.column("t").to_numpy()
            inside = (t >= since_ms) & (t < until_ms)
            if inside.any():
                yield batch if inside.all() else batch.filter(pa.array(inside))


def read_segment(path: Path, damage: Damage) -> Iterator[pa.RecordBatch]:
    """The whole batches of one file, in order."""
    with path.open("rb") as file:
        try:
            stream = pa.ipc.open_stream(file)
            if (stream.schema.metadata or {}).get(NAME) != SCHEMA.metadata[NAME]:
                damage.foreign += 1
                return
            yield from stream
        except (pa.ArrowInvalid, OSError, EOFError):
            damage.torn += 1
