"""What running counts add to each pair's log-odds, in one pass; plain oracles stand in the tests.

The first layer of the count head is linear, so an ad's share of it is summed once for all slots of
its page, and only its share in the placement is added slot by slot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ranking.counts import EACH, HIDDEN, SPREAD_AD, SPREAD_PLACE
from ranking.kernels import prefetch

AHEAD = 8
"""Pairs between asking for a pair's cells and using them: they lie all over large tables."""
_AD, _PLACE, _SHIFT = np.uint64(SPREAD_AD), np.uint64(SPREAD_PLACE), np.uint64(46)
Floats = NDArray[np.float32]


class Counts(NamedTuple):
    """R pairs of B requests, the cells that they are counted in, and the tables of these.

    Ids past a table have no counts.
    """

    offset: NDArray[np.int32]
    """[B + 1] where each request's pairs begin."""
    row: NDArray[np.int32]
    """[R]"""
    place: NDArray[np.uint64]
    """[B, S] hash of each slot's placement."""
    slots: NDArray[np.int32]
    """[B] slots of each request."""
    ad_id: NDArray[np.int64]
    """By `row`, like the two that follow."""
    advertiser: NDArray[np.int32]
    topic: NDArray[np.int16]
    by_ad: Floats
    """[ids, EACH], like the two that follow."""
    by_advertiser: Floats
    by_place: Floats
    by_topic: Floats
    """[B, TOPICS, EACH]"""


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, inline="always")
def place_cell(ad: int, place: np.uint64) -> int:
    """`ranking.counts.place_cell` of one ad in one placement."""
    mixed = np.uint64(ad) * _AD + place * _PLACE
    return np.int64((mixed * _AD) >> _SHIFT)  # type: ignore[return-value] # an int to numba


@njit(cache=True, nogil=True, no_cfunc_wrapper=True, inline="always")
def at(table: Floats, number: int, feature: int) -> np.float32:
    """The feature of a cell, 0 past the table's end."""
    return table[number, feature] if number < table.shape[0] else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def add_counts(
    pairs: Counts,
    w1: Floats,
    b1: Floats,
    w2: Floats,
    total: Floats,
) -> None:
    """total[r, s] += w2 · relu(counts of pair r in slot s @ w1 + b1)."""
    offset, row, place, slots = pairs.offset, pairs.row, pairs.place, pairs.slots
    ad_id, advertiser, topic = pairs.ad_id, pairs.advertiser, pairs.topic
    by_ad, by_place = pairs.by_ad, pairs.by_place
    own = np.empty(HIDDEN, np.float32)
    last = row.shape[0] - 1
    for b in range(offset.shape[0] - 1):
        for r in range(offset[b], offset[b + 1]):
            soon = ad_id[row[min(r + AHEAD, last)]]
            prefetch(by_ad, min(soon, by_ad.shape[0] - 1), 0)
            for s in range(slots[b]):
                prefetch(by_place, place_cell(soon, place[b, s]), 0)
            ad, owner, about = ad_id[row[r]], advertiser[row[r]], topic[row[r]]
            for h in range(HIDDEN):
                own[h] = b1[h]
            for e in range(EACH):
                x, y = at(by_ad, ad, e), at(pairs.by_advertiser, owner, e)
                z = pairs.by_topic[b, about, e]
                for h in range(HIDDEN):
                    own[h] += x * w1[e, h] + y * w1[EACH + e, h] + z * w1[3 * EACH + e, h]
            for s in range(slots[b]):
                cell = place_cell(ad, place[b, s])
                f0, f1 = by_place[cell, 0], by_place[cell, 1]
                f2, f3 = by_place[cell, 2], by_place[cell, 3]
                added = np.float32(0.0)
                for h in range(HIDDEN):
                    x = own[h] + f0 * w1[2 * EACH, h] + f1 * w1[2 * EACH + 1, h]
                    x += f2 * w1[2 * EACH + 2, h] + f3 * w1[2 * EACH + 3, h]
                    added += max(x, np.float32(0.0)) * w2[h]
                total[r, s] += added


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def add_linear_counts(
    pairs: Counts,
    weight: Floats,
    total: Floats,
) -> None:
    """total[r, s] += counts of pair r in slot s · weight [COUNTS]: the fallback's share."""
    offset, row, place, slots = pairs.offset, pairs.row, pairs.place, pairs.slots
    ad_id, advertiser, topic = pairs.ad_id, pairs.advertiser, pairs.topic
    for b in range(offset.shape[0] - 1):
        for r in range(offset[b], offset[b + 1]):
            ad, owner, about = ad_id[row[r]], advertiser[row[r]], topic[row[r]]
            own = np.float32(0.0)
            for e in range(EACH):
                own += at(pairs.by_ad, ad, e) * weight[e]
                own += at(pairs.by_advertiser, owner, e) * weight[EACH + e]
                own += pairs.by_topic[b, about, e] * weight[3 * EACH + e]
            for s in range(slots[b]):
                cell = place_cell(ad, place[b, s])
                added = own
                for e in range(EACH):
                    added += pairs.by_place[cell, e] * weight[2 * EACH + e]
                total[r, s] += added


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def begin(pairs: Counts, logit: Floats, slot_bias: Floats) -> Floats:
    """[R, S] log-odds of each pair with what its slot adds; without it past the last slot."""
    offset, slots = pairs.offset, pairs.slots
    total = np.empty((logit.shape[0], slot_bias.shape[1]), np.float32)
    for b in range(offset.shape[0] - 1):
        for r in range(offset[b], offset[b + 1]):
            for s in range(slot_bias.shape[1]):
                total[r, s] = logit[r] + (slot_bias[b, s] if s < slots[b] else np.float32(0.0))
    return total
