"""What stands beside a log and belongs to its rows: Open Bandit's items, iPinYou's clicks.

Side files are read whole, and so are bounded; all else goes on in flat memory.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adserver.errors import ConfigError
from feedback.importing import columns
from feedback.importing.detect import Layout, first_lines
from feedback.importing.formats import AFFINITIES, IPINYOU_LOG, LABEL, OBD, Kind, Role
from feedback.importing.lines import blocks
from feedback.importing.sources import Source

ITEMS = "item_context.csv"
MOST_ITEMS = 1_000_000
MOST_CLICKS = 5_000_000


class Join(Protocol):
    """Completes the rows of a log."""

    @property
    def schema(self) -> Any: ...

    def rows(self, path: Path, rows: Any) -> Any:
        """A record batch of `schema` from one of the log at `path`."""

    def about(self) -> list[dict[str, object]]:
        """The side files, for the manifest."""


@dataclass(frozen=True, slots=True)
class Alone:
    """A log that needs nothing else."""

    schema: Any

    def rows(self, path: Path, rows: Any) -> Any:
        return rows

    def about(self) -> list[dict[str, object]]:
        return []


def join_of(sources: Sequence[Source], layouts: Sequence[Layout]) -> tuple[Join, list[int]]:
    """What completes these logs, and which of the sources are logs rather than side files."""
    every = list(range(len(sources)))
    format = layouts[0].format
    if format is OBD:
        return Items([source.path for source in sources]), every
    if format is IPINYOU_LOG:
        return _clicks(sources, layouts)
    return Alone(columns.schema(format)), every


def is_side_file(path: Path) -> bool:
    """Whether it is looked for beside a log, and no log itself."""
    return path.name == ITEMS


_ITEM_FEATURES = [f"item_feature_{n}" for n in range(4)]
_NUMBER = {"role": Role.COUNT, "kind": Kind.REAL}
_ITEM_FIELDS = [
    pa.field("affinity", pa.float64(), metadata=_NUMBER),
    pa.field("item_feature_0", pa.float64(), metadata=_NUMBER),
    *(
        pa.field(name, pa.string(), metadata={"role": Role.CATEGORY, "kind": Kind.TEXT})
        for name in _ITEM_FEATURES[1:]
    ),
]


class Items:
    """Open Bandit: the shown item's own features, and the visitor's affinity to it.

    The log has the affinities to all items; of a row only the one to what was shown matters.
    """

    def __init__(self, logs: Sequence[Path]) -> None:
        folders = {path.parent for path in logs}
        self._items = {
            folder: _read_items(folder / ITEMS) for folder in folders if (folder / ITEMS).is_file()
        }
        schema = columns.schema(OBD)
        for one in _ITEM_FIELDS:
            schema = schema.append(one)
        self.schema = schema

    def rows(self, path: Path, rows: Any) -> Any:
        item = np.asarray(rows.column("item_id"))
        items = self._items.get(path.parent, {})
        found = [items.get(int(one), (None,) * 4) for one in item]
        added = [_affinity(rows, item)]
        added += [
            pa.array([one[n] for one in found], kind.type)
            for n, kind in enumerate(_ITEM_FIELDS[1:])
        ]
        return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=self.schema)

    def about(self) -> list[dict[str, object]]:
        return [
            {"file": str(folder / ITEMS), "items": len(items)}
            for folder, items in self._items.items()
        ]


def _affinity(rows: Any, item: np.ndarray[Any, Any]) -> Any:
    """Column number `item` of each row."""
    value, known = np.zeros(len(item)), np.zeros(len(item), bool)
    for number in np.unique(item):
        if number < AFFINITIES:
            column = rows.column(f"user-item_affinity_{number}")
            here = item == number
            value[here] = column.to_numpy(zero_copy_only=False)[here]
            known[here] = column.is_valid().to_numpy(zero_copy_only=False)[here]
    return pa.array(value, mask=~known)


def _read_items(path: Path) -> dict[int, tuple[object, ...]]:
    """Features by item; ConfigError if the file is something else."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            found = {}
            for row in csv.DictReader(file):
                values = [row[name] or None for name in _ITEM_FEATURES]
                number = None if values[0] is None else float(values[0])
                found[int(row["item_id"])] = (number, *values[1:])
                if len(found) > MOST_ITEMS:
                    raise ValueError(f"more than {MOST_ITEMS:,} items")
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ConfigError([f"{path}: is no {ITEMS} of Open Bandit: {error}"]) from None
    return found


@dataclass(slots=True)
class Clicked:
    """iPinYou's own logs: an impression was clicked if a log of clicks has its bid."""

    schema: Any
    bids: Any
    """Arrow array of bid ids."""
    read: list[dict[str, object]] = field(default_factory=list)

    def rows(self, path: Path, rows: Any) -> Any:
        click = pc.is_in(rows.column("bidid"), value_set=self.bids).cast(pa.uint8())
        return pa.RecordBatch.from_arrays([click, *rows.columns], schema=self.schema)

    def about(self) -> list[dict[str, object]]:
        return self.read


def _clicks(sources: Sequence[Source], layouts: Sequence[Layout]) -> tuple[Clicked, list[int]]:
    kinds = [_log_type(source) for source in sources]
    logs = [n for n, kind in enumerate(kinds) if kind == "1"]
    bids: list[Any] = []
    read = []
    for source, how, kind in zip(sources, layouts, kinds, strict=True):
        if kind == "2":
            found, lines = _bids(source, how)
            bids.append(found)
            read.append({"file": str(source.path), "lines": lines, "clicks": len(found)})
    if not bids or not logs:
        lacking = "impressions" if bids else "clicks, from clk files"
        raise ConfigError([f"{sources[0].path}: iPinYou's own logs need their {lacking} as well"])
    if sum(map(len, bids)) > MOST_CLICKS:
        raise ConfigError([f"{read[0]['file']}: more than {MOST_CLICKS:,} clicks"])
    label = pa.field(LABEL, pa.uint8(), metadata={"role": Role.LABEL, "kind": Kind.WHOLE})
    schema = columns.schema(IPINYOU_LOG).insert(0, label)
    return Clicked(schema, pa.concat_arrays(bids), read), logs


def _log_type(source: Source) -> str:
    """What the log says it is of: impressions, clicks or conversions."""
    kinds = [line.split("\t")[2:3] for line in first_lines(Source(source.path))]
    said = [kind[0] for kind in kinds if kind and kind[0] in {"1", "2", "3"}]
    return max(said, key=said.count, default="")


def _bids(source: Source, how: Layout) -> tuple[Any, int]:
    found, lines = [pa.array([], pa.string())], 0
    for block in blocks(Source(source.path), 1 << 20):
        lines += len(block)
        found.append(columns.parse(block, how).rows.column("bidid"))
    return pa.concat_arrays(found), lines
