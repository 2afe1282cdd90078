"""The lot that equal scores draw: fair over many requests, identical in a replay."""

from __future__ import annotations

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True, nogil=True)
def tie_rank(seed: np.uint64, ad: int) -> np.uint64:
    """Of equal scores the greater rank wins: splitmix64 of the request's seed and the ad."""
    x = (seed ^ (np.uint64(ad) * _GOLDEN)) + _GOLDEN
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    return x ^ (x >> _S31)


@njit(cache=True, nogil=True)
def outranks(seed: np.uint64, ad: int, other: int) -> bool:
    return bool(tie_rank(seed, ad) > tie_rank(seed, other))
