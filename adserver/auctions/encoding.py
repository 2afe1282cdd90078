"""An auction record as bytes: a short head, the packed requests, then the columns as they lie.

The columns are copied once and never looked at row by row, so that a batch costs microseconds.

    head      magic, bytes of the schema, bytes of the requests, number of columns (u32 each)
    lengths   u32 per column: its first dimension
    schema    msgpack: model, and per column its name, dtype and other dimensions
    requests  msgpack array
    columns   widest items first, so that all are aligned; the whole record is a multiple of 8
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from adserver.auctions import asked
from adserver.auctions.record import TABLES, AuctionRecord, Column, assembled
from adserver.errors import AdServerError

MAGIC = 0x31435541  # "AUC1"
HEAD = struct.Struct("<IIII")
FIRST = "notes.ad_id"
CODE = "slate.rejected"
_NOTHING = bytes(8)
_NARROW = {"bids.pctr_ppm": np.dtype(np.uint32)}
"""Columns that take less room than in the auction, and lose nothing."""
_WIDE = {"bids.pctr_ppm": np.dtype(np.int64)}
_getters = {
    table: attrgetter(*(field.name for field in fields(kind))) for table, kind in TABLES.items()
}
_absent = {table: [None] * len(fields(kind)) for table, kind in TABLES.items()}
_pack = msgspec.msgpack.Encoder().encode


class Damaged(AdServerError):
    """These bytes are no auction record of a version that we can read."""

    status = 404
    code = "auction_record"


class ColumnShape(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    rest: tuple[int, ...] = ()
    """Dimensions after the first."""

    @property
    def item_bytes(self) -> int:
        """Of one entry along the first dimension."""
        return np.dtype(self.dtype).itemsize * prod(self.rest)


class Schema(msgspec.Struct, frozen=True, array_like=True):
    model: str
    columns: tuple[ColumnShape, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A record's bytes in parts, and where in them a reader finds the ads without decoding."""

    parts: list[Any]
    """Buffers that make up the record when written one after the other."""
    size: int
    rows: int
    ad_at: int
    """Byte where the [rows] int64 catalogue ids begin."""
    code_at: int
    """Byte where the [rows] uint8 final codes begin."""


class _Plan(NamedTuple):
    """How a batch of this form is written; forms are few."""

    order: tuple[int, ...]
    narrow: tuple[tuple[int, np.dtype[Any]], ...]
    """Positions in that order of what is written narrower, and how."""
    schema: bytes
    code: int
    """Position of the final codes in that order."""


def encode(record: AuctionRecord, requests: bytes) -> Packed:
    """The record as buffers to be joined; `requests` is `asked.pack` of its pages."""
    values: list[Column | None] = []
    for table, getter in _getters.items():
        columns = getattr(record, table)
        values += getter(columns) if columns is not None else _absent[table]
    form = tuple([None if v is None else (v.dtype.char, v.shape[1:]) for v in values])
    order, narrow, schema, code = _plan(record.model, form)
    arrays = [np.ascontiguousarray(values[place]) for place in order]
    for place, dtype in narrow:
        arrays[place] = arrays[place].astype(dtype)
    lengths = struct.pack(f"<{len(order)}I", *[len(array) for array in arrays])
    head = HEAD.pack(MAGIC, len(schema), len(requests), len(order))
    ad_at = len(head) + len(lengths) + len(schema) + len(requests)
    gap = -ad_at % 8
    sizes = [array.nbytes for array in arrays]
    size = ad_at + gap + sum(sizes)
    before = b"".join((head, lengths, schema, requests, _NOTHING[:gap]))
    return Packed(
        parts=[memoryview(before), *arrays, memoryview(_NOTHING[: -size % 8])],
        size=size + -size % 8,
        rows=len(arrays[0]),
        ad_at=ad_at + gap,
        code_at=ad_at + gap + sum(sizes[:code]),
    )


@lru_cache(maxsize=256)
def _plan(model: str, form: tuple[tuple[str, tuple[int, ...]] | None, ...]) -> _Plan:
    names = [f"{table}.{field.name}" for table, kind in TABLES.items() for field in fields(kind)]
    shapes = [
        (place, ColumnShape(name, _NARROW.get(name, np.dtype(one[0])).str, one[1]))
        for place, (name, one) in enumerate(zip(names, form, strict=True))
        if one is not None
    ]
    shapes.sort(key=lambda s: (s[1].name != FIRST, -np.dtype(s[1].dtype).itemsize))
    ordered = tuple(shape for _, shape in shapes)
    return _Plan(
        order=tuple(place for place, _ in shapes),
        narrow=tuple(
            (place, _NARROW[shape.name])
            for place, shape in enumerate(ordered)
            if shape.name in _NARROW
        ),
        schema=_pack(Schema(model, ordered)),
        code=[shape.name for shape in ordered].index(CODE),
    )


@lru_cache(maxsize=256)
def _schema(packed: bytes) -> Schema:
    return msgspec.msgpack.decode(packed, type=Schema)


def decode(data: bytes) -> AuctionRecord:
    """The record whose bytes these are, its columns views of them."""
    try:
        magic, schema_bytes, request_bytes, count = HEAD.unpack_from(data)
        if magic != MAGIC:
            raise Damaged("this is no auction record")
        lengths = struct.unpack_from(f"<{count}I", data, HEAD.size)
        at = HEAD.size + 4 * count
        schema = _schema(data[at : at + schema_bytes])
        at += schema_bytes
        requests = asked.split(data[at : at + request_bytes])
        at += request_bytes
        columns = _columns(data, at + -at % 8, schema.columns, lengths)
        return assembled(requests, columns, schema.model)
    except (struct.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Damaged(f"not an auction record of this version: {error}") from error


def _columns(
    data: bytes, at: int, shapes: Sequence[ColumnShape], lengths: Sequence[int]
) -> dict[str, Column]:
    columns = {}
    for shape, length in zip(shapes, lengths, strict=True):
        dtype = np.dtype(shape.dtype)
        count = length * prod(shape.rest)
        column = np.frombuffer(data, dtype, count, at) if count else np.empty(0, dtype)
        column = column.astype(_WIDE.get(shape.name, dtype), copy=False)
        columns[shape.name] = column.reshape(length, *shape.rest)
        at += count * dtype.itemsize
    return columns
