"""Rows of tables gathered and their gradients scattered: one loop each, for training."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def _left_out(seed: np.uint32, key: np.uint32, column: np.uint32) -> np.uint32:
    """A number that depends on the three alone and is spread evenly over 32 bits."""
    x = np.uint32(seed + key * np.uint32(0x9E3779B1) + column * np.uint32(0x85EBCA77))
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, fastmath={"reassoc", "contract"})
def pool_forward(
    table: F32, ids: I32, start: I32, rate: float, seed: int, key: NDArray[np.int64], pooled: F32
) -> None:
    """Mean embedding of each field's known ids [n, F * E], and a share `rate` of it left out.

    What is left out depends on the seed, the row's key and the column; the rest is scaled up.
    """
    dim, limit = table.shape[1], np.uint32(rate * 4294967296.0)
    scale = np.float32(1.0 / (1.0 - rate))
    for i in range(ids.shape[0]):
        for f in range(start.shape[0] - 1):
            base, known = f * dim, 0
            for d in range(dim):
                pooled[i, base + d] = 0.0
            for c in range(start[f], start[f + 1]):
                at = ids[i, c]
                if at:
                    known += 1
                    for d in range(dim):
                        pooled[i, base + d] += table[at, d]
            if not known:
                continue
            share = scale / np.float32(known)
            for d in range(dim):
                pooled[i, base + d] *= share
            if rate > 0.0:
                for d in range(dim):
                    drawn = _left_out(np.uint32(seed), np.uint32(key[i]), np.uint32(base + d))
                    if drawn < limit:
                        pooled[i, base + d] = 0.0


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, fastmath={"reassoc", "contract"})
def pool_backward(
    slope: F32, ids: I32, start: I32, rate: float, seed: int, key: NDArray[np.int64], table: F32
) -> None:
    """Add to `table` [rows, E] the gradient by it, given that by what `pool_forward` made."""
    dim, limit = table.shape[1], np.uint32(rate * 4294967296.0)
    scale = np.float32(1.0 / (1.0 - rate))
    part = np.empty(dim, np.float32)
    for i in range(ids.shape[0]):
        for f in range(start.shape[0] - 1):
            base, known = f * dim, 0
            for c in range(start[f], start[f + 1]):
                known += ids[i, c] != 0
            if not known:
                continue
            share = scale / np.float32(known)
            for d in range(dim):
                part[d] = slope[i, base + d] * share
            if rate > 0.0:
                for d in range(dim):
                    drawn = _left_out(np.uint32(seed), np.uint32(key[i]), np.uint32(base + d))
                    if drawn < limit:
                        part[d] = 0.0
            for c in range(start[f], start[f + 1]):
                at = ids[i, c]
                if at:
                    for d in range(dim):
                        table[at, d] += part[d]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def sum_forward(table: F32, ids: I32, columns: int, total: F32) -> None:
    """[n] sum of the weights [rows, 1] of each row's ids in the first columns; id 0 has none."""
    for i in range(ids.shape[0]):
        found = np.float32(0.0)
        for c in range(columns):
            if ids[i, c]:
                found += table[ids[i, c], 0]
        total[i] = found


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def sum_backward(slope: F32, ids: I32, columns: int, table: F32) -> None:
    """Add to `table` [rows, 1] the gradient by it, given that by what `sum_forward` made."""
    for i in range(ids.shape[0]):
        for c in range(columns):
            if ids[i, c]:
                table[ids[i, c], 0] += slope[i]
