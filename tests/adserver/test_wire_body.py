import gzip
import tracemalloc

import pytest

from adserver.errors import BadRequest
from adserver.wire.body import LIMIT, read

JSON = b'{"id":"r-1"}'
PACKED = gzip.compress(JSON, mtime=0)


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (JSON, ""),
        (JSON, "identity"),
        (PACKED, "gzip"),
        (PACKED, " GZIP "),
        (PACKED, "x-gzip"),
        (PACKED, ""),  # Prebid.js says nothing of the gzip it sends
        (JSON, "gzip"),  # unpacked on its way by a proxy that left the header
    ],
)
def test_a_body_is_unpacked_by_its_first_bytes_whatever_its_headers_say(raw, encoding):
    assert read(raw, encoding) == JSON


@pytest.mark.parametrize(
    ("raw", "encoding", "code", "field", "status"),
    [
        (b"", "", "empty", "body", 400),
        (gzip.compress(b"", mtime=0), "gzip", "empty", "body", 400),
        (JSON, "br", "bad_encoding", "Content-Encoding", 400),
        (PACKED[:-3], "gzip", "bad_gzip", "body", 400),
        (PACKED[:5], "gzip", "bad_gzip", "body", 400),
        (PACKED + b"more", "gzip", "bad_gzip", "body", 400),
        (PACKED[:12] + b"\xff" + PACKED[13:], "gzip", "bad_gzip", "body", 400),
        (b" " * (LIMIT + 1), "", "too_large", "body", 413),
        (gzip.compress(b" " * (LIMIT + 1), mtime=0), "", "too_large", "body", 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_by_name(raw, encoding, code, field, status):
    with pytest.raises(BadRequest) as refusal:
        read(raw, encoding)

    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert refusal.value.status == status
    assert refusal.value.message


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_body_of_exactly_the_limit_is_read(pack):
    assert len(read(pack(b" " * LIMIT))) == LIMIT


def test_a_gzip_bomb_costs_no_more_memory_than_the_limit():
    bomb = gzip.compress(b"\0" * 100_000_000, 9)
    tracemalloc.start()

    with pytest.raises(BadRequest):
        read(bomb, "gzip")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * LIMIT


def test_a_refusal_tells_its_code_field_and_message():
    with pytest.raises(BadRequest) as refusal:
        read(b"")

    assert refusal.value.body() == {
        "error": {"code": "empty", "field": "body", "message": "is empty"}
    }
