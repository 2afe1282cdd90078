"""Tickets: each sold slot has a serial number, and each of its events counts once.

The book is a ring of one byte per serial in a mapped file that all workers of a machine share; it
survives restarts. It knows nothing of tokens, prices or time.
"""

from __future__ import annotations

import mmap
import os
import threading
from enum import Enum, IntFlag
from fcntl import LOCK_EX, LOCK_UN, lockf
from pathlib import Path
from types import TracebackType

from adserver.errors import ConfigError

MAGIC = b"TICKETS2"
HEADER = 4096
"""Bytes before the first ticket: magic, then capacity, first and next serial, 8 bytes each."""
BLOCK = 4096
"""Serials that a worker takes at a time; what it had left is lost when it ends."""
_CAPACITY, _FIRST, _NEXT = 1, 2, 3
_COUNTER = (8, 0)
"""Length and start of the byte range whose lock guards the header."""


class Mark(IntFlag):
    """What has happened to a sold slot."""

    IMPRESSION = 1
    CLICK = 2
    VIEWABLE = 4
    RELEASED = 8
    """Its reservation was given back: an impression or click that comes later is not billed."""
    CONVERSION = 16


_NEEDS = {int(Mark.CLICK): int(Mark.IMPRESSION), int(Mark.VIEWABLE): int(Mark.IMPRESSION)}
_NEEDS[int(Mark.CONVERSION)] = int(Mark.CLICK)
"""What must have happened before."""
_RELEASED = int(Mark.RELEASED)


class Use(Enum):
    """What using a ticket for an event gave."""

    FIRST = "first"
    RELEASED = "released"  # first of its kind, but after the reservation was given back
    DUPLICATE = "duplicate"
    TOO_EARLY = "too early"  # clicked before it was shown, converted before a click: not used up
    GONE = "gone"  # never issued by this book, or so old that the ring has come round


class TicketBook:
    """Exactly one FIRST per serial and mark, whichever processes and threads ask.

    Open it once per process, after any fork: POSIX locks belong to a process, and closing any
    other descriptor of the file would drop them.
    """

    def __init__(self, path: Path, capacity: int, first: int) -> None:
        """Open `path`, or make it with serials from `first` on.

        `first` should be larger than any serial of a book that was lost, so that its old tokens
        can't use up new tickets: microseconds since 1970 will do. A file of another capacity is
        refused rather than renumbered.
        """
        if capacity < 2 * BLOCK or capacity % BLOCK:
            raise ConfigError([f"tickets: capacity must be a multiple of {BLOCK}, at least two"])
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._thread = threading.Lock()
        lockf(self._descriptor, LOCK_EX, *_COUNTER)
        try:
            self._create_or_check(path, capacity, first)
        finally:
            lockf(self._descriptor, LOCK_UN, *_COUNTER)
        self._map = mmap.mmap(self._descriptor, HEADER + capacity)
        self._header = memoryview(self._map)[:HEADER].cast("Q")
        self._capacity = capacity
        self._first = self._header[_FIRST]
        self._mine = self._end = 0

    def __enter__(self) -> TicketBook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._header.release()
        self._map.close()
        os.close(self._descriptor)

    def take(self) -> int:
        """A serial that nobody else has or will get until the ring comes round."""
        with self._thread:
            if self._mine == self._end:
                self._mine = self._take_block()
                self._end = self._mine + BLOCK
            self._mine += 1
            return self._mine - 1

    def use(self, serial: int, mark: Mark) -> Use:
        """Mark the ticket, and say whether this was the first time."""
        place = self._place(serial)
        bit = int(mark)  # plain integers: arithmetic on flags takes longer than the lock
        with self._thread:
            lockf(self._descriptor, LOCK_EX, 1, place)
            try:
                if not self._issued(serial):
                    return Use.GONE
                use = _judge(self._map[place], bit)
                if use is Use.FIRST or use is Use.RELEASED:
                    self._map[place] |= bit
                return use
            finally:
                lockf(self._descriptor, LOCK_UN, 1, place)

    def release(self, serial: int, billable: Mark) -> bool:
        """Whether the reservation is to be given back: the billable event has not come, and
        from now on will not be billed. True at most once per serial."""
        place = self._place(serial)
        with self._thread:
            lockf(self._descriptor, LOCK_EX, 1, place)
            try:
                marks = self._map[place]
                if not self._issued(serial) or marks & (int(billable) | _RELEASED):
                    return False
                self._map[place] |= _RELEASED
                return True
            finally:
                lockf(self._descriptor, LOCK_UN, 1, place)

    def marks(self, serial: int) -> Mark:
        """What has happened so far; nothing for a serial that this book does not know."""
        place = self._place(serial)
        return Mark(self._map[place]) if self._issued(serial) else Mark(0)

    def _create_or_check(self, path: Path, capacity: int, first: int) -> None:
        if os.fstat(self._descriptor).st_size == 0:
            first += -first % BLOCK  # blocks must not straddle the end of the ring
            os.ftruncate(self._descriptor, HEADER + capacity)
            words = b"".join(n.to_bytes(8, "little") for n in (capacity, first, first))
            os.pwrite(self._descriptor, MAGIC + words, 0)
            os.fsync(self._descriptor)
        header = os.pread(self._descriptor, 16, 0)
        if header != MAGIC + capacity.to_bytes(8, "little"):
            raise ConfigError([f"{path} holds another number of tickets; remove it to change that"])

    def _take_block(self) -> int:
        """Serials of one block, their marks wiped.

        The counter moves before the marks are wiped, and `use` looks at the counter while it
        holds its byte: so no event of the ring's last round can leave a mark on a new ticket.
        """
        lockf(self._descriptor, LOCK_EX, *_COUNTER)
        try:
            begin = self._header[_NEXT]
            self._header[_NEXT] = begin + BLOCK
        finally:
            lockf(self._descriptor, LOCK_UN, *_COUNTER)
        place = self._place(begin)
        lockf(self._descriptor, LOCK_EX, BLOCK, place)
        try:
            self._map[place : place + BLOCK] = bytes(BLOCK)
        finally:
            lockf(self._descriptor, LOCK_UN, BLOCK, place)
        return begin

    def _place(self, serial: int) -> int:
        """The ticket's byte of the file."""
        return HEADER + serial % self._capacity

    def _issued(self, serial: int) -> bool:
        end = self._header[_NEXT]
        return max(self._first, end - self._capacity) <= serial < end


def capacity_for(sold_per_day: int) -> int:
    """Tickets for 24 hours of sales at this rate, in whole blocks; a byte each, sparse."""
    return (max(2, -(-sold_per_day // BLOCK)) + 1) * BLOCK


def _judge(marks: int, bit: int) -> Use:
    if marks & bit:
        return Use.DUPLICATE
    needed = _NEEDS.get(bit, 0)
    if marks & needed != needed:
        return Use.TOO_EARLY
    return Use.RELEASED if marks & _RELEASED else Use.FIRST
