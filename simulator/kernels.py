"""The simulator's inner loop: which of many random ads may be shown on a visit."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def draw_fitting(
    values: NDArray[np.int32],
    column_start: NDArray[np.int32],
    placement: NDArray[np.int32],
    visit: NDArray[np.int32],
    pool: NDArray[np.int32],
    pool_start: NDArray[np.int64],
    pool_ad: NDArray[np.int32],
    line_item: NDArray[np.int32],
    live: NDArray[np.bool_],
    term_start: NDArray[np.int64],
    term_dimension: NDArray[np.int8],
    term_value: NDArray[np.int32],
    term_exclude: NDArray[np.bool_],
    need: NDArray[np.uint16],
    chance: NDArray[np.float32],
    chosen: NDArray[np.int32],
) -> None:
    """For each of P slots, the first ads drawn from its `pool` that fit the visit.

    `values` [B, C] are the visits' targeting values, dimension d in the columns from
    column_start[d] to column_start[d + 1]; the last dimension is the slot's own placement.
    A line item's terms lie by dimension, so that a misfit in the first (most often the country)
    ends its check. `chance` [P, M] draws; `chosen` [P, J] is filled, -1 where fewer
    than J of the M fitted.
    """
    last = column_start.shape[0] - 1
    for p in range(visit.shape[0]):
        first, count = pool_start[pool[p]], 0
        size = pool_start[pool[p] + 1] - first
        for m in range(chance.shape[1]):
            if count == chosen.shape[1] or size == 0:
                break
            ad = pool_ad[first + min(int(chance[p, m] * size), size - 1)]
            owner = line_item[ad]
            if not live[owner]:
                continue
            met, refused = np.uint16(0), False
            for t in range(term_start[owner], term_start[owner + 1]):
                d, hit = term_dimension[t], False
                if need[owner] & ~met & ((np.uint16(1) << np.uint16(d)) - np.uint16(1)):
                    break
                if d == last:
                    hit = term_value[t] == placement[p]
                else:
                    for c in range(column_start[d], column_start[d + 1]):
                        if values[visit[p], c] == term_value[t]:
                            hit = True
                            break
                if hit and term_exclude[t]:
                    refused = True
                    break
                if hit:
                    met |= np.uint16(1) << np.uint16(d)
            if not refused and (met & need[owner]) == need[owner]:
                chosen[p, count] = ad
                count += 1
