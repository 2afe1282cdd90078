"""The bins that features are counted in, learnt once from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.drift.columns import Column

MOST = 20
"""Bins of a feature; the rarer values share the last one."""


@dataclass(frozen=True, slots=True)
class Bins:
    """F features' bins end to end."""

    name: NDArray[np.str_]
    role: NDArray[np.int8]
    numeric: NDArray[np.bool_]
    start: NDArray[np.int64]
    """[F + 1] where each feature's bins begin."""
    cut: NDArray[np.float64]
    """End to end: the values that have a bin of their own, or the inner edges; ascending."""
    cut_start: NDArray[np.int64]
    """[F + 1]"""

    def __len__(self) -> int:
        return len(self.name)

    def place(self, feature: int, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Bin of each value, counted over all features. An unknown name goes to the last bin."""
        cut = self.cut[self.cut_start[feature] : self.cut_start[feature + 1]]
        if self.numeric[feature]:
            found = np.searchsorted(cut, values.astype(np.float64), side="right")
        else:
            found = np.searchsorted(cut, values.astype(np.float64))
            known = cut[np.minimum(found, len(cut) - 1)] == values if len(cut) else False
            found = np.where(known, found, len(cut))
        place: NDArray[np.int64] = found.astype(np.int64) + self.start[feature]
        return place


def learn(columns: Sequence[Column]) -> Bins:
    """Equally full bins of magnitudes, and of names the most frequent ones."""
    cuts = [_edges(one.values) if one.numeric else _frequent(one.values) for one in columns]
    return Bins(
        name=np.array([one.name for one in columns]),
        role=np.array([one.role for one in columns], np.int8),
        numeric=np.array([one.numeric for one in columns]),
        start=np.cumsum([0, *(len(cut) + 1 for cut in cuts)]),
        cut=np.concatenate(cuts),
        cut_start=np.cumsum([0, *map(len, cuts)]),
    )


def _edges(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Inner edges; a value that fills whole bins is the lower edge of one."""
    if not len(values):
        return np.empty(0)
    inner = np.quantile(values.astype(np.float64), np.arange(1, MOST) / MOST)
    return np.unique(inner)


def _frequent(values: NDArray[np.generic]) -> NDArray[np.float64]:
    names, count = np.unique(values, return_counts=True)
    return np.sort(names[np.argsort(-count, kind="stable")[: MOST - 1]]).astype(np.float64)
