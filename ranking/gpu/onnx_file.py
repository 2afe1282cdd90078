"""The constants of an ONNX graph, read without ONNX: what a machine with a GPU needs of one.

Only the fields of the format that hold constants are looked at; the network's shape is known to
who asks (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW = 1, 2, 8, 9
NUMBERS: Final = {4: "<f4", 5: "varint", 7: "varint"}
"""Fields that hold values one by one where there are no raw bytes: floats, i32 and i64."""
DTYPES: Final = {1: "f4", 2: "u1", 3: "i1", 6: "i4", 7: "i8", 10: "f2", 11: "f8"}
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


def constants(graph: bytes) -> dict[str, NDArray[Any]]:
    """By name; ValueError where the bytes are no ONNX model."""
    found = {}
    for field, _, model in _fields(graph):
        if field == GRAPH:
            for inner, _, tensor in _fields(model):
                if inner == INITIALIZER:
                    name, value = _tensor(tensor)
                    found[name] = value
    return found


def _tensor(message: bytes) -> tuple[str, NDArray[Any]]:
    shape: list[int] = []
    name, kind, raw = "", 0, b""
    values: list[float] = []
    for field, wire, value in _fields(message):
        if field == DIMS:
            shape += _varints(value) if wire == BYTES else [value]
        elif field == DATA_TYPE:
            kind = value
        elif field == NAME:
            name = value.decode()
        elif field == RAW:
            raw = value
        elif field in NUMBERS:
            values += _numbers(field, wire, value)
    if kind not in DTYPES:
        raise ValueError(f"constant {name!r} is of ONNX type {kind}, which is not read here")
    dtype = np.dtype(DTYPES[kind])
    flat = np.frombuffer(raw, dtype.newbyteorder("<")) if raw else np.array(values)
    return name, flat.astype(dtype).reshape(shape)


def _numbers(field: int, wire: int, value: Any) -> list[float]:
    if NUMBERS[field] == "varint":
        return _signed(_varints(value) if wire == BYTES else [value])
    packed: list[float] = np.frombuffer(value, "<f4").tolist()
    return packed


def _signed(values: list[int]) -> list[float]:
    return [value - (1 << 64) if value >> 63 else value for value in values]


def _varints(message: bytes) -> list[int]:
    at, found = 0, []
    while at < len(message):
        value, at = _varint(message, at)
        found.append(value)
    return found


def _fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: an int, or the bytes of what is longer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, wire, value
            continue
        if wire not in (EIGHT, BYTES, FOUR):
            raise ValueError(f"byte {at} is no field of an ONNX model")
        size = {EIGHT: 8, FOUR: 4}.get(wire)
        if size is None:
            size, at = _varint(message, at)
        if at + size > len(message):
            raise ValueError("the ONNX model ends in the middle of a field")
        yield tag >> 3, wire, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError("the ONNX model ends in the middle of a number")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
