"""The exact scan: line items by promise, ads by what they could at most be worth."""

from __future__ import annotations

import numpy as np
from numba import njit

from retrieval.kernels.best import begin, dot, key_of, offer, reach, row_of, value_of
from retrieval.kernels.bits import (
    FINE,
    FULL,
    HEAD,
    HEADS,
    LINE,
    MIDDLE,
    ONE,
    SIX,
    SIXTY_THREE,
    SLACK,
    SPAN,
    STEPS,
    ZERO,
    dot16,
    lowest_bit,
)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def weigh(count, ads, work, groups, step):  # type: ignore[no-untyped-def]
    """Offer the rows that may still be wanted, each with its value to the last bit of its vector.

    A value is built up from the leading dimensions, then the others, then the fine digits; a row
    is let go as soon as what is missing, by Cauchy-Schwarz, cannot lift it to the floor.
    """
    # Bare arrays: each use of a tuple in a loop counts references to what is in it.
    rows, slots, known, query, near = work.rows, work.slots, work.known, work.query, ads.near
    head, rest, fine, kind = ads.head, ads.rest, ads.fine, ads.kind
    group_slots, floor, keys, fill, best = (
        work.group_slots, work.floor, work.keys, work.fill, work.best
    )  # fmt: skip
    kind_bias, whole, beyond = work.kind_bias, work.length[0], work.length[1]
    kept = ZERO
    for n in range(count):
        row = np.uint64(rows[n])
        value = near[row, 0] + kind_bias[kind[row]]
        value += near[row, 2] * (step * np.float32(dot16(head, row * HEADS, query, ZERO)))
        most = value + near[row, 4] * beyond + near[row, 5] * whole + SLACK
        least = floor[0] if groups == 1 else reach(slots[n], group_slots, floor, groups)
        rows[kept] = rows[n]
        slots[kept] = slots[n]
        known[kept] = value
        kept += np.uint64(most >= least)
    width = query.size
    for n in range(kept):
        row = np.uint64(rows[n])
        least = floor[0] if groups == 1 else reach(slots[n], group_slots, floor, groups)
        other = dot(rest, width - HEAD, row, 0, width - HEAD, query, HEAD)
        most = known[n] + near[row, 3] * (step * np.float32(other)) + near[row, 5] * whole + SLACK
        if most < least:
            continue
        digits = dot16(fine, row * np.uint64(width), query, ZERO)
        part = near[row, 2] * (step * (np.float32(digits) / FINE))
        digits = dot(fine, width, row, HEAD, width, query, HEAD)
        part += near[row, 3] * (step * (np.float32(other) + np.float32(digits) / FINE))
        value = known[n] + part
        key = key_of(value, rows[n])
        for g in range(groups):
            if slots[n] & group_slots[g] and value >= floor[g]:
                offer(key, g, keys, fill, floor, best)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def click_most(line, lines, middles, work, step):  # type: ignore[no-untyped-def]
    """The most that the request's vector can add to an ad of the line item.

    The product with the middle of its ads in the leading dimensions, plus by Cauchy-Schwarz what
    an ad may lie off the middle and what it has in the others.
    """
    middle = step * np.float32(dot16(middles, line * LINE + MIDDLE, work.query, ZERO))
    off = lines[line, 3] * work.length[2] + lines[line, 4] * work.length[1]
    return lines[line, 2] * middle + off + SLACK


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def survey(words, line_slots, unrestricted, ads, work, step, bias):  # type: ignore[no-untyped-def]
    """Count the ads that fit, and sort their line items by what the best of them could be worth.

    Gives (ads that may be shown, line items that hold them). Touches two bytes of an ad, so that
    the scan need not touch more of most. The order is that of steps of 1 / STEPS below the best
    line item of all, ties by number: good enough to find the best ads early.
    """
    start, kinds = ads.start, ads.kind
    kind_slots, all_slots, whole = work.kind_slots, work.group_slots[0], work.length[0]
    found, step_of, begins, promise = work.found, work.step_of, work.begins, work.promise
    line_items, middles = ads.line, ads.middle
    highest = max(ads.highest[0], ads.highest[1] + ads.highest[2] * whole + bias)
    begins[:] = 0
    eligible = 0
    lines = ZERO
    for w in range(words.size):
        word = words[w]
        while word:
            bit = lowest_bit(word)
            word &= word - ONE
            line = np.uint64(w * 64 + bit)
            open_slots = all_slots
            if not (unrestricted[w] >> np.uint64(bit)) & ONE:
                open_slots = line_slots[line]
            fitting = 0
            for row in range(np.uint64(start[line]), np.uint64(start[line + ONE])):
                slots = kind_slots[np.uint64(kinds[row])] & open_slots
                fitting += int(slots != 0)
            click = line_items[line, 1] + click_most(line, line_items, middles, work, step)
            most = max(line_items[line, 0], click + bias)
            promise[line] = most
            # Compared before it is an integer: the distance to a bid of nothing is no number.
            steps = (highest - most) * STEPS
            below = int(steps) if steps < np.float32(SPAN - 1) else SPAN - 1
            found[lines] = np.int32(line)
            step_of[lines] = np.int16(below)
            lines += np.uint64(fitting != 0)
            begins[below + 1] += int(fitting != 0)
            eligible += fitting
    for below in range(1, begins.size):
        begins[below] += begins[below - 1]
    for n in range(lines):
        below = step_of[n]
        work.order[begins[below]] = found[n]
        begins[below] += 1
    return eligible, lines


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def scan(words, line_slots, unrestricted, ads, work, groups, step, bias):  # type: ignore[no-untyped-def]
    """Visit the ads of the matched line items; gives how many may be shown.

    Best line items first: the floor is soon so high that most others are passed over whole. Rows
    are unsigned, and kept without a branch: the loop takes half the time of the plain one.
    """
    eligible, lines = survey(words, line_slots, unrestricted, ads, work, step, bias)
    count = ZERO
    whole = work.length[0]
    start, near, kinds, kind_bias = ads.start, ads.near, ads.kind, work.kind_bias
    rows, slots, kind_slots = work.rows, work.slots, work.kind_slots
    all_slots, order, promise = work.group_slots[0], work.order, work.promise
    group_slots, floor = work.group_slots, work.floor
    lowest = reach(all_slots, group_slots, floor, groups) - SLACK
    for n in range(lines):
        line = np.uint64(order[n])
        if promise[line] < lowest:
            continue
        open_slots = all_slots
        if not (unrestricted[line >> SIX] >> (line & SIXTY_THREE)) & ONE:
            open_slots = line_slots[line]
        for row in range(np.uint64(start[line]), np.uint64(start[line + ONE])):
            kind = np.uint64(kinds[row])
            fitting = kind_slots[kind] & open_slots
            rows[count] = np.int32(row)
            slots[count] = fitting
            most = near[row, 0] + near[row, 1] * whole + kind_bias[kind]
            count += np.uint64(fitting != 0) & np.uint64(most >= lowest)
            if count == FULL:
                weigh(count, ads, work, groups, step)
                lowest = reach(all_slots, group_slots, floor, groups) - SLACK
                count = ZERO
    weigh(count, ads, work, groups, step)
    return eligible


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def weigh_some(found, words, line_slots, ads, work, groups, step):  # type: ignore[no-untyped-def]
    """Offer those of the found rows (ascending) that may be shown; gives how many they are."""
    eligible = 0
    count = ZERO
    line_of, kind, kind_slots = ads.line_of, ads.kind, work.kind_slots
    rows, slots, all_slots = work.rows, work.slots, work.group_slots[0]
    for row in found:
        line = line_of[row]
        fitting = kind_slots[kind[row]] & (line_slots[line] if line_slots[line] else all_slots)
        matched = (words[line >> 6] >> np.uint64(line & 63)) & ONE
        may = matched & np.uint64(fitting != 0)
        rows[count] = row
        slots[count] = fitting
        count += may
        eligible += int(may)
        if count == FULL:
            weigh(count, ads, work, groups, step)
            count = ZERO
    weigh(count, ads, work, groups, step)
    return eligible


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def merge(work, groups, k):  # type: ignore[no-untyped-def]
    """Each group's best, and the best of all the others up to k; descending. Gives their number."""
    chosen = work.chosen
    wanted = 0
    for g in range(groups):
        keys, fill = work.keys[g], work.fill[g]
        if g:
            for n in range(fill):  # as in `copy_words`
                chosen[wanted + n] = keys[n]
            wanted += fill
    top = np.sort(work.keys[0, : min(work.fill[0], k)])
    if groups == 1:
        for n in range(top.size):
            chosen[n] = top[top.size - 1 - n]
        return top.size
    quota = np.unique(chosen[:wanted])
    spare = k - quota.size
    taken = 0
    q = quota.size - 1
    for t in range(top.size - 1, -1, -1):
        while q >= 0 and quota[q] > top[t]:
            chosen[taken] = quota[q]
            taken += 1
            q -= 1
        if q >= 0 and quota[q] == top[t]:
            q -= 1
        elif spare > 0:
            spare -= 1
        else:
            continue
        chosen[taken] = top[t]
        taken += 1
    while q >= 0:
        chosen[taken] = quota[q]
        taken += 1
        q -= 1
    return taken


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def write(line_slots, ads, work, groups, k, out_ad, out_value, out_slots):  # type: ignore[no-untyped-def]
    """Write the best ads, best first; gives their number."""
    found = merge(work, groups, k)
    chosen, line, kind, kind_slots = work.chosen, ads.line_of, ads.kind, work.kind_slots
    all_slots = work.group_slots[0]
    for n in range(found):
        row = row_of(chosen[n])
        open_slots = line_slots[line[row]]
        out_ad[n] = row
        out_value[n] = value_of(chosen[n])
        out_slots[n] = kind_slots[kind[row]] & (open_slots if open_slots else all_slots)
    return found


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def retrieve(  # type: ignore[no-untyped-def]
    words, line_slots, unrestricted, ads, work, ask, k, out_ad, out_value, out_slots
):
    """The best k ads of the matched line items, best first; gives (found, eligible)."""
    groups, step = begin(ads, work, ask, k)
    eligible = scan(words, line_slots, unrestricted, ads, work, groups, step, np.float32(ask.bias))
    return write(line_slots, ads, work, groups, k, out_ad, out_value, out_slots), eligible


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def retrieve_some(  # type: ignore[no-untyped-def]
    found, words, line_slots, ads, work, ask, k, out_ad, out_value, out_slots
):
    """The best k of the found rows that may be shown, best first; gives their number."""
    groups, step = begin(ads, work, ask, k)
    weigh_some(found, words, line_slots, ads, work, groups, step)
    return write(line_slots, ads, work, groups, k, out_ad, out_value, out_slots)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def count_eligible(words, line_slots, unrestricted, ads, work, ask):  # type: ignore[no-untyped-def]
    """Ads of the matched line items that may be shown, and whether all slots accept the same."""
    groups, step = begin(ads, work, ask, np.int64(work.floor.size))
    eligible, _ = survey(words, line_slots, unrestricted, ads, work, step, np.float32(ask.bias))
    return eligible, groups == 1
