"""What the feature log says of a sold slot: the columns, and their form in Arrow.

The encoded values are those that the decision was made with: who trains on them sees neither what
happened later nor another release's encoding. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ranking.counts import COUNTS
from ranking.features import AD_FIELDS, FEATURE_SCHEMA, REQUEST_FIELDS, SLOT_FIELDS, width

NAME: Final = b"feature_schema"
"""Key of the schema's metadata; files of another feature schema cannot be joined with these."""
_TYPES: Final = {
    "decision": pa.uint64(),
    "slot": pa.int16(),
    "t": pa.int64(),
    "ad": pa.int64(),
    "request": pa.list_(pa.int32()),
    "ads": pa.list_(pa.int32()),
    "slot_ids": pa.list_(pa.int32()),
    "counts": pa.list_(pa.float32()),
    "logit": pa.float32(),
    "pctr": pa.float32(),
    "model": pa.int32(),
    "arm": pa.string(),
    "quality": pa.int8(),
    "snapshot": pa.int64(),
    "propensity": pa.float32(),
    "explored": pa.bool_(),
}
SCHEMA: Final = pa.schema(list(_TYPES.items()), {NAME: FEATURE_SCHEMA.encode()})
WIDTHS: Final = {
    "request": width(REQUEST_FIELDS),
    "ads": width(AD_FIELDS),
    "slot_ids": width(SLOT_FIELDS),
    "counts": COUNTS,
}
"""Numbers per row of the columns that are lists."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n sold slots as columns."""

    decision: NDArray[np.uint64]
    """Number of the decision; its id is this in 16 hex digits."""
    slot: NDArray[np.int16]
    """Place of the slot in its request."""
    t: NDArray[np.int64]
    """Wall milliseconds of the decision."""
    ad: NDArray[np.int64]
    """Catalogue id of the ad that was sold."""
    request: NDArray[np.int32]
    """[n, width(REQUEST_FIELDS)] encoded requests."""
    ads: NDArray[np.int32]
    """[n, width(AD_FIELDS)] encoded ads."""
    slot_ids: NDArray[np.int32]
    """[n, 3] encoded slots."""
    counts: NDArray[np.float32]
    """[n, COUNTS] of `ranking.counts`."""
    logit: NDArray[np.float32]
    """Log-odds of a click with all that was added to them, before calibration."""
    pctr: NDArray[np.float32]
    """Click rate that the auction went by."""
    model: NDArray[np.int32]
    """Version of the click model."""
    arm: Sequence[str]
    """Which edition served the request, where several do at once."""
    quality: NDArray[np.int8]
    """Decision.quality."""
    snapshot: NDArray[np.int64]
    propensity: NDArray[np.float32]
    """With what probability this ad was chosen (`adserver.exploring`); 1 unless chance had a part
    in it, NaN beside an explored slot, where it is not known."""
    explored: NDArray[np.bool_]
    """The slot went by lot: the ad was drawn, it did not win."""

    def __len__(self) -> int:
        return len(self.decision)


def joined(parts: Sequence[Rows]) -> pa.RecordBatch:
    """The rows of all parts, in order."""
    columns = {
        one.name: np.concatenate([np.asarray(getattr(part, one.name)) for part in parts])
        for one in fields(Rows)
    }
    arrays = [_arrow(columns[name], _TYPES[name]) for name in _TYPES]
    return pa.record_batch(arrays, schema=SCHEMA)


def matrix(column: Any, name: str) -> NDArray[Any]:
    """[n, WIDTHS[name]] of a list column of a table or batch."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, WIDTHS[name])


def _arrow(column: NDArray[Any], kind: Any) -> Any:
    if not pa.types.is_list(kind):
        return pa.array(column, kind)
    ends = np.arange(len(column) + 1, dtype=np.int32) * np.int32(column.shape[1])
    flat = pa.array(np.ascontiguousarray(column).ravel(), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(ends), flat)
