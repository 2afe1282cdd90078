"""An old table and a new one as a third: the old rows, with some groups replaced and some added."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE: Final = 1 << 20


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

    def save(self, old: Path, fresh: NDArray[Any], folder: Path) -> None:
        """The same of a column in a .npy file: into one of the same name, without holding it.

        EOFError where the file ends early.
        """
        whole = np.load(old, mmap_mode="r")
        about = np.lib.format.header_data_from_array_1_0(whole)
        about["shape"] = (int(self.start[-1]), *whole.shape[1:])
        row = whole.dtype.itemsize * math.prod(whole.shape[1:])
        with old.open("rb", 0) as source, (folder / old.name).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, about)
            for run in self.runs:
                if run.fresh:
                    file.write(fresh[run.begin : run.end].astype(whole.dtype).tobytes())
                else:
                    source.seek(whole.offset + run.begin * row)
                    _copy(source, file, (run.end - run.begin) * row)


def _copy(source: FileIO, file: BinaryIO, left: int) -> None:
    piece = memoryview(bytearray(PIECE))
    while left:
        read = source.readinto(piece[:left])
        if not read:
            raise EOFError(f"{source.name}: {left} bytes are missing")
        file.write(piece[:read])
        left -= read


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
