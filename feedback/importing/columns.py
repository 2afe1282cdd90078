"""A block of lines as columns of Arrow, without the lines that cannot be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feedback.importing.detect import Layout
from feedback.importing.formats import LABEL, Column, Format, Kind, Role
from feedback.importing.kernels import faults
from feedback.importing.kernels.lines import gather, split, texts
from feedback.importing.kernels.moments import moments
from feedback.importing.kernels.numbers import real_numbers, whole_numbers
from feedback.importing.lines import Block

ARROW = {
    Kind.WHOLE: pa.int64(),
    Kind.REAL: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.HEX: pa.string(),
    Kind.MOMENT: pa.int64(),
}


def schema(format: Format) -> Any:
    """Of the tables that logs of this format become; each field knows its role."""
    return pa.schema([_field(column) for column in format.columns])


def _field(column: Column) -> Any:
    kind = pa.uint8() if column.role == Role.LABEL else ARROW[column.kind]
    return pa.field(column.stored, kind, metadata={"role": column.role, "kind": column.kind})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A block's sound lines, and what is wrong with the others."""

    rows: Any
    """Arrow RecordBatch."""
    blamed: NDArray[np.int16]
    """[lines] number of the field that has the line's fault; −1: the line as a whole."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """One column before it is known which lines are sound."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    known: NDArray[np.uint8]
    value: NDArray[Any] | None


def parse(block: Block, layout: Layout) -> Parsed:
    """Marks faults in `block.fault`; every line is in the rows or has a fault."""
    width = len(layout.columns)
    start = np.empty((width, len(block)), np.int64)
    stop = np.empty((width, len(block)), np.int64)
    fewest, most = layout.fields
    rule = (ord(layout.delimiter), layout.delimiter == " ", layout.format.quoted, fewest, most)
    split(block.data, block.begin, block.end, block.fault, rule, start, stop)
    if layout.format.open_end:
        _open_end(block, start, stop)
    blamed = np.full(len(block), faults.LINE_NUMBER, np.int16)
    cells: dict[str, _Cells] = {}
    for number, column in enumerate(layout.columns):
        if column is not None:
            cells[column.stored] = _read(block, column, start[number], stop[number])
            blamed[(block.fault >= faults.MISSING) & (blamed < 0)] = number
    blamed[block.fault == faults.TORN] = faults.LINE_NUMBER
    sound = np.flatnonzero(block.fault == faults.SOUND)
    wanted = schema(layout.format)
    arrays = [
        _array(block, cells.get(field.name), sound, field.type, field.name == LABEL)
        for field in wanted
    ]
    return Parsed(pa.RecordBatch.from_arrays(arrays, schema=wanted), blamed)


def _open_end(block: Block, start: NDArray[np.int64], stop: NDArray[np.int64]) -> None:
    """The last column goes on to the end of the line."""
    there = stop[-1] > start[-1]
    stop[-1][there] = block.end[there]


def _read(
    block: Block, column: Column, start: NDArray[np.int64], stop: NDArray[np.int64]
) -> _Cells:
    known = np.empty(len(block), np.uint8)
    data, fault = block.data, block.fault
    if column.kind in (Kind.TEXT, Kind.HEX):
        bounds = (column.longest, column.kind == Kind.HEX, column.needed)
        texts(data, start, stop, fault, bounds, known)
        return _Cells(start, stop, known, None)
    if column.kind == Kind.REAL:
        real = np.empty(len(block), np.float64)
        limits = (float(column.low), float(column.high), column.needed)
        real_numbers(data, start, stop, fault, limits, real, known)
        return _Cells(start, stop, known, real)
    value = np.empty(len(block), np.int64)
    if column.kind == Kind.MOMENT:
        moments(data, start, stop, fault, column.needed, value, known)
    else:
        whole = (int(column.low), int(column.high), column.needed)
        whole_numbers(data, start, stop, fault, whole, value, known)
    return _Cells(start, stop, known, value)


def _array(
    block: Block, cells: _Cells | None, sound: NDArray[np.intp], kind: Any, label: bool
) -> Any:
    if cells is None:
        return pa.nulls(len(sound), kind)
    known = cells.known[sound].astype(bool)
    if cells.value is None:
        return _texts(block, cells, sound, known)
    value = cells.value[sound]
    if label:
        value = (value > 0).astype(np.uint8)
    return pa.array(value, kind, mask=None if known.all() else ~known)


def _texts(block: Block, cells: _Cells, sound: NDArray[np.intp], known: NDArray[np.bool_]) -> Any:
    offset = np.zeros(len(sound) + 1, np.int32)
    np.cumsum(cells.stop[sound] - cells.start[sound], out=offset[1:])
    out = np.empty(offset[-1], np.uint8)
    gather(block.data, cells.start, cells.stop, sound.astype(np.int64), offset, out)
    packed = np.packbits(known, bitorder="little")
    valid = None if known.all() else pa.py_buffer(packed)
    return pa.StringArray.from_buffers(len(sound), pa.py_buffer(offset), pa.py_buffer(out), valid)
