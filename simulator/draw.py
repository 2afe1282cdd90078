"""Fast draws from fixed weights; the generator is always an argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TABLE = 1 << 14


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Weights falling as rank**-exponent; they sum to one."""
    weight = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    share: NDArray[np.float64] = weight / weight.sum()
    return share


def normalised(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length one."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = (rows / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def quantiles(weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """[rows, TABLE] values in the proportions of each row of weights: a draw is one look-up.

    A value rarer than 1 / TABLE may be missing; the vocabularies here have at most 3 000 values.
    """
    rows = np.atleast_2d(weights)
    value = np.arange(rows.shape[1], dtype=np.int16)
    table = np.empty((len(rows), TABLE), np.int16)
    for row, weight in zip(table, rows, strict=True):
        cumulated = np.cumsum(weight)
        ends = np.floor(cumulated / cumulated[-1] * TABLE + 0.5).astype(np.int64)
        row[:] = np.repeat(value, np.diff(ends, prepend=0))
    return table


def pick(
    table: NDArray[np.int16], row: NDArray[np.integer] | int, uniform: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The value of each uniform number in [0, 1) by the table's given row."""
    drawn: NDArray[np.int32] = table[row, (uniform * TABLE).astype(np.int64)].astype(np.int32)
    return drawn


def hashed_uniform(key: NDArray[np.integer], stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) that depends on key and stream only (splitmix64, Steele et al. 2014).

    Gives each user lasting traits without storing any.
    """
    with np.errstate(over="ignore"):
        z = key.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
            stream * 0xD1B54A32D192ED03 & 0xFFFFFFFFFFFFFFFF
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
