"""An old table and a new one as a third: the old rows, with some groups replaced and some added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Run(NamedTuple):
    """Rows that stay neighbours, of one of the two tables."""

    fresh: bool
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Splice:
    """Where the rows of the third table come from; rows of a group are neighbours in all three."""

    start: NDArray[np.int32]
    """[G + 1] where each group of the third begins."""
    runs: tuple[Run, ...]

    @classmethod
    def of(
        cls, old: NDArray[np.int32], fresh: NDArray[np.int32], place: NDArray[np.intp]
    ) -> Splice:
        """`old` and `fresh` say where their groups begin, as `start`. `place`, ascending, is the
        group of the third that each fresh one is: instead of an old one, or after all of them."""
        groups = max(len(old) - 1, int(place.max(initial=-1)) + 1)
        count = np.zeros(groups, np.int64)
        count[: len(old) - 1] = np.diff(old)
        count[place] = np.diff(fresh)
        start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        return cls(start, tuple(_runs(old.tolist(), fresh.tolist(), place.tolist())))

    def rows(self, old: NDArray[Any], fresh: NDArray[Any]) -> NDArray[Any]:
        """[N, …] a column of the third table, of the same column of the two."""
        parts = [(fresh if run.fresh else old)[run.begin : run.end] for run in self.runs]
        return np.concatenate([old[:0], *parts]).astype(old.dtype, copy=False)

    @property
    def is_fresh(self) -> NDArray[np.bool_]:
        """[N] rows that come from the new table."""
        parts = [np.full(run.end - run.begin, run.fresh) for run in self.runs]
        return np.concatenate([np.empty(0, np.bool_), *parts])


def _runs(old: list[int], fresh: list[int], place: list[int]) -> Iterator[Run]:
    groups, done = len(old) - 1, 0
    for number, group in enumerate(place):
        if group > done:
            yield from _run(False, old[done], old[min(group, groups)])
        yield from _run(True, fresh[number], fresh[number + 1])
        done = min(group + 1, groups)
    yield from _run(False, old[done], old[-1])


def _run(fresh: bool, begin: int, end: int) -> Iterator[Run]:
    if end > begin:
        yield Run(fresh, begin, end)
