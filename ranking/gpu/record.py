"""An ad as one record of the device's table: what a pair reads lies in one piece.

The memory of a GPU is read in sectors of 32 bytes. Seven columns side by side would cost a pair a
sector for each lone number; a record costs eleven in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

SECTOR: Final = 32
NUMBERS: Final = 3
"""Scale of the half in steps of the activations, scale of the vector, bias."""
CHUNK: Final = 16_384


class Columns(Protocol):
    """What is read of a `ranking.table.AdTable`, which has it, or of anything alike."""

    @property
    def model(self) -> str: ...
    @property
    def half(self) -> NDArray[np.int8]: ...
    @property
    def half_scale(self) -> NDArray[np.float32]: ...
    @property
    def vector(self) -> NDArray[np.int8]: ...
    @property
    def vector_scale(self) -> NDArray[np.float32]: ...
    @property
    def bias(self) -> NDArray[np.float32]: ...
    def __len__(self) -> int: ...


def width(hidden: int, dim: int) -> int:
    """Bytes of a record."""
    return -(-(hidden + dim + 4 * NUMBERS) // SECTOR) * SECTOR


def records(table: Columns, scale: float, rows: slice = slice(None)) -> NDArray[np.int8]:
    """i8[n, width] of these rows; `scale` is one step of what enters the network."""
    half, vector = table.half[rows], table.vector[rows]
    hidden, dim = half.shape[1], vector.shape[1]
    made = np.zeros((len(half), width(hidden, dim)), np.int8)
    made[:, :hidden] = half
    made[:, hidden : hidden + dim] = vector
    number = np.empty((len(half), NUMBERS), np.float32)
    number[:, 0] = table.half_scale[rows] * (1.0 / scale)
    number[:, 1] = table.vector_scale[rows]
    number[:, 2] = table.bias[rows]
    made[:, hidden + dim : hidden + dim + 4 * NUMBERS] = number.view(np.int8)
    return made


def chunks(table: Columns, scale: float) -> Iterator[tuple[int, NDArray[Any]]]:
    """All records, some at a time, each with its first row: bounds the copy."""
    for start in range(0, len(table), CHUNK):
        yield start, records(table, scale, slice(start, start + CHUNK))
