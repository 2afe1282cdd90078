"""The latest auctions of each worker: a file of fixed size, written round and round.

One worker writes `w<worker>.ring`, anybody reads it. Positions count bytes ever written, so a
place in the file is a position modulo its capacity. Before a byte is overwritten, `tail` moves past
it; a reader copies first and looks at `tail` afterwards, and so knows whether what it copied may
have changed under its hands. Nothing here waits for anybody.

The file survives the worker. After a crash of the machine, when its pages may be of different ages,
it is begun anew.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.encoding import Packed

MAGIC = b"ADRING1\0"
HEAD_BYTES = 4096
CONTROL_AT = 64
END, TAIL, ENTRIES = range(3)
"""Positions: where the next record begins; below which nothing is valid; records ever written."""
ENTRY = np.dtype(
    [
        ("number", np.uint64),
        ("position", np.uint64),
        ("at_ms", np.int64),
        ("size", np.uint32),
        ("pages", np.uint32),
        ("rows", np.uint32),
        ("ad_at", np.uint32),
        ("code_at", np.uint32),
        ("unused", np.uint32),
    ]
)
"""What the index says of a record: the first of its `pages` decision numbers, which follow each
other, and the places that `encoding.Packed` names."""
BYTES_PER_ENTRY = 4096
"""Of capacity; records of a page's candidates are longer, so the index outlasts the data."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the parts of a ring file lie."""

    capacity: int

    @property
    def entries(self) -> int:
        return max(16, self.capacity // BYTES_PER_ENTRY)

    @property
    def data_at(self) -> int:
        end = HEAD_BYTES + self.entries * ENTRY.itemsize
        return end + -end % mmap.PAGESIZE

    @property
    def file_bytes(self) -> int:
        return self.data_at + self.capacity

    @property
    def head(self) -> bytes:
        """A file with another first line is of another size, version or boot."""
        return MAGIC + self.capacity.to_bytes(8, "little") + _boot()


def _boot() -> bytes:
    return blake2b(BOOT_ID.read_bytes() if BOOT_ID.exists() else b"", digest_size=16).digest()


def path_of(folder: Path, worker: int) -> Path:
    return folder / f"w{worker}.ring"


class RingWriter:
    """The ring of one worker. Not shared between threads."""

    refused: int
    """Records that were larger than a quarter of the ring, or that the disk had no room for."""

    def __init__(self, folder: Path, worker: int, capacity: int) -> None:
        """`capacity` in bytes; the file is sparse, so that only what was written takes space."""
        folder.mkdir(parents=True, exist_ok=True)
        shape = self._shape = _Shape(capacity)
        path = path_of(folder, worker)
        self._map = _mapped(path, shape)
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._control = np.frombuffer(self._map, np.uint64, 3, CONTROL_AT)
        self._index = np.frombuffer(self._map, ENTRY, shape.entries, HEAD_BYTES)
        self._end, self._count = int(self._control[END]), int(self._control[ENTRIES])
        self.refused = 0

    @property
    def written(self) -> int:
        """Bytes ever written, what was left free at the end of a lap included."""
        return self._end

    @property
    def overwritten(self) -> int:
        """Bytes that have made way for newer ones."""
        return int(self._control[TAIL])

    def append(self, record: Packed, first: int, pages: int, at_ms: int) -> bool:
        """Whether the record, of `pages` decisions numbered from `first` on, was taken."""
        capacity = self._shape.capacity
        if record.size > capacity // 4:
            self.refused += 1
            return False
        begin = self._end
        if begin % capacity + record.size > capacity:  # it must lie in one piece
            begin += capacity - begin % capacity
        end = begin + record.size
        if end > capacity:
            self._control[TAIL] = end - capacity
        try:
            # Not through the map: there a full disk is a signal that ends the process, and each
            # page that the kernel has written out since costs a fault.
            os.pwritev(self._file, record.parts, self._shape.data_at + begin % capacity)
        except OSError:
            self.refused += 1
            return False
        self._index[self._count % len(self._index)] = (
            *(first, begin, at_ms, record.size, pages),
            *(record.rows, record.ad_at, record.code_at, 0),
        )
        self._end, self._count = end, self._count + 1
        self._control[END], self._control[ENTRIES] = self._end, self._count
        return True

    def write_out(self) -> None:
        """What was appended so far goes to the disk. From any thread.

        Left alone it goes there all the same, but half a minute's at once, hundreds of MB, and
        the kernel's threads that write them take a core from whoever answers.
        """
        if self._file >= 0:
            with suppress(OSError):  # nobody was promised that it is there after a crash
                os.fdatasync(self._file)

    def close(self) -> None:
        """After the last `append`; the file stays for its readers."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def oldest_ms(self) -> int | None:
        """When the oldest record that can still be read was made."""
        return _oldest(self._index, self._control)


def _mapped(path: Path, shape: _Shape) -> mmap.mmap:
    with path.open("a+b") as file:
        file.seek(0)
        if file.read(len(shape.head)) != shape.head:
            os.truncate(path, 0)
            os.truncate(path, shape.file_bytes)
            os.posix_fallocate(file.fileno(), 0, shape.data_at)  # what is written through the map
            with path.open("r+b") as begun:
                begun.write(shape.head)
        return mmap.mmap(file.fileno(), shape.file_bytes)


def _oldest(index: NDArray[np.void], control: NDArray[np.uint64]) -> int | None:
    entries = _valid(index, control)
    return int(entries["at_ms"][0]) if len(entries) else None


def _valid(index: NDArray[np.void], control: NDArray[np.uint64]) -> NDArray[np.void]:
    """A copy of the entries whose records lie above the tail, oldest first."""
    count = int(control[ENTRIES])
    slots = np.arange(max(0, count - len(index) + 1), count)
    entries = index[slots % len(index)]
    # Those that were replaced while they were copied are the oldest ones.
    lapped = max(0, int(control[ENTRIES]) - len(index) + 1 - int(slots[0])) if len(slots) else 0
    entries = entries[lapped:]
    valid: NDArray[np.void] = entries[entries["position"] >= control[TAIL]]
    return valid


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring as a reader sees it. `raw` is the living file: copy, then ask `still_there`."""

    worker: int
    raw: NDArray[np.uint8]
    """The data part."""
    _control: NDArray[np.uint64] = field(repr=False)
    _index: NDArray[np.void] = field(repr=False)

    @classmethod
    def open(cls, folder: Path, worker: int) -> Ring | None:
        """None where this worker has no ring, or one that is just being begun."""
        try:
            with path_of(folder, worker).open("rb") as file:
                shared = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, ValueError):
            return None
        shape = _Shape(int.from_bytes(shared[8:16], "little"))
        if shared[: len(shape.head)] != shape.head or len(shared) != shape.file_bytes:
            return None
        return cls(
            worker=worker,
            raw=np.frombuffer(shared, np.uint8, shape.capacity, shape.data_at),
            _control=np.frombuffer(shared, np.uint64, 3, CONTROL_AT),
            _index=np.frombuffer(shared, ENTRY, shape.entries, HEAD_BYTES),
        )

    def entries(self) -> NDArray[np.void]:
        """[records] of ENTRY, oldest first; each may be gone by the time it is read."""
        return _valid(self._index, self._control)

    def complete_since_ms(self) -> int:
        """From when on nothing is missing; 0 while nothing has been overwritten."""
        if not self._control[TAIL]:
            return 0
        return _oldest(self._index, self._control) or 0

    def still_there(self, position: NDArray[np.uint64] | int) -> NDArray[np.bool_]:
        """Whether what was copied before, of the record that begins there, is what was written."""
        return np.asarray(np.asarray(position, np.uint64) >= self._control[TAIL])

    def read(self, entry: np.void) -> bytes | None:
        """The record's bytes; None when it has been overwritten."""
        place = int(entry["position"]) % len(self.raw)
        data = self.raw[place : place + int(entry["size"])].tobytes()
        return data if self.still_there(int(entry["position"])) else None


def rings(folder: Path) -> list[Ring]:
    """Every worker's, by number."""
    numbers = sorted(
        int(path.stem[1:]) for path in folder.glob("w*.ring") if path.stem[1:].isdecimal()
    )
    return [ring for number in numbers if (ring := Ring.open(folder, number))]
