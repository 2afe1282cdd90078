"""The bytes of a request body, unpacked and bounded, whatever headers came with them.

Knows no JSON: Prebid.js posts JSON as text/plain and gzip without saying so, so the content type
is never looked at and gzip is known by its first bytes.
"""

from __future__ import annotations

import zlib

from adserver.errors import BadRequest

LIMIT = 256 * 1024
"""Bytes that a body may have, as sent and as unpacked."""
GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's notation: the largest window, gzip header and trailer
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})


def read(raw: bytes, encoding: str = "") -> bytes:
    """The plain body, never above LIMIT; at most LIMIT + 1 bytes are ever unpacked.

    A body that is announced as gzip but is not was unpacked on the way here, so it passes.
    """
    if len(raw) > LIMIT:
        raise BadRequest.too_large(LIMIT)
    if encoding.strip().lower() not in _ENCODINGS:
        raise BadRequest("bad_encoding", "Content-Encoding", "must be gzip or absent")
    plain = _gunzip(raw) if raw.startswith(GZIP) else raw
    if not plain:
        raise BadRequest("empty", "body", "is empty")
    return plain


def _gunzip(raw: bytes) -> bytes:
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = stream.decompress(raw, LIMIT + 1)
    except zlib.error as error:
        raise BadRequest("bad_gzip", "body", f"is not valid gzip: {error}") from None
    if len(plain) > LIMIT:
        raise BadRequest.too_large(LIMIT)
    if not stream.eof:
        raise BadRequest("bad_gzip", "body", "is gzip cut short")
    if stream.unused_data:
        raise BadRequest("bad_gzip", "body", "has bytes after the end of its gzip stream")
    return plain
