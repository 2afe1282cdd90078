"""The lots that are drawn: fair over many requests, identical in a replay."""

from __future__ import annotations

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_DRAW = np.uint64(0xA0761D6478BD642F)
"""Makes the draw of a weighted tier another one than that of ties."""
_ONE = np.uint64(1)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def tie_rank(seed: np.uint64, ad: int) -> np.uint64:
    """Of equal scores the greater rank wins: splitmix64 of the request's seed and the ad."""
    x = (seed ^ (np.uint64(ad) * _GOLDEN)) + _GOLDEN
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def outranks(seed: np.uint64, ad: int, other: int) -> bool:
    return bool(tie_rank(seed, ad) > tie_rank(seed, other))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def draw_key(seed: np.uint64, ad: int, share: int) -> int:
    """Of several ads the one with the greatest key wins, each with probability share / sum.

    An exponential race: the least -log(u) / share, u uniform, in whole numbers. Keys taken in
    order are a draw without replacement. Source: Efraimidis, Spirakis, "Weighted random sampling
    with a reservoir", 2006.
    """
    u = tie_rank(seed ^ _DRAW, ad) | _ONE
    return int(-((minus_log2(u) << 36) // max(1, share)))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, error_model="numpy")
def minus_log2(u: np.uint64) -> int:
    """-log2(u / 2**64) in units of 2**-20, between 1 and 2**26; good to some 16 bits."""
    top = 0
    while top < 63 and u >> np.uint64(top + 1) != 0:
        top += 1
    mantissa = u >> np.uint64(top - 31) if top >= 31 else u << np.uint64(31 - top)
    log2 = top
    for _ in range(20):
        mantissa = (mantissa * mantissa) >> np.uint64(31)
        log2 <<= 1
        if mantissa >> np.uint64(32) != 0:
            mantissa >>= _ONE
            log2 |= 1
    return (64 << 20) - log2
