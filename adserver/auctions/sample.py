"""A fixed share of all auctions, kept for days: what replays and forecasts are made from.

Which decisions are in it depends on nothing but their numbers. Each worker appends to segment
files of its own, `sample-w<worker>-<start ms>.bin`; a thread writes, so that no decision waits for
a disk, and what it cannot keep up with is left out and counted. A segment is a row of frames:

    head      magic, compressed bytes, CRC-32 of them, bytes (u32 each)
    body      zlib of one auction record (`encoding`), with up to `GROUP` pages

Users stand in it under a keyed pseudonym: the same one for the same user, no one without the key.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from io import BufferedWriter
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from adserver.auctions import asked
from adserver.auctions.encoding import Damaged, decode, encode
from adserver.auctions.record import AuctionRecord, joined, kind_of
from adserver.deadline import Clock
from adserver.request import AdRequest

FRAME = struct.Struct("<IIII")
MAGIC = 0x31504D53  # "SMP1"
MOST_BYTES = 1 << 28
"""Of one frame; a head that claims more is damaged."""
GROUP = 16
"""Pages compressed together: readers go through a thousand times as many, but what compresses many
at once keeps decisions waiting."""
LINGER_S = 2.0
"""Pages wait this long for company; it is also what a crash costs."""
WAITING = 1024
"""Pages waiting for the thread; further ones are left out."""
LEVEL = 1
_NAME = re.compile(r"sample-w(\d+)-(\d+)\.bin")
_WORD = 2**64 - 1


@dataclass(frozen=True, slots=True)
class SampleSettings:
    limit_bytes: int = 4 << 30
    """Of this worker's segments; the oldest are deleted beyond it."""
    segment_s: int = 3600
    """A new segment after this. Whole segments are deleted, and skipped by readers."""
    segment_bytes: int = 64 << 20
    """Or after this."""


def is_sampled(number: int, one_in: int) -> bool:
    """Whether a decision is in the sample: a hash (splitmix64) of its number decides."""
    x = (number + 0x9E3779B97F4A7C15) & _WORD
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _WORD
    return (x ^ (x >> 31)) % one_in == 0


def pseudonymous(request: AdRequest, key: str) -> AdRequest:
    """The request with a pseudonym in the user's place."""
    if not request.user:
        return request
    secret = key.encode()[:64]
    return replace(
        request, user=blake2b(request.user.encode(), key=secret, digest_size=8).hexdigest()
    )


class SampleWriter:
    """Appends of one worker. `put` never waits."""

    dropped: int
    """Pages left out because the thread was behind, or the disk failed."""
    written: int
    """Bytes on disk, in the life of this worker."""

    def __init__(self, folder: Path, worker: int, clock: Clock, settings: SampleSettings) -> None:
        """`clock` gives wall seconds; it names and ages the segments."""
        folder.mkdir(parents=True, exist_ok=True)
        self.dropped = self.written = 0
        self._segments = _Segments(folder, worker, clock, settings)
        self._waiting: queue.Queue[AuctionRecord | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write_forever, name="sample", daemon=True)
        self._thread.start()

    def put(self, page: AuctionRecord) -> None:
        """Take one page; it is on disk after about `LINGER_S`."""
        try:
            self._waiting.put_nowait(page)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what was taken, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _write_forever(self) -> None:
        while True:
            pages, ended = self._gather()
            for _, alike in groupby(pages, key=kind_of):
                self._write(list(alike))
            if ended:
                break
        self._segments.close()

    def _gather(self) -> tuple[list[AuctionRecord], bool]:
        """The pages of one group; whether they are the last."""
        first = self._waiting.get()
        pages = [first] if first else []
        ended = first is None
        with contextlib.suppress(queue.Empty):
            while not ended and len(pages) < GROUP:
                page = self._waiting.get(timeout=LINGER_S)
                ended = page is None
                pages += [page] if page else []
        return pages, ended

    def _write(self, pages: Sequence[AuctionRecord]) -> None:
        frame = framed(joined(pages))
        try:
            self._segments.write(frame)
            self.written += len(frame)
        except OSError:
            self.dropped += len(pages)


def framed(record: AuctionRecord) -> bytes:
    """The record as one frame of a segment."""
    raw = b"".join(encode(record, asked.pack_again(record.asked)).parts)
    body = zlib.compress(raw, LEVEL)
    return FRAME.pack(MAGIC, len(body), zlib.crc32(body), len(raw)) + body


class _Segments:
    """The files of one worker; only its thread touches them."""

    def __init__(self, folder: Path, worker: int, clock: Clock, settings: SampleSettings) -> None:
        self._folder, self._worker, self._clock = folder, worker, clock
        self._settings = settings
        self._file: BufferedWriter | None = None
        self._size = self._since = 0

    def write(self, frame: bytes) -> None:
        file = self._current()
        file.write(frame)
        file.flush()
        self._size += len(frame)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self) -> BufferedWriter:
        now, settings = int(self._clock() * 1000), self._settings
        old = now - self._since >= settings.segment_s * 1000
        if self._file is None or old or self._size >= settings.segment_bytes:
            self.close()
            self._make_room()
            name = self._folder / f"sample-w{self._worker}-{now}.bin"
            self._file = name.open("ab")
            self._size, self._since = self._file.tell(), now
        return self._file

    def _make_room(self) -> None:
        """Delete the oldest segments beyond the limit."""
        kept = 0
        for segment in reversed([s for s in segments(self._folder) if s.worker == self._worker]):
            kept += segment.path.stat().st_size
            if kept > self._settings.limit_bytes:
                segment.path.unlink()


@dataclass(frozen=True, slots=True)
class Segment:
    path: Path
    worker: int
    start_ms: int


@dataclass(slots=True)
class Damage:
    """Frames that a reader had to leave out: torn by a crash, altered, or of another version."""

    frames: int = 0


def segments(folder: Path) -> list[Segment]:
    """The sample's files, oldest first."""
    found = [
        Segment(path, int(name[1]), int(name[2]))
        for path in folder.glob("sample-w*.bin")
        if (name := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda segment: (segment.start_ms, segment.worker))


def read_sample(
    folder: Path, since_ms: int = 0, until_ms: int = 1 << 62, damage: Damage | None = None
) -> Iterator[AuctionRecord]:
    """Groups of sampled auctions made in [since, until), each worker's in their order.

    Every record has up to `GROUP` pages, ready for the auction as a batch: `record.bids`,
    `record.slots`, `record.request(page)`, `record.notes.at_ms`. One page stands for as many as
    the setting `auction_sample_one_in` says. To repeat a sale exactly take `record.pages()` one at
    a time (`adserver.auctions.again`). What is damaged is left out and counted.
    """
    damage = damage or Damage()
    found = segments(folder)
    for place, segment in enumerate(found):
        later = [s.start_ms for s in found[place + 1 :] if s.worker == segment.worker]
        # A page may have waited for its group while the next segment was begun.
        if segment.start_ms >= until_ms + 1000 * LINGER_S or (later and later[0] < since_ms):
            continue
        for record in read_segment(segment.path, damage):
            at_ms = record.notes.at_ms
            if at_ms[0] >= since_ms and at_ms[-1] < until_ms:
                yield record
            else:
                inside = (at_ms >= since_ms) & (at_ms < until_ms)
                yield from (record.page(page) for page in inside.nonzero()[0].tolist())


def latest(folder: Path, most: int) -> Iterator[AuctionRecord]:
    """Each worker's last `most` groups, without reading what lies before them."""
    found = segments(folder)
    for worker in sorted({segment.worker for segment in found}):
        left = most
        for segment in reversed([one for one in found if one.worker == worker]):
            with segment.path.open("rb") as file:
                frames = _frames(file)[-left:]
                for place, size, crc in frames:
                    file.seek(place)
                    record = _opened(file.read(size), crc)
                    if record is not None:
                        yield record
            left -= len(frames)
            if left <= 0:
                break


def _frames(file: BinaryIO) -> list[tuple[int, int, int]]:
    """Where the body of each frame begins, its bytes and its CRC; up to the first damaged head."""
    frames: list[tuple[int, int, int]] = []
    while len(head := file.read(FRAME.size)) == FRAME.size:
        magic, size, crc, _ = FRAME.unpack(head)
        if magic != MAGIC or size > MOST_BYTES:
            break
        frames.append((file.tell(), size, crc))
        file.seek(size, os.SEEK_CUR)
    return frames


def read_segment(path: Path, damage: Damage) -> Iterator[AuctionRecord]:
    """All records of one file; after a damaged head nothing more can be found in it."""
    with path.open("rb") as file:
        while head := file.read(FRAME.size):
            if len(head) < FRAME.size:
                damage.frames += 1
                return
            magic, size, crc, raw_size = FRAME.unpack(head)
            if magic != MAGIC or max(size, raw_size) > MOST_BYTES:
                damage.frames += 1
                return
            record = _opened(file.read(size), crc)
            if record is None:
                damage.frames += 1
            else:
                yield record


def _opened(body: bytes, crc: int) -> AuctionRecord | None:
    if zlib.crc32(body) != crc:
        return None
    with contextlib.suppress(zlib.error, Damaged):
        return decode(zlib.decompress(body))
    return None
