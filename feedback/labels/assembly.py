"""Logged rows as columns, and labelled rows as the table that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adserver.features.rows import matrix
from feedback.labels.outcomes import Keys
from ranking.dataset import Impressions
from ranking.features import REQUEST_FIELDS, bag_starts

_USER = int(bag_starts(REQUEST_FIELDS)[[field.name for field in REQUEST_FIELDS].index("user")])


@dataclass(frozen=True, slots=True)
class Logged:
    """R rows of the feature log, by time, decision and slot."""

    decision: NDArray[np.uint64]
    number: NDArray[np.int64]
    """Of the slot in its decision."""
    t: NDArray[np.int64]
    quality: NDArray[np.int64]
    request: NDArray[np.int32]
    ad: NDArray[np.int32]
    """[R, width(AD_FIELDS)]"""
    slot: NDArray[np.int32]
    counts: NDArray[np.float32]
    pctr: NDArray[np.float32]
    model: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.t)

    @property
    def keys(self) -> Keys:
        return Keys(
            self.decision, self.number, self.quality, self.request[:, _USER].astype(np.int64)
        )


def logged(table: pa.Table) -> Logged:
    """The rows of the feature log, sorted; lists become columns of the schema's widths."""
    key = {name: _flat(table, name) for name in ("t", "decision", "slot")}
    order = np.lexsort((key["slot"], key["decision"], key["t"]))
    return Logged(
        key["decision"][order],
        key["slot"][order].astype(np.int64),
        key["t"][order],
        _flat(table, "quality")[order].astype(np.int64),
        matrix(table.column("request"), "request")[order],
        matrix(table.column("ads"), "ads")[order],
        matrix(table.column("slot_ids"), "slot_ids")[order],
        matrix(table.column("counts"), "counts")[order],
        _flat(table, "pctr")[order],
        _flat(table, "model")[order].astype(np.int32),
    )


def _flat(table: pa.Table, name: str) -> NDArray[Any]:
    column: NDArray[Any] = table.column(name).to_numpy()
    return column


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows, each with all it takes, in no order yet."""

    moment: NDArray[np.int64]
    """Wall ms under which it is sorted."""
    decision: NDArray[np.uint64]
    number: NDArray[np.int64]
    request: NDArray[np.int32]
    ad: NDArray[np.int32]
    slot: NDArray[np.int32]
    counts: NDArray[np.float32]
    click: NDArray[np.uint8]
    conversion: NDArray[np.uint8]
    pctr: NDArray[np.float32]
    model: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.moment)


@dataclass(frozen=True, slots=True)
class Labels:
    """R labelled impressions, by time, and what goes with each of them."""

    impressions: Impressions
    decision: NDArray[np.uint64]
    number: NDArray[np.int64]
    """Of the slot in its decision."""
    conversion: NDArray[np.uint8]
    pctr: NDArray[np.float32]
    """As it was served: calibrated."""
    model: NDArray[np.int32]


def rows_of(
    log: Logged,
    kept: NDArray[np.bool_],
    moment: NDArray[np.int64],
    click: NDArray[np.bool_],
    conversion: NDArray[np.bool_],
) -> Rows:
    """The kept rows of the log with what the others [R] say of them."""
    return Rows(
        moment[kept],
        log.decision[kept],
        log.number[kept],
        log.request[kept],
        log.ad[kept],
        log.slot[kept],
        log.counts[kept],
        click[kept].astype(np.uint8),
        conversion[kept].astype(np.uint8),
        log.pctr[kept],
        log.model[kept],
    )


def labels_of(parts: Sequence[Rows]) -> Labels:
    """All rows in the order of their moments, those of one decision and moment together."""
    rows = _joined(parts)
    order = np.lexsort((rows.number, rows.decision, rows.moment))
    moment, decision = rows.moment[order], rows.decision[order]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (moment[1:] != moment[:-1]) | (decision[1:] != decision[:-1])
    catalogue, ad = distinct(rows.ad)
    impressions = Impressions(
        request=rows.request[order[begins]],
        catalogue=catalogue,
        of=(np.cumsum(begins) - 1).astype(np.int32),
        ad=ad[order],
        slot=rows.slot[order],
        click=rows.click[order],
        truth=np.empty(0, np.float32),
        counts=rows.counts[order],
        weight=np.ones(len(rows), np.float32),
        time_ms=moment,
    )
    return Labels(
        impressions,
        decision,
        rows.number[order],
        rows.conversion[order],
        rows.pctr[order],
        rows.model[order],
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows))
    )


def distinct(rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each different row once, and which of them every row is.

    Rows are told apart by 64 bits of a linear hash; should two ever meet, they are compared whole.
    """
    odd = np.random.default_rng(0).integers(1 << 62, size=rows.shape[1], dtype=np.int64) * 2 + 1
    name = (rows.astype(np.int64) * odd).sum(axis=1)
    _, first, which = np.unique(name, return_index=True, return_inverse=True)
    found = rows[first]
    if not np.array_equal(found[which], rows):
        found, which = np.unique(rows, axis=0, return_inverse=True)
    return found, which.astype(np.int32).reshape(-1)
