"""The loops that numpy would need several passes for. Their oracles stand in the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped] # ships no types
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

AHEAD = 6
"""Pairs between asking for an ad's row and using it: candidates lie all over the table, and
waiting for memory would cost more than computing (with it, a pair takes half the time)."""

# Reassociating float sums is allowed where noted: the result is then still the same for the same
# row on the same machine, because each row's loop is compiled once and never split between threads.


@intrinsic
def prefetch(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """Start loading the cache line of array[row, column], and wait for nothing."""
    signature = types.void(array, row, column)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, arguments[0])
        at = [
            context.cast(builder, value, of, types.intp)
            for value, of in zip(arguments[1:], signature.args[1:], strict=True)
        ]
        place = cgutils.get_item_pointer(context, builder, kind, made, at, wraparound=False)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        # to read, to be kept in all caches, data and not code
        how = [ir.Constant(number, value) for value in (0, 3, 1)]
        builder.call(function, [builder.bitcast(place, byte), *how])
        return context.get_dummy_value()

    return signature, generate


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, fastmath={"reassoc", "contract"})
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, fastmath={"contract"})
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
        for o in range(outputs):  # numba takes seconds to compile rows that are assigned whole
            y[i, o] = bias[o]
        for k in range(inputs):
            value = x[i, k]
            if value != 0:
                for o in range(outputs):
                    y[i, o] += value * weight[k, o]
        if relu:
            for o in range(outputs):
                y[i, o] = max(y[i, o], np.float32(0.0))
    return y


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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
    width, last = hidden.shape[1], ad.shape[0] - 1
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        for k in range(0, width, 64):
            prefetch(half_ad, ad[min(r + AHEAD, last)], k)
        step = np.float32(half_scale[row] * inverse_scale)
        for k in range(width):
            x = half_request[request, k] + np.float32(half_ad[row, k]) * step
            # truncation rounds what is positive; what is negative ends at 0 either way
            rounded = np.int32(x + np.float32(0.5))
            hidden[r, k] = max(min(rounded, np.int32(255)), np.int32(0))


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
    width, last = hidden.shape[1], ad.shape[0] - 1
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        for k in range(0, width, 64):
            prefetch(half_ad, ad[min(r + AHEAD, last)], k)
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
    dim, last = vector.shape[1], ad.shape[0] - 1
    for r in range(ad.shape[0]):
        row, request = ad[r], owner[r]
        prefetch(ad_vector, ad[min(r + AHEAD, last)], 0)
        dot = np.float32(0.0)
        for d in range(dim):
            dot += vector[request, d] * np.float32(ad_vector[row, d])
        logit[r] += dot * ad_scale[row] + bias[request] + ad_bias[row]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
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


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def owners(offset: NDArray[np.int32]) -> NDArray[np.int32]:
    """[R] the request of each pair."""
    owner = np.empty(offset[-1], np.int32)
    for b in range(offset.shape[0] - 1):
        for r in range(offset[b], offset[b + 1]):
            owner[r] = b
    return owner


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def calibrate_ppm(
    odds: NDArray[np.float32], first: float, step: float, probability: NDArray[np.float64]
) -> NDArray[np.int64]:
    """[n] click rates of log-odds [n], in whole millionths from 1 to 999 999.

    Linear between knots at first, first + step, …; level beyond the ends. The knots are evenly
    spaced, so that the lookup is a division and not a search.
    """
    last = probability.shape[0] - 1
    ppm = np.empty(odds.shape[0], np.int64)
    for n in range(odds.shape[0]):
        at = (float(odds[n]) - first) / step
        at = min(max(at, 0.0), float(last))
        knot = min(int(at), last - 1)
        low, high = probability[knot], probability[knot + 1]
        rate = low + (at - knot) * (high - low)
        ppm[n] = min(max(int(rate * 1e6 + 0.5), 1), 999_999)
    return ppm
