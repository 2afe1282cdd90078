"""The loops that numpy would need several passes for. Their oracles stand in the tests."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Reassociating float sums is allowed where noted: the result is then still the same for the same
# row on the same machine, because each row's loop is compiled once and never split between threads.


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def pool(
    embedding: NDArray[np.float32],
    wide: NDArray[np.float32],
    ids: NDArray[np.int32],
    bag_start: NDArray[np.int32],
    embedded: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean embedding of each field's known ids, side by side, and the sum of all ids' weights.

    `bag_start` [F + 1] are the columns where the fields begin; the first `embedded` have vectors.
    """
    n, dim = ids.shape[0], embedding.shape[1]
    pooled = np.zeros((n, embedded * dim), np.float32)
    total = np.zeros(n, np.float32)
    for i in range(n):
        for f in range(bag_start.shape[0] - 1):
            known = 0
            for c in range(bag_start[f], bag_start[f + 1]):
                row = ids[i, c]
                if row == 0:
                    continue
                known += 1
                total[i] += wide[row]
                if f < embedded:
                    for d in range(dim):
                        pooled[i, f * dim + d] += embedding[row, d]
            if known > 1 and f < embedded:
                share = np.float32(1.0) / np.float32(known)
                for d in range(dim):
                    pooled[i, f * dim + d] *= share
    return pooled, total


@njit(cache=True, nogil=True, fastmath={"contract"})
def dense(
    x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], relu: bool
) -> NDArray[np.float32]:
    """x @ weight + bias, optionally clipped at zero, with every row summed in the same order.

    A BLAS picks its kernel by the batch's size, so the same row may differ in its last bit from
    one batch to the next; a replay must not. At 8 rows it is no faster than this either.
    """
    n, inputs = x.shape
    outputs = weight.shape[1]
    y = np.empty((n, outputs), np.float32)
    for i in range(n):
        y[i] = bias
        for k in range(inputs):
            value = x[i, k]
            if value != 0:
                for o in range(outputs):
                    y[i, o] += value * weight[k, o]
        if relu:
            for o in range(outputs):
                y[i, o] = max(y[i, o], np.float32(0.0))
    return y


@njit(cache=True, nogil=True)
def quantise_rows(values: NDArray[np.float32], codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Symmetric int8 codes of each row, written to `codes`; returns each row's scale.

    A code is never more than half a scale from its value.
    """
    n, dim = values.shape
    scale = np.empty(n, np.float32)
    for i in range(n):
        top = np.float32(0.0)
        for d in range(dim):
            top = max(top, abs(values[i, d]))
        scale[i] = top / np.float32(127.0)
        inverse = np.float32(127.0) / top if top > 0 else np.float32(0.0)
        for d in range(dim):
            codes[i, d] = np.int8(np.rint(values[i, d] * inverse))
    return scale


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def enter_int8(
    half_request: NDArray[np.float32],
    half_ad: NDArray[np.int8],
    half_scale: NDArray[np.float32],
    inverse_scale: float,
    ad: NDArray[np.int32],
    owner: NDArray[np.int32],
    hidden: NDArray[np.uint8],
) -> None:
    """First layer of each pair: relu(request half + ad half) in uint8 steps, into `hidden`.

    `half_request` comes divided by the activation's scale; `inverse_scale` divides the ad's half.
    """
    width = hidden.shape[1]
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        step = np.float32(half_scale[row] * inverse_scale)
        for k in range(width):
            x = half_request[request, k] + np.float32(half_ad[row, k]) * step
            x = min(max(x, np.float32(0.0)), np.float32(255.0))
            hidden[r, k] = np.uint8(np.int32(x + np.float32(0.5)))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def enter_fp32(
    half_request: NDArray[np.float32],
    half_ad: NDArray[np.int8],
    half_scale: NDArray[np.float32],
    ad: NDArray[np.int32],
    owner: NDArray[np.int32],
    hidden: NDArray[np.float32],
) -> None:
    """First layer of each pair in float: relu(request half + ad half), into `hidden`."""
    width = hidden.shape[1]
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        step = half_scale[row]
        for k in range(width):
            x = half_request[request, k] + np.float32(half_ad[row, k]) * step
            hidden[r, k] = max(x, np.float32(0.0))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def add_dot(
    vector: NDArray[np.float32],
    bias: NDArray[np.float32],
    ad_vector: NDArray[np.int8],
    ad_scale: NDArray[np.float32],
    ad_bias: NDArray[np.float32],
    ad: NDArray[np.int32],
    owner: NDArray[np.int32],
    logit: NDArray[np.float32],
) -> None:
    """logit += request vector · ad vector + both biases, for each pair."""
    dim = vector.shape[1]
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        dot = np.float32(0.0)
        for d in range(dim):
            dot += vector[request, d] * np.float32(ad_vector[row, d])
        logit[r] += dot * ad_scale[row] + bias[request] + ad_bias[row]


@njit(cache=True, nogil=True)
def add_logistic(
    own: NDArray[np.float32],
    topic: NDArray[np.int32],
    cross: NDArray[np.float32],
    ad_weight: NDArray[np.float32],
    ad_topic: NDArray[np.int16],
    ad: NDArray[np.int32],
    owner: NDArray[np.int32],
    logit: NDArray[np.float32],
) -> None:
    """logit = the request's own + the ad's own + the cross of their topics, for each pair."""
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        logit[r] = own[request] + ad_weight[row] + cross[topic[request], ad_topic[row]]


@njit(cache=True, nogil=True)
def owners(offset: NDArray[np.int32]) -> NDArray[np.int32]:
    """[R] the request of each pair."""
    owner = np.empty(offset[-1], np.int32)
    for b in range(offset.shape[0] - 1):
        for r in range(offset[b], offset[b + 1]):
            owner[r] = b
    return owner


@njit(cache=True, nogil=True)
def calibrate_ppm(
    logit: NDArray[np.float32],
    slot_bias: NDArray[np.float32],
    first: float,
    step: float,
    probability: NDArray[np.float64],
) -> NDArray[np.int64]:
    """[R, S] click rate of each pair in each slot, in whole millionths from 1 to 999 999.

    Linear between knots at first, first + step, …; level beyond the ends. The knots are evenly
    spaced, so that the lookup is a division and not a search.
    """
    last = probability.shape[0] - 1
    ppm = np.empty((logit.shape[0], slot_bias.shape[0]), np.int64)
    for r in range(logit.shape[0]):
        for s in range(slot_bias.shape[0]):
            at = (float(logit[r]) + float(slot_bias[s]) - first) / step
            at = min(max(at, 0.0), float(last))
            knot = min(int(at), last - 1)
            low, high = probability[knot], probability[knot + 1]
            rate = low + (at - knot) * (high - low)
            ppm[r, s] = min(max(int(rate * 1e6 + 0.5), 1), 999_999)
    return ppm
