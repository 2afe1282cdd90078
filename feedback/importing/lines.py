"""Blocks of numbered lines from a stream of bytes; knows not what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feedback.importing.kernels import faults
from feedback.importing.kernels.lines import trim
from feedback.importing.sources import Source

LONGEST = 1 << 16
"""Bytes of a line above which it is not believed."""
SHOWN = 256
"""Bytes of an overlong line that are kept, to be shown."""
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that follow each other in one file."""

    data: NDArray[np.uint8]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    """Behind the last byte of the line, without its ending."""
    number: NDArray[np.int64]
    """From 1."""
    offset: NDArray[np.int64]
    """Of the first byte, in the unpacked file."""
    fault: NDArray[np.uint8]
    repaired: int = 0
    """Lines that were not UTF-8."""

    def __len__(self) -> int:
        return len(self.begin)

    def text(self, line: int, most: int = SHOWN) -> str:
        """The beginning of a line, with what is not UTF-8 replaced."""
        raw = self.data[self.begin[line] : min(self.end[line], self.begin[line] + most)]
        return raw.tobytes().decode("utf-8", "replace")

    def part(self, first: int, last: int) -> Block:
        """Lines `first` to `last`, the latter excluded."""
        cut = slice(first, last)
        return replace(
            self,
            begin=self.begin[cut],
            end=self.end[cut],
            number=self.number[cut],
            offset=self.offset[cut],
            fault=self.fault[cut],
        )


def blocks(source: Source, size: int) -> Iterator[Block]:
    """All lines of a source, trimmed and in valid UTF-8, about `size` bytes at a time."""
    cutter = _Cutter()
    for chunk in source.chunks(size):
        yield from cutter.feed(chunk)
    yield from cutter.finish(bool(source.torn))


class _Cutter:
    """What is left of the chunk before, and where in the file it stands."""

    def __init__(self) -> None:
        self.rest = b""
        self.number, self.offset = 1, 0
        self.skipped = -1
        """Offset of an overlong line whose end has not come yet."""

    def feed(self, chunk: bytes) -> Iterator[Block]:
        if self.skipped >= 0:
            newline = chunk.find(b"\n")
            if newline < 0:
                self.offset += len(chunk)
                return
            yield self._overlong(newline + 1)
            chunk = chunk[newline + 1 :]
        data = self.rest + chunk
        cut = data.rfind(b"\n") + 1
        self.rest = data[cut:]
        if cut:
            yield self._block(data[:cut])
        if len(self.rest) > LONGEST + 2:
            self.skipped = self.offset
            self.offset += len(self.rest)
            self.rest = self.rest[:SHOWN]

    def finish(self, torn: bool) -> Iterator[Block]:
        """The last line, which has no ending."""
        if self.skipped >= 0:
            yield self._overlong(0)
        elif self.rest:
            block = self._block(self.rest + b"\n")
            if torn:
                block.fault[:] = faults.TORN
            yield block

    def _overlong(self, more: int) -> Block:
        data = np.frombuffer(self.rest, np.uint8)
        block = Block(
            data,
            np.zeros(1, np.int64),
            np.array([len(data)], np.int64),
            np.array([self.number], np.int64),
            np.array([self.skipped], np.int64),
            np.full(1, faults.TOO_LONG, np.uint8),
        )
        self.number += 1
        self.offset += more
        self.rest, self.skipped = b"", -1
        return block

    def _block(self, raw: bytes) -> Block:
        data = np.frombuffer(raw, np.uint8)
        end = np.flatnonzero(data == 10).astype(np.int64)
        begin = np.concatenate((np.zeros(1, np.int64), end[:-1] + 1))
        offset = begin + self.offset
        number = np.arange(self.number, self.number + len(end), dtype=np.int64)
        if self.offset == 0 and raw.startswith(_MARK):
            begin[0] += len(_MARK)
        self.number += len(end)
        self.offset += len(raw)
        fault = np.zeros(len(end), np.uint8)
        wide = trim(data, begin, end, fault, LONGEST)
        block = Block(data, begin, end, number, offset, fault)
        return _repaired(block, np.flatnonzero(wide)) if wide.any() else block


def _repaired(block: Block, wide: NDArray[np.intp]) -> Block:
    """The same lines in valid UTF-8: what was not is replaced (U+FFFD)."""
    changed: dict[int, bytes] = {}
    for line in wide.tolist():
        raw = block.data[block.begin[line] : block.end[line]].tobytes()
        valid = raw.decode("utf-8", "replace").encode()
        if valid != raw:
            changed[line] = valid
    if not changed:
        return block
    begin, end = block.begin.copy(), block.end.copy()
    size = len(block.data)
    for line, valid in changed.items():
        begin[line], end[line] = size, size + len(valid)
        size += len(valid)
    added = np.frombuffer(b"".join(changed.values()), np.uint8)
    data = np.concatenate((block.data, added))
    return replace(block, data=data, begin=begin, end=end, repaired=len(changed))
