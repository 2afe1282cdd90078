"""One batch of auctions as it was held: all that explains a sale, and all that repeats it.

Columns only, as the auction took and gave them, with ids that outlive the snapshot beside its rows.
Knows neither files nor bytes (`encoding`), nor what the columns mean to the mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.asked import pack, request_of, split
from adserver.request import AdRequest
from auction.columns import Bids, Slate, Slots

Column = NDArray[Any]


class Axis(Enum):
    """What a column counts along: its first dimension."""

    PAGE = "B"
    ROW = "R"
    SLOT = "T"
    ACCOUNT = "M"
    ROW_EDGE = "B + 1 of rows"
    SLOT_EDGE = "B + 1 of slots"
    ACCOUNT_EDGE = "B + 1 of accounts"


EDGE_OF = {
    Axis.ROW_EDGE: Axis.ROW,
    Axis.SLOT_EDGE: Axis.SLOT,
    Axis.ACCOUNT_EDGE: Axis.ACCOUNT,
}


@dataclass(frozen=True, slots=True)
class Notes:
    """What stands in a record beside the auction's own columns."""

    number: NDArray[np.uint64]
    """[B] decision number (trace.Numbers)."""
    at_ms: NDArray[np.int64]
    """[B] wall clock of the decision."""
    snapshot: NDArray[np.int64]
    """[B] version of the catalogue snapshot that the rows are of."""
    quality: NDArray[np.uint8]
    """[B] decision.Decision.quality."""
    ad_id: NDArray[np.int64]
    """[R] catalogue id of the ad."""
    sold: NDArray[np.bool_]
    """[T] False where a sale was taken back: its money, or its place under a cap, was gone."""
    outcome: NDArray[np.uint8] | None = None
    """[T] Rejection as answered, WON where sold; None: the slate's reasons."""


@dataclass(frozen=True, slots=True)
class Scarce:
    """The budgets of a page that could run out within it, as they stood before its auction.

    With these and no limit on all others, the auction of one page repeats by itself.
    """

    offset: NDArray[np.int32]
    """[B + 1] where each page's budgets begin."""
    account: NDArray[np.int32]
    """[M] auction.columns.account_of."""
    micros: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Context:
    """What the click model was given of a page, so that another one can be asked in its stead."""

    features: NDArray[np.int32]
    """[B, width(REQUEST_FIELDS)] encoded requests."""
    slot_ids: NDArray[np.int32]
    """[T, 3] encoded slots."""
    counts: NDArray[np.float32]
    """[R, S * COUNTS] of each row in each slot of its request, as of the auction."""


@dataclass(frozen=True, slots=True)
class AuctionRecord:
    """B pages, R candidate rows, T slots, as columns; rows and slots end to end."""

    asked: Sequence[bytes | memoryview]
    """[B] each page's request, packed (`asked.pack`)."""
    notes: Notes
    bids: Bids
    slots: Slots
    slate: Slate
    scarce: Scarce | None = None
    """Only in the durable sample,"""
    context: Context | None = None
    """as is this."""
    model: str = ""

    def __len__(self) -> int:
        return len(self.notes.number)

    def request(self, page: int = 0) -> AdRequest:
        """What was asked for; in the sample with the user's pseudonym."""
        return request_of(self.asked[page])

    def page(self, page: int) -> AuctionRecord:
        """One page of the batch as a batch of its own."""
        return assembled(
            self.asked[page : page + 1],
            {name: _cut(self, name, column, page) for name, column in columns(self)},
            self.model,
        )

    def sampled(
        self, page: int, request: AdRequest, scarce: Scarce, context: Context | None = None
    ) -> AuctionRecord:
        """One page as the sample keeps it: with that request and what only pages kept long have."""
        part = replace(self, asked=[b""] * len(self)).page(page)
        asked = split(pack([request]))
        return replace(part, asked=asked, scarce=scarce, context=context)

    def pages(self) -> Iterator[AuctionRecord]:
        return (self.page(number) for number in range(len(self)))


TABLES: dict[str, type] = {
    "notes": Notes,
    "bids": Bids,
    "slots": Slots,
    "slate": Slate,
    "scarce": Scarce,
    "context": Context,
}
_ALWAYS = {"scarce": "scarce.offset", "context": "context.features"}
"""A column by which it is known whether a record has one of the tables that not all have."""
ROW_NUMBERS = {"slate.winner", "slate.runner_up", "slate.plain_winner", "slate.greedy"}
"""Columns whose values are rows of the batch, -1 for none."""
_USUAL = {
    "notes": Axis.PAGE,
    "bids": Axis.ROW,
    "slots": Axis.SLOT,
    "slate": Axis.SLOT,
    "scarce": Axis.ACCOUNT,
    "context": Axis.ROW,
}
_UNUSUAL = {
    "notes.ad_id": Axis.ROW,
    "notes.sold": Axis.SLOT,
    "notes.outcome": Axis.SLOT,
    "bids.offset": Axis.ROW_EDGE,
    "slots.offset": Axis.SLOT_EDGE,
    "slots.first_price": Axis.PAGE,
    "slots.seed": Axis.PAGE,
    "slots.explore": Axis.PAGE,
    "slots.explore_ppm": Axis.PAGE,
    "slate.rejected": Axis.ROW,
    "slate.dual": Axis.ROW,
    "slate.room": Axis.ROW,
    "scarce.offset": Axis.ACCOUNT_EDGE,
    "context.features": Axis.PAGE,
    "context.slot_ids": Axis.SLOT,
}
_EDGES = {
    Axis.ROW: "bids.offset",
    Axis.SLOT: "slots.offset",
    Axis.ACCOUNT: "scarce.offset",
}
_FILLER = {"bids.pctr_ppm": 1, "bids.weight_ppm": 1, "slate.room": 127}
"""What stands in the slots that a page does not have."""


def axis_of(name: str) -> Axis:
    """Of a column, by its table and field ("bids.ad")."""
    return _UNUSUAL.get(name) or _USUAL[name.partition(".")[0]]


def columns(record: AuctionRecord) -> Iterator[tuple[str, Column]]:
    """The columns that the record has: an optional one that is None is not among them."""
    for table, kind in TABLES.items():
        values = getattr(record, table)
        for one in fields(kind) if values is not None else ():
            column = getattr(values, one.name)
            if column is not None:
                yield f"{table}.{one.name}", column


def assembled(
    asked: Sequence[bytes | memoryview], columns: dict[str, Column], model: str
) -> AuctionRecord:
    """A record of these columns; fields that this version does not know are left out.

    TypeError when one is missing that has no default: the record is of another version.
    """
    tables = {
        table: _table(kind, {f.name: columns.get(f"{table}.{f.name}") for f in fields(kind)})
        for table, kind in TABLES.items()
        if _ALWAYS.get(table, "notes.number") in columns
    }
    return AuctionRecord(asked=asked, model=model, **tables)


def _table(kind: Callable[..., Any], values: dict[str, Column | None]) -> Any:
    return kind(**{name: column for name, column in values.items() if column is not None})


def _cut(record: AuctionRecord, name: str, column: Column, page: int) -> Column:
    """The page's part of one column, its offsets and row numbers counted from 0."""
    axis = axis_of(name)
    if axis is Axis.PAGE:
        return column[page : page + 1]
    if axis in EDGE_OF:
        return np.array([0, column[page + 1] - column[page]], column.dtype)
    low, high = _edges(record, axis)[page : page + 2].tolist()
    part = column[low:high]
    if name not in ROW_NUMBERS:
        return part
    return np.where(part >= 0, part - record.bids.offset[page], part).astype(column.dtype)


def _edges(record: AuctionRecord, axis: Axis) -> NDArray[np.int32]:
    table, _, name = _EDGES[axis].partition(".")
    edges: NDArray[np.int32] = getattr(getattr(record, table), name)
    return edges


def joined(records: Sequence[AuctionRecord]) -> AuctionRecord:
    """The pages of several records as one batch, in order.

    All must have the same optional columns and the same model (`kind_of`); pages of fewer slots
    get rates of one millionth in those that they lack, as the auction's columns want.
    """
    if len(records) == 1:
        return records[0]
    parts = [dict(columns(record)) for record in records]
    rows = np.cumsum([0] + [len(record.bids.ad) for record in records])
    return assembled(
        [request for record in records for request in record.asked],
        {name: _joined(name, [part[name] for part in parts], rows) for name in parts[0]},
        records[0].model,
    )


def kind_of(record: AuctionRecord) -> tuple[str, ...]:
    """Records of one kind can be joined."""
    return (record.model, *(name for name, _ in columns(record)))


def _joined(name: str, parts: Sequence[Column], rows: NDArray[np.int64]) -> Column:
    if axis_of(name) in EDGE_OF:
        lengths = np.concatenate([np.diff(part) for part in parts])
        return np.concatenate([[0], np.cumsum(lengths)]).astype(parts[0].dtype)
    if name in ROW_NUMBERS:
        parts = [
            np.where(part >= 0, part + low, part).astype(part.dtype)
            for part, low in zip(parts, rows.tolist(), strict=False)
        ]
    return np.concatenate(_widened(name, parts))


def _widened(name: str, parts: Sequence[Column]) -> Sequence[Column]:
    """Two-dimensional parts of one width."""
    if parts[0].ndim < 2:
        return parts
    widest = max(part.shape[1] for part in parts)
    filler = _FILLER.get(name, 0)
    return [
        np.pad(part, ((0, 0), (0, widest - part.shape[1])), constant_values=filler)
        for part in parts
    ]
