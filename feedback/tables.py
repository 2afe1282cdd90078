"""Log lines as columns: one row per slot of a decision, one row per event.

The columns are the fields of `adserver.records`, so a field added there arrives here by itself. A
field that a line leaves out has its default. Nothing here knows files.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, get_args

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from adserver.records import DAY_MS, DecisionRecord, EventRecord, SlotRecord

_ARROW = {int: pa.int64(), str: pa.string(), float: pa.float64(), bool: pa.bool_()}
Fields = dict[str, tuple[Any, Any]]
"""Column name -> Arrow type and the value that a line without the field means."""


def _fields(record: type[msgspec.Struct]) -> Fields:
    columns = {}
    for field in msgspec.structs.fields(record):
        kind = (
            str if isinstance(field.type, type) and issubclass(field.type, StrEnum) else field.type
        )
        if kind in _ARROW:
            default = kind() if field.default is msgspec.NODEFAULT else field.default
            columns[field.encode_name] = (_ARROW[kind], default)
    return columns


_SLOT = _fields(SlotRecord)
_DECISION = _fields(DecisionRecord)
_EVENT = {"kind": (pa.string(), ""), **_fields(get_args(EventRecord)[0])}
_RENAMED = {"id": "decision"}
DECISIONS = pa.schema(
    [(_RENAMED.get(name, name), kind) for name, (kind, _) in _DECISION.items()]
    + [("position", pa.int64())]
    + [(name, kind) for name, (kind, _) in _SLOT.items()]
)
EVENTS = pa.schema([(name, kind) for name, (kind, _) in _EVENT.items()])


def decision_rows(lines: Sequence[bytes]) -> pa.Table:
    """One row per slot outcome, of the JSON of decisions; `position` counts within a decision."""
    if not lines:
        return DECISIONS.empty_table()
    slot = pa.struct([(name, kind) for name, (kind, _) in _SLOT.items()])
    table = _parse(lines, [*_schema(_DECISION), pa.field("slots", pa.list_(slot))])
    slots = table.column("slots").combine_chunks()
    parent = pc.list_parent_indices(slots)
    begin = np.asarray(slots.offsets)[:-1]
    position = np.arange(len(parent)) + begin[0] - begin[np.asarray(parent)]
    whole = _columns(table.select(list(_DECISION)), _DECISION)
    columns = [column.take(parent) for column in whole]
    columns.append(pa.array(position, pa.int64()))
    columns += _columns(pa.Table.from_struct_array(slots.flatten()), _SLOT)
    return pa.table(columns, schema=DECISIONS)


def event_rows(lines: Sequence[bytes]) -> pa.Table:
    """One row per impression, viewable and click."""
    if not lines:
        return EVENTS.empty_table()
    return pa.table(_columns(_parse(lines, _schema(_EVENT)), _EVENT), schema=EVENTS)


def day_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """[rows] UTC day each row is reported under: its decision's, or its own if it has none."""
    moment = np.asarray(table.column("t"))
    if "decided" in table.column_names:
        decided = np.asarray(table.column("decided"))
        moment = np.where(decided > 0, decided, moment)
    days: np.ndarray[Any, np.dtype[np.int64]] = moment // DAY_MS
    return days


def _schema(fields: Fields) -> list[Any]:
    return [pa.field(name, kind) for name, (kind, _) in fields.items()]


def _parse(lines: Sequence[bytes], schema: Sequence[Any]) -> pa.Table:
    data = b"\n".join(lines)
    return pj.read_json(
        pa.BufferReader(data),
        # one block: a record must not straddle two, and the other core has ads to serve
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=pa.schema(schema), unexpected_field_behavior="ignore"
        ),
    )


def _columns(table: pa.Table, fields: Fields) -> list[Any]:
    return [
        table.column(name).combine_chunks().fill_null(pa.scalar(default, kind))
        for name, (kind, default) in fields.items()
    ]
