"""The table rows that some data really uses: training need not carry the others along.

Tables are several times larger than the live vocabulary, so that few values share a row; an
optimiser that touched all rows at each step would spend most of its time on rows never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.features import Field
from ranking.towers import embedding_rows


@dataclass(frozen=True, slots=True)
class Live:
    """Used rows of one tower's trained tables, numbered anew from 0, which stays "none"."""

    row: NDArray[np.int64]
    """[n] ascending, row[0] = 0."""
    table: int
    """Rows of the whole table."""

    @classmethod
    def of(cls, fields: Sequence[Field], ids: NDArray[np.int32]) -> Live:
        """Those that encoded rows `ids` use; counted ids are not trained and count as none."""
        used = np.zeros(embedding_rows(fields), bool)
        used[ids[ids < len(used)]] = True
        used[0] = True
        return cls(np.flatnonzero(used), len(used))

    def __len__(self) -> int:
        return len(self.row)

    def renumbered(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """The same rows by their new numbers, 0 for those not live."""
        number = np.zeros(self.table, np.int32)
        number[self.row] = np.arange(len(self.row))
        return np.where(ids < self.table, number[np.minimum(ids, self.table - 1)], 0)

    def spread(self, trained: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
        """[rows, …] the whole table: trained rows in their old places, zeros elsewhere."""
        whole = np.zeros((rows, *trained.shape[1:]), np.float32)
        whole[self.row] = trained
        return whole
