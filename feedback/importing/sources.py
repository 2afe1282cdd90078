"""Files as streams of bytes, plain or gzip, whatever state they are in.

Knows neither lines nor formats. Memory is one chunk, however large the file or what it unpacks to.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from adserver.errors import ConfigError

CHUNK = 4 << 20
"""Bytes that are looked at together."""
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"BZh": "bzip2: unpack it first",
    b"\xfd7zXZ": "xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "zstandard: unpack it first",
    b"PAR1": "Parquet, not a log: it needs no import",
    b"\xff\xfe": "UTF-16: only UTF-8 is read",
    b"\xfe\xff": "UTF-16: only UTF-8 is read",
}


@dataclass(slots=True)
class Source:
    """One file; the figures are of what has been read of it so far."""

    path: Path
    packed: bool = False
    size: int = 0
    """Bytes on disk that were read."""
    torn: str = ""
    """Why it could not be read to its end."""
    complete: bool = False
    digest: Any = field(default_factory=hashlib.sha256)

    def about(self) -> dict[str, object]:
        """For the manifest; the checksum is of the bytes read, the whole file if complete."""
        return {
            "file": str(self.path),
            "gzip": self.packed,
            "bytes": self.size,
            "sha256": self.digest.hexdigest(),
            "complete": self.complete,
            "torn": self.torn or None,
        }

    def chunks(self, size: int) -> Iterator[bytes]:
        """Its content, unpacked; ends at the first thing that cannot be read, noted in `torn`."""
        try:
            with self.path.open("rb") as file:
                head = file.read(8)
                file.seek(0)
                self.packed = head.startswith(_GZIP)
                raw = self._raw(file, size)
                yield from self._unpacked(raw, size) if self.packed else raw
        except OSError as error:
            self.torn = error.strerror or str(error)
        self.complete = not self.torn

    def _raw(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        while chunk := file.read(size):
            self.digest.update(chunk)
            self.size += len(chunk)
            yield chunk

    def _unpacked(self, raw: Iterator[bytes], size: int) -> Iterator[bytes]:
        """Of one gzip member after the other; each piece is at most `size`."""
        engine = zlib.decompressobj(31)
        try:
            for chunk in raw:
                engine = yield from _inflated(engine, chunk, size)
            while piece := engine.decompress(b"", size):  # what the last piece had no room for
                yield piece
        except zlib.error as error:
            self.torn = f"damaged gzip: {error}"
        else:
            self.torn = "" if engine.eof else "gzip ends too early"


def _inflated(engine: Any, rest: bytes, size: int) -> Generator[bytes, None, Any]:
    """Pieces of what `rest` unpacks to; returns the engine for what follows."""
    while rest:
        if engine.eof:
            if not rest.strip(b"\0"):  # padding, as of a tape
                break
            engine = zlib.decompressobj(31)
        piece = engine.decompress(rest, size)
        rest = engine.unused_data if engine.eof else engine.unconsumed_tail
        if piece:
            yield piece
    return engine


def checked(path: Path) -> Source:
    """A file that can be opened and is not of a kind known to be no log; or ConfigError."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise ConfigError([f"{path}: is {what}"])
    return Source(path)
