"""The loops of training that numpy and torch would need several passes for."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def logistic_pass(
    row: NDArray[np.int64],
    ids: tuple[I32, I32, I32],
    which: tuple[I32, I32],
    topic: tuple[I32, I32],
    counts: F32,
    click: NDArray[np.uint8],
    weight: F32,
    offset: F32,
    kept: float,
    stream: bool,
    rate: float,
    weights: tuple[F32, F32, F32, F32, F32, F32],
    spread: tuple[F32, F32, F32, F32, F32, F32],
) -> None:
    """One pass of Adagrad, row by row in this order, over weights and their Σ gradient².

    `ids` are of Q requests, N ads and R slots, `which` the request and the ad of each row, `topic`
    of each request and ad. `weights` are those of requests, ads, slots, crossed topics [T, T],
    counts and the intercept [1]; ids beyond a table are left out, and rates of 0 leave all alone.
    """
    w_request, w_ad, w_slot, w_cross, w_count, w_one = weights
    s_request, s_ad, s_slot, s_cross, s_count, s_one = spread
    for r in row:
        q, a = which[0][r], which[1][r]
        page, about = topic[0][q], topic[1][a]
        logit = w_one[0] + offset[r] + w_cross[page, about]
        for one, table in ((ids[0][q], w_request), (ids[1][a], w_ad), (ids[2][r], w_slot)):
            for c in range(one.shape[0]):
                if one[c] < table.shape[0]:
                    logit += table[one[c]]
        for c in range(counts.shape[1]):
            logit += counts[r, c] * w_count[c]
        mass = weight[r]
        if stream:
            p = 1.0 / (1.0 + np.exp(-logit))
            mass *= 1.0 + p if click[r] else (1.0 - p) * (1.0 + p)
        slope = np.float32(mass * (1.0 / (1.0 + np.exp(-(logit + kept))) - click[r]))
        square = slope * slope
        for one, table, sums in (
            (ids[0][q], w_request, s_request),
            (ids[1][a], w_ad, s_ad),
            (ids[2][r], w_slot, s_slot),
        ):
            for c in range(one.shape[0]):
                at = one[c]
                if 0 < at < table.shape[0]:
                    sums[at] += square
                    table[at] -= rate * slope / np.sqrt(sums[at])
        s_cross[page, about] += square
        w_cross[page, about] -= rate * slope / np.sqrt(s_cross[page, about])
        s_one[0] += square
        w_one[0] -= rate * slope / np.sqrt(s_one[0])
        for c in range(counts.shape[1]):
            value = counts[r, c]
            s_count[c] += square * value * value
            w_count[c] -= rate * slope * value / np.sqrt(s_count[c])
