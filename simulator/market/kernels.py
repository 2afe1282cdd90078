"""The market's inner loops: true click rates of any pairs, every ad that fits a visit, the best."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def logistic(logit: np.float32, least: float, most: float) -> float:
    """The probability of these log-odds, within least … most."""
    rate: float = min(max(1.0 / (1.0 + np.exp(-np.float64(logit))), least), most)
    return rate


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def log_odds(
    pull: NDArray[np.float32],
    visit_bias: NDArray[np.float32],
    phone: NDArray[np.int8],
    hour: NDArray[np.int32],
    country: NDArray[np.int32],
    topic: NDArray[np.float32],
    ad_bias: NDArray[np.float32],
    size: NDArray[np.int16],
    top: NDArray[np.int32],
    by_shape: NDArray[np.float32],
    by_hour: NDArray[np.float32],
    by_country: NDArray[np.float32],
    v: int,
    a: int,
) -> np.float32:
    """Of ad row `a` on visit row `v`, but for the placement: pull · topic and the look-ups."""
    logit: np.float32 = visit_bias[v] + ad_bias[a] + by_shape[size[a], phone[v]]
    logit += by_hour[top[a], hour[v]] + by_country[country[v], top[a]]
    for t in range(topic.shape[1]):
        logit += pull[v, t] * topic[a, t]
    return logit


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def true_rates(
    pull: NDArray[np.float32],
    visit_bias: NDArray[np.float32],
    phone: NDArray[np.int8],
    hour: NDArray[np.int32],
    country: NDArray[np.int32],
    topic: NDArray[np.float32],
    ad_bias: NDArray[np.float32],
    size: NDArray[np.int16],
    top: NDArray[np.int32],
    by_shape: NDArray[np.float32],
    by_hour: NDArray[np.float32],
    by_country: NDArray[np.float32],
    certain: NDArray[np.float32],
    by_placement: NDArray[np.float32],
    least: float,
    most: float,
    visit: NDArray[np.int32],
    ad: NDArray[np.int32],
    placement: NDArray[np.int32],
    rate: NDArray[np.float64],
) -> None:
    """Fill `rate` [P]: `certain` of the visit where it is not negative, else least … most.

    Visits, ads and placements are rows of theirs.
    """
    for p in range(visit.shape[0]):
        if certain[visit[p]] >= 0:
            rate[p] = certain[visit[p]]
            continue
        logit = log_odds(
            pull, visit_bias, phone, hour, country, topic, ad_bias, size, top,
            by_shape, by_hour, by_country, visit[p], ad[p],
        )  # fmt: skip
        rate[p] = logistic(logit + by_placement[placement[p]], least, most)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def match_items(
    values: NDArray[np.int32],
    v: int,
    column_start: NDArray[np.int32],
    row_start: NDArray[np.int64],
    include: NDArray[np.uint64],
    exclude: NDArray[np.uint64],
    excluding: NDArray[np.bool_],
    free: NDArray[np.uint64],
    matched: NDArray[np.uint64],
    asked: NDArray[np.uint64],
) -> None:
    """Clear the bits of `matched` [W] whose line items visit `v` does not meet.

    Bits are line items: `include` and `exclude` [rows, W] those that name or refuse a value,
    row_start[d] + value; `free` [D, W] those that name none of a dimension. `asked` is scratch.
    """
    for d in range(column_start.shape[0] - 1):
        for w in range(asked.size):  # numba takes seconds to compile arrays assigned to slices
            asked[w] = free[d, w]
        for c in range(column_start[d], column_start[d + 1]):
            if values[v, c] < 0:
                continue
            row = row_start[d] + values[v, c]
            for w in range(asked.shape[0]):
                asked[w] |= include[row, w]
            if excluding[row]:
                for w in range(asked.shape[0]):
                    matched[w] &= ~exclude[row, w]
        for w in range(asked.shape[0]):
            matched[w] &= asked[w]


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def fitting_ads(
    values: NDArray[np.int32],
    column_start: NDArray[np.int32],
    placement: NDArray[np.int32],
    blocked: NDArray[np.int32],
    live: NDArray[np.uint64],
    row_start: NDArray[np.int64],
    include: NDArray[np.uint64],
    exclude: NDArray[np.uint64],
    excluding: NDArray[np.bool_],
    free: NDArray[np.uint64],
    category: NDArray[np.int32],
    ad_start: NDArray[np.int64],
    size: NDArray[np.int16],
    sold: NDArray[np.uint32],
    offset: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Every ad that fits some slot of each visit, visits end to end from `offset` (filled) on.

    `values` [B, C] of the visits, dimension d in columns column_start[d] … column_start[d + 1] - 1;
    the last dimension is `placement` [B, S], -1 for no slot. Bits as `match_items` takes them;
    `live` [W] of the line items in flight. `blocked` [B, K] the categories that a page refuses,
    `category` that of each line item, `sold` [placements] the bits of the sizes. Returns the ads
    and, bit by bit, the slots of theirs.
    """
    last, words = column_start.shape[0] - 1, live.shape[0]
    ad = np.empty(64 * values.shape[0] + 1024, np.int32)
    fits = np.empty(ad.shape[0], np.uint32)
    # one more than ads: what is written last may be no fit, and is not kept
    own_ad = np.empty(size.shape[0] + 1, np.int32)
    own_slots = np.empty(size.shape[0] + 1, np.uint32)
    matched, asked = np.empty(words, np.uint64), np.empty(words, np.uint64)
    by_size = np.empty(32, np.uint32)
    count = 0
    offset[0] = 0
    for v in range(values.shape[0]):
        by_size[:] = 0
        for s in range(placement.shape[1]):
            for z in range(32):
                if placement[v, s] >= 0 and sold[placement[v, s]] >> np.uint32(z) & np.uint32(1):
                    by_size[z] |= np.uint32(1) << np.uint32(s)
        own = 0
        for w in range(words):
            matched[w] = live[w]
        match_items(
            values, v, column_start, row_start, include, exclude, excluding, free, matched, asked
        )
        for w in range(words):
            word = matched[w]
            for item in range(64 * w, 64 * w + 64):
                if word == 0:
                    break
                taken = word & np.uint64(1)
                word >>= np.uint64(1)
                if taken == 0:
                    continue
                slots, bit = np.uint32(0), np.uint64(item - 64 * w)
                for s in range(placement.shape[1]):
                    if placement[v, s] >= 0:
                        row = row_start[last] + placement[v, s]
                        named = (free[last, w] | include[row, w]) & ~exclude[row, w]
                        slots |= np.uint32(named >> bit & np.uint64(1)) << np.uint32(s)
                for k in range(blocked.shape[1]):
                    if blocked[v, k] == category[item]:
                        slots = np.uint32(0)
                if slots == 0:
                    continue
                for a in range(ad_start[item], ad_start[item + 1]):
                    here = slots & by_size[size[a]]
                    own_ad[own], own_slots[own] = a, here
                    own += here != 0
        if count + own > ad.shape[0]:
            more = count + own + ad.shape[0]
            ad = np.concatenate((ad[:count], np.empty(more, np.int32)))
            fits = np.concatenate((fits[:count], np.empty(more, np.uint32)))
        for n in range(own):
            ad[count + n], fits[count + n] = own_ad[n], own_slots[n]
        count += own
        offset[v + 1] = count
    return ad[:count].copy(), fits[:count].copy()


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def best_ads(
    pull: NDArray[np.float32],
    visit_bias: NDArray[np.float32],
    phone: NDArray[np.int8],
    hour: NDArray[np.int32],
    country: NDArray[np.int32],
    topic: NDArray[np.float32],
    ad_bias: NDArray[np.float32],
    size: NDArray[np.int16],
    top: NDArray[np.int32],
    by_shape: NDArray[np.float32],
    by_hour: NDArray[np.float32],
    by_country: NDArray[np.float32],
    certain: NDArray[np.float32],
    by_placement: NDArray[np.float32],
    least: float,
    most: float,
    placement: NDArray[np.int32],
    offset: NDArray[np.int64],
    ad: NDArray[np.int32],
    slots: NDArray[np.uint32],
    per_click: NDArray[np.float64],
    per_view: NDArray[np.float64],
    owner: NDArray[np.int32],
    floor: NDArray[np.float64],
    best: NDArray[np.int32],
    rate: NDArray[np.float64],
    value: NDArray[np.float64],
) -> None:
    """Fill `best`, `rate`, `value` [B, S]: the most valuable ads of each page, one of an `owner`.

    `offset`, `ad`, `slots` are the fits as `fitting_ads` returns them; `per_click`, `per_view` [N]
    micros of each ad, `floor` [placements] the least that one may bring. -1, 0 and 0 where nothing
    is left for a slot. Slots choose among the best ads of S owners each, or nobody: the best choice
    of a page is among those tried.
    """
    width = placement.shape[1]
    row = np.empty((width, width + 1), np.int32)
    odds, worth = np.empty((width, width + 1)), np.empty((width, width + 1))
    choice = np.empty(width, np.int64)
    for v in range(offset.shape[0] - 1):
        row[:], odds[:], worth[:] = -1, 0.0, 0.0
        for r in range(offset[v], offset[v + 1]):
            a = ad[r]
            if per_click[a] == 0 and per_view[a] == 0:
                continue
            logit = log_odds(
                pull, visit_bias, phone, hour, country, topic, ad_bias, size, top,
                by_shape, by_hour, by_country, v, a,
            )  # fmt: skip
            for s in range(width):
                if not slots[r] >> np.uint32(s) & np.uint32(1):
                    continue
                clicked = logistic(logit + by_placement[placement[v, s]], least, most)
                if certain[v] >= 0:
                    clicked = np.float64(certain[v])
                gain = per_view[a] + per_click[a] * clicked
                if gain < floor[placement[v, s]] or gain <= worth[s, width - 1]:
                    continue
                k = 0  # the place that the ad takes the last row from: its owner's, if there is one
                while k < width - 1 and not (row[s, k] >= 0 and owner[row[s, k]] == owner[a]):
                    k += 1
                if gain <= worth[s, k]:
                    continue
                while k > 0 and gain > worth[s, k - 1]:
                    row[s, k], odds[s, k] = row[s, k - 1], odds[s, k - 1]
                    worth[s, k] = worth[s, k - 1]
                    k -= 1
                row[s, k], odds[s, k], worth[s, k] = a, clicked, gain
        most_worth = -1.0
        for number in range((width + 1) ** width):
            rest, total, apart = number, 0.0, True
            for s in range(width):
                choice[s] = rest % (width + 1)
                rest //= width + 1
                total += worth[s, choice[s]]
                for t in range(s):
                    one, other = row[s, choice[s]], row[t, choice[t]]
                    apart = apart and not (one >= 0 and other >= 0 and owner[one] == owner[other])
            if apart and total > most_worth:
                most_worth = total
                for s in range(width):
                    best[v, s], rate[v, s] = row[s, choice[s]], odds[s, choice[s]]
                    value[v, s] = worth[s, choice[s]]
