"""The market's inner loops: true click rates of any pairs, and every ad that fits a visit."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def true_rates(
    pull: NDArray[np.float32],
    visit_bias: NDArray[np.float32],
    phone: NDArray[np.int8],
    hour: NDArray[np.int32],
    country: NDArray[np.int32],
    certain: NDArray[np.float32],
    topic: NDArray[np.float32],
    ad_bias: NDArray[np.float32],
    size: NDArray[np.int16],
    top: NDArray[np.int32],
    by_placement: NDArray[np.float32],
    by_shape: NDArray[np.float32],
    by_hour: NDArray[np.float32],
    by_country: NDArray[np.float32],
    visit: NDArray[np.int32],
    ad: NDArray[np.int32],
    placement: NDArray[np.int32],
    least: float,
    most: float,
    rate: NDArray[np.float64],
) -> None:
    """Fill `rate` [P]: `certain` of the visit where it is not negative, else least … most.

    The log-odds are pull · topic and the look-ups; visits, ads and placements are rows of theirs.
    """
    for p in range(visit.shape[0]):
        v, a = visit[p], ad[p]
        if certain[v] >= 0:
            rate[p] = certain[v]
            continue
        logit = visit_bias[v] + ad_bias[a] + by_placement[placement[p]]
        logit += by_shape[size[a], phone[v]] + by_hour[top[a], hour[v]]
        logit += by_country[country[v], top[a]]
        for t in range(topic.shape[1]):
            logit += pull[v, t] * topic[a, t]
        rate[p] = min(max(1.0 / (1.0 + np.exp(-np.float64(logit))), least), most)


@njit(cache=True, nogil=True)
def slots_met(
    values: NDArray[np.int32],
    column_start: NDArray[np.int32],
    placement: NDArray[np.int32],
    first: int,
    end: int,
    term_dimension: NDArray[np.int8],
    term_value: NDArray[np.int32],
    term_exclude: NDArray[np.bool_],
    need: np.uint16,
) -> np.uint32:
    """Bits of the slots in which the terms first … end - 1 of one line item are met.

    `values` [C] of the visit, dimension d in columns column_start[d] … column_start[d + 1] - 1; the
    last dimension is `placement` [S] of each slot, -1 for none.
    """
    last = column_start.shape[0] - 1
    met, named, refused = np.uint16(0), np.uint32(0), np.uint32(0)
    for t in range(first, end):
        d, value = term_dimension[t], term_value[t]
        if need & ~met & ((np.uint16(1) << np.uint16(d)) - np.uint16(1)):
            return np.uint32(0)
        if d == last:
            for s in range(placement.shape[0]):
                if placement[s] == value and term_exclude[t]:
                    refused |= np.uint32(1) << np.uint32(s)
                elif placement[s] == value:
                    named |= np.uint32(1) << np.uint32(s)
            continue
        for c in range(column_start[d], column_start[d + 1]):
            if values[c] == value:
                if term_exclude[t]:
                    return np.uint32(0)
                met |= np.uint16(1) << np.uint16(d)
                break
    asked = np.uint16(1) << np.uint16(last)
    if (met | asked) & need != need:
        return np.uint32(0)
    slots = np.uint32(0)
    for s in range(placement.shape[0]):
        if placement[s] >= 0:
            slots |= np.uint32(1) << np.uint32(s)
    if need & asked:
        slots &= named
    return slots & ~refused


@njit(cache=True, nogil=True)
def fitting_ads(
    values: NDArray[np.int32],
    column_start: NDArray[np.int32],
    placement: NDArray[np.int32],
    country: NDArray[np.int32],
    blocked: NDArray[np.int32],
    pool_start: NDArray[np.int64],
    pool: NDArray[np.int32],
    term_start: NDArray[np.int64],
    term_dimension: NDArray[np.int8],
    term_value: NDArray[np.int32],
    term_exclude: NDArray[np.bool_],
    need: NDArray[np.uint16],
    category: NDArray[np.int32],
    ad_start: NDArray[np.int64],
    size: NDArray[np.int16],
    sold: NDArray[np.uint32],
    offset: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Every ad that fits some slot of each visit, visits end to end from `offset` (filled) on.

    `pool` has the line items to try in each country, `category` that of each line item, `blocked`
    [B, K] the categories that a page refuses, `sold` [placements] the bits of the sizes. Returns
    the ads and, bit by bit, the slots of theirs.
    """
    capacity = 64 * values.shape[0] + 1024
    ad, fits = np.empty(capacity, np.int32), np.empty(capacity, np.uint32)
    count = 0
    offset[0] = 0
    for v in range(values.shape[0]):
        for p in range(pool_start[country[v]], pool_start[country[v] + 1]):
            item = pool[p]
            refused = False
            for k in range(blocked.shape[1]):
                refused = refused or blocked[v, k] == category[item]
            if refused:
                continue
            slots = slots_met(
                values[v], column_start, placement[v], term_start[item], term_start[item + 1],
                term_dimension, term_value, term_exclude, need[item],
            )  # fmt: skip
            if slots == 0:
                continue
            if count + ad_start[item + 1] - ad_start[item] > capacity:
                more = ad_start[item + 1] - ad_start[item] + capacity
                ad = np.concatenate((ad, np.empty(more, np.int32)))
                fits = np.concatenate((fits, np.empty(more, np.uint32)))
                capacity += more
            for a in range(ad_start[item], ad_start[item + 1]):
                here = np.uint32(0)
                for s in range(placement.shape[1]):
                    bit = np.uint32(1) << np.uint32(s)
                    if slots & bit and sold[placement[v, s]] >> np.uint32(size[a]) & np.uint32(1):
                        here |= bit
                if here:
                    ad[count], fits[count] = a, here
                    count += 1
        offset[v + 1] = count
    return ad[:count].copy(), fits[:count].copy()
