"""The append-only event log: the truth that budgets and reports are computed from.

Each worker appends to segment files of its own, `w<worker>-<start ms>.log`; a thread writes what
came in meanwhile and fsyncs it as one group. Nothing here knows what the records mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from adserver.errors import AdServerError
from adserver.records import Record, decode_line, encode_line, is_decision

_NAME = re.compile(r"w(\d+)-(\d+)\.log")


class LogFailed(AdServerError):
    """The log can't be written any more; nothing that it refused counts as having happened."""

    status = 503
    code = "event_log"


@dataclass(frozen=True, slots=True)
class LogSettings:
    segment_bytes: int = 64 << 20
    """A new file after this. Smaller ones are deleted sooner, larger ones are fewer."""
    segment_s: int = 3600
    """A new file after this, however little was written."""
    queue: int = 20_000
    """Decisions waiting for the disk; when it is full they are refused and admission tightens."""
    linger_ms: float = 50.0
    """Decisions wait this long for company. It is also what a crash of the machine may cost."""
    gather_ms: float = 1.0
    """Billable events wait this long for company, so that one fsync serves many."""


class EventLog:
    """Appends of one worker. A billable event is on disk, or its appender was told that it isn't.

    The first failed write or fsync is final: after it the kernel may drop the pages it could not
    write, so a later success would prove nothing. Restart the worker when `failure` is set.
    """

    failure: OSError | None
    refused: int
    """Decisions that the log did not take."""

    def __init__(
        self, folder: Path, worker: int, clock: Callable[[], float], settings: LogSettings
    ) -> None:
        """`clock` gives wall seconds; it names and ages the segments."""
        folder.mkdir(parents=True, exist_ok=True)
        self.failure, self.refused = None, 0
        self._segments = _Segments(folder, worker, clock, settings)
        self._settings = settings
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._urgent, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="eventlog", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> float:
        """How full the queue is, 0 to 1."""
        return min(1.0, len(self._lines) / self._settings.queue)

    def append(self, record: Record) -> bool:
        """Whether the record was taken; it will be on disk within about `linger_ms`."""
        line = encode_line(record)
        with self._lock:
            if len(self._lines) >= self._settings.queue or not self._open():
                self.refused += 1
                return False
            self._lines.append(line)
            return True

    async def append_durably(self, record: Record) -> None:
        """Returns when the record is on disk; raises LogFailed if it can't be put there."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = encode_line(record)
        with self._lock:
            if not self._open():
                raise LogFailed(f"the event log is not writable: {self.failure or 'closed'}")
            self._lines.append(line)
            self._waiting.append(done)
        self._urgent.set()
        await done

    def close(self) -> None:
        """Write what was taken, and end. Call it after the last append."""
        with self._lock:
            self._closing.set()
        self._urgent.set()
        self._thread.join()

    def _open(self) -> bool:
        return self.failure is None and not self._closing.is_set()

    def _write_forever(self) -> None:
        while not self._closing.is_set():
            if self._urgent.wait(self._settings.linger_ms / 1000):
                self._closing.wait(self._settings.gather_ms / 1000)
            self._urgent.clear()
            self._write_group()
        self._write_group()
        with contextlib.suppress(OSError):
            self._segments.close()

    def _write_group(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            waiting, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            self._segments.write(lines)
        except OSError as error:
            with self._lock:
                self.failure = self.failure or error
                waiting += self._waiting
                self.refused += len(lines) + len(self._lines) - len(waiting)
                self._lines, self._waiting = [], []
        _settle(waiting, self.failure)


class _Segments:
    """The files of one worker; only the writer thread touches them."""

    def __init__(
        self, folder: Path, worker: int, clock: Callable[[], float], settings: LogSettings
    ) -> None:
        self._folder, self._worker, self._clock = folder, worker, clock
        self._settings = settings
        self._file: FileIO | None = None
        self._size = self._since = 0

    def write(self, lines: Sequence[bytes]) -> None:
        """All of the lines are on disk, or an OSError says that some may not be."""
        file = self._current()
        data = memoryview(b"".join(lines))
        self._size += len(data)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self) -> FileIO:
        now = int(self._clock() * 1000)
        full = self._size >= self._settings.segment_bytes
        if self._file is None or full or now - self._since >= self._settings.segment_s * 1000:
            self.close()
            self._file, self._size, self._since = self._create(now), 0, now
        return self._file

    def _create(self, now: int) -> FileIO:
        """A file that no earlier life of this worker wrote to, known to the folder on disk too."""
        while True:
            try:
                file = FileIO(self._folder / f"w{self._worker}-{now}.log", "xb")
                break
            except FileExistsError:
                now += 1
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return file


def _settle(waiting: Sequence[asyncio.Future[None]], failure: OSError | None) -> None:
    """Tell each appender in its own loop; one whose loop has ended no longer listens."""
    for loop in {future.get_loop() for future in waiting}:
        mine = [future for future in waiting if future.get_loop() is loop]
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, mine, failure)


def _resolve(futures: Sequence[asyncio.Future[None]], failure: OSError | None) -> None:
    for future in futures:
        if future.done():  # cancelled by a client that went away; the record stays
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(LogFailed(f"the event log is not writable: {failure}"))


@dataclass(frozen=True, slots=True)
class Segment:
    path: Path
    worker: int
    start_ms: int


@dataclass(slots=True)
class Damage:
    """Lines that a reader had to leave out: torn by a crash, or altered since."""

    lines: int = 0


def segments(folder: Path) -> list[Segment]:
    """The log's files, oldest first."""
    found = [
        Segment(path, int(name[1]), int(name[2]))
        for path in folder.glob("w*.log")
        if (name := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda s: (s.start_ms, s.worker))


def complete_lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    """Whole lines from `offset` on, their newlines cut off, about `limit` bytes; where they end.

    A line still being written, or torn by a crash, is not whole and is left for later.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(limit)
        if data and not data.endswith(b"\n"):
            data += file.readline()
    end = data.rfind(b"\n") + 1
    return data[:end].split(b"\n")[:-1], offset + end


def read(
    folder: Path, since_ms: int = 0, damage: Damage | None = None, decisions: bool = True
) -> Iterator[Record]:
    """Every intact record since a moment, in each worker's order; what is damaged is counted."""
    damage = damage or Damage()
    found = segments(folder)
    ends = {(a.worker, a.start_ms): b.start_ms for a, b in _followed(found)}
    for segment in found:
        if ends.get((segment.worker, segment.start_ms), since_ms + 1) <= since_ms:
            continue
        for line in _lines(segment.path, damage):
            if not decisions and is_decision(line):
                continue
            record = decode_line(line)
            if record is None:
                damage.lines += 1
            elif record.t >= since_ms:
                yield record


def _followed(found: Sequence[Segment]) -> Iterator[tuple[Segment, Segment]]:
    """Each segment with the same worker's next one; by then the first was closed."""
    last: dict[int, Segment] = {}
    for segment in found:
        if segment.worker in last:
            yield last[segment.worker], segment
        last[segment.worker] = segment


def _lines(path: Path, damage: Damage) -> Iterator[bytes]:
    offset = 0
    while True:
        lines, end = complete_lines(path, offset, 8 << 20)
        if not lines:
            break
        yield from lines
        offset = end
    damage.lines += path.stat().st_size > offset
