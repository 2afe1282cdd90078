"""One request's rows put together again: tier by tier, every group of slots with its share.

The planner's rules, on lists that are sorted already. Knows keys, and no device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.gpu.batch import Rows
from retrieval.gpu.resident import FIRST

Keys = NDArray[np.int64]


def keyed(ad: NDArray[np.int32], key: NDArray[np.int32]) -> Keys:
    """Ads and their values as one number each, greatest first: equal values by the lower row."""
    there = ad >= 0
    low = np.int64(0x7FFFFFFF) - ad[there]
    keys: Keys = np.sort(key[there].astype(np.int64) << 32 | low)
    return keys[::-1]


def ads_of(keys: Keys) -> NDArray[np.int32]:
    return (0x7FFFFFFF - (keys & 0x7FFFFFFF)).astype(np.int32)


def values_of(keys: Keys) -> NDArray[np.float32]:
    bits = (keys >> 32).astype(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).view(np.float32)


def merged(rows: Rows, lists: Sequence[Keys], requests: int, k: int) -> list[Keys]:
    """The best k of each request, in the order in which the planner has them.

    `lists` has the best k of each row at least.
    """
    parts: list[dict[int, list[Keys]]] = [{} for _ in range(requests)]
    for request, tier, keys in zip(rows.request.tolist(), rows.tier.tolist(), lists, strict=True):
        parts[request].setdefault(tier, []).append(keys)
    return [_in_tiers(tiers, k) for tiers in parts]


def _in_tiers(tiers: dict[int, list[Keys]], k: int) -> Keys:
    """Those that are sold first fill at most half, what is left goes to the next tier."""
    found: list[Keys] = []
    count = 0
    for tier, lists in tiers.items():
        most = (k + 1) // 2 if tier == FIRST else k
        some = _of_groups(lists, most - count)
        found.append(some)
        count += len(some)
    return np.concatenate(found)


def _of_groups(lists: list[Keys], k: int) -> Keys:
    """Each group's share of its own best, the best of all in what room is left."""
    if k <= 0:
        return np.empty(0, np.int64)
    every, *groups = lists
    every = every[:k]
    if not groups or len(groups) > k:
        return every
    quota = np.unique(np.concatenate([keys[: k // len(groups)] for keys in groups]))
    rest = every[~np.isin(every, quota)][: k - len(quota)]
    return np.sort(np.concatenate([quota, rest]))[::-1]
