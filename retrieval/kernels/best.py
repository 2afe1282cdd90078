"""The best k of many: columns a scan reads, its scratch, and heaps of keys that order by value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from retrieval.kernels.bits import HEAD, bits_float, dot16, float_bits, lowest_bit

# A row and its value are one int64: the value's order in the high half, the row counted down in
# the low half, so that comparing keys compares values and breaks ties by the lower row.


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def key_of(value, row):  # type: ignore[no-untyped-def]
    bits = float_bits(np.float32(value))
    if bits < 0:
        bits ^= np.int32(0x7FFFFFFF)
    return (np.int64(bits) << np.int64(32)) | np.int64(0x7FFFFFFF - row)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def row_of(key):  # type: ignore[no-untyped-def]
    return np.int32(np.int64(0x7FFFFFFF) - (key & np.int64(0x7FFFFFFF)))


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def value_of(key):  # type: ignore[no-untyped-def]
    bits = np.int32(key >> np.int64(32))
    if bits < 0:
        bits ^= np.int32(0x7FFFFFFF)
    return bits_float(bits)


class Ads(NamedTuple):
    """What a scan reads of every ad and line item; the columns of Kinds, AdVectors and Standing."""

    start: NDArray[np.int32]
    line_of: NDArray[np.int32]
    kind: NDArray[np.integer]
    kind_size: NDArray[np.int16]
    kind_attributes: NDArray[np.uint32]
    kind_secure: NDArray[np.uint8]
    kind_click: NDArray[np.bool_]
    rotation: NDArray[np.float32]
    near: NDArray[np.float32]
    """[N, 6] of each ad, side by side: base, length of its vector, and the columns of
    `AdVectors.fact`."""
    head: NDArray[np.int8]
    rest: NDArray[np.int8]
    fine: NDArray[np.int8]
    highest: NDArray[np.float32]
    """[3] the greatest base by impression, the greatest by click, the longest vector."""
    line: NDArray[np.float32]
    """[L, 16] of each line item, in one cache line: greatest base by impression, greatest by
    click, size of a step of its middle, how far an ad lies off the middle, longest rest of one;
    in the last four its middle."""
    middle: NDArray[np.int8]
    """[L, 64] the same bytes; in the last HEAD the middle of its ads by click, in coarse steps."""


class Work(NamedTuple):
    """Scratch of one request, kept between requests."""

    kind_slots: NDArray[np.uint32]
    """[kinds] slots that the kind may fill."""
    kind_bias: NDArray[np.float32]
    """[kinds] what the request adds to its value."""
    query: NDArray[np.int16]
    length: NDArray[np.float32]
    """[3] length of the request's vector, of all but its leading dimensions, of these."""
    group_slots: NDArray[np.uint32]
    """[1 + MAX_SLOTS] all slots, then each group of slots that accept the same ads."""
    keys: NDArray[np.int64]
    """[1 + MAX_SLOTS, k] the best of all slots, then of each group: heaps, the worst first."""
    fill: NDArray[np.int32]
    floor: NDArray[np.float32]
    """What an ad must exceed to be among the best of a group."""
    best: NDArray[np.int32]
    """How many each group wants."""
    chosen: NDArray[np.int64]
    rows: NDArray[np.int32]
    slots: NDArray[np.uint32]
    known: NDArray[np.float32]
    found: NDArray[np.int32]
    """[L] line items that hold an ad that fits."""
    step_of: NDArray[np.int16]
    order: NDArray[np.int32]
    """[L] the same line items, the most promising first."""
    promise: NDArray[np.float32]
    """[L] the most that an ad of a surveyed line item can be worth."""
    begins: NDArray[np.int32]
    """[SPAN + 1] where in `order` the line items of each step begin."""


class Ask(NamedTuple):
    """What a scan takes from a query."""

    slots_by_size: NDArray[np.uint32]
    blocked_attribute: NDArray[np.uint32]
    secure: np.uint32
    placement: NDArray[np.int32]
    vector: NDArray[np.float32]
    bias: np.float32


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def fit(ads, work, ask):  # type: ignore[no-untyped-def]
    """Which slots each kind of ad may fill, and what the request adds to its value."""
    size, attributes, secure, click = (
        ads.kind_size, ads.kind_attributes, ads.kind_secure, ads.kind_click
    )  # fmt: skip
    slots_by_size, blocked, insecure = ask.slots_by_size, ask.blocked_attribute, ~ask.secure
    kind_slots, kind_bias, bias = work.kind_slots, work.kind_bias, ask.bias
    for kind in range(size.size):
        slots = slots_by_size[size[kind]]
        if not secure[kind]:
            slots &= insecure
        for s in range(blocked.size):
            if attributes[kind] & blocked[s]:
                slots &= ~np.uint32(1 << s)
        kind_slots[kind] = slots
        kind_bias[kind] = bias if click[kind] else np.float32(0)


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def same_slot(kind_slots, placement, a, b):  # type: ignore[no-untyped-def]
    if placement[a] != placement[b]:
        return False
    for slots in kind_slots:
        if (slots >> np.uint32(a)) & np.uint32(1) != (slots >> np.uint32(b)) & np.uint32(1):
            return False
    return True


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def gather_slots(work, placement, k):  # type: ignore[no-untyped-def]
    """Group the slots that accept the same ads; group 0 is all slots. Gives the number of groups.

    One group besides 0 would repeat it; more groups than candidates could not be served: then
    group 0 stands alone.
    """
    groups = 1
    group_slots, kind_slots = work.group_slots, work.kind_slots
    group_slots[0] = np.uint32((np.int64(1) << placement.size) - 1)
    for s in range(placement.size):
        found = 0
        for g in range(1, groups):
            first = lowest_bit(np.uint64(group_slots[g]))
            if same_slot(kind_slots, placement, s, first):
                found = g
                break
        if not found:
            found = groups
            group_slots[found] = np.uint32(0)
            groups += 1
        group_slots[found] |= np.uint32(1 << s)
    if groups == 2 or groups - 1 > k:
        return 1
    return groups


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def quantize_query(work, rotation, vector):  # type: ignore[no-untyped-def]
    """Turn the request's vector to the ads' axes, as int16; gives the step of its integers."""
    turned = np.zeros(rotation.shape[1], np.float32)
    for i in range(vector.size):
        for j in range(turned.size):
            turned[j] += vector[i] * rotation[i, j]
    step = max(np.abs(turned).max() / np.float32(32767), np.float32(1e-30))
    query = work.query
    whole = np.float32(0)
    rest = np.float32(0)
    for j in range(turned.size):
        query[j] = np.int16(np.rint(turned[j] / step))
        square = (np.float32(query[j]) * step) ** 2
        whole += square
        if j >= HEAD:
            rest += square
    work.length[0] = np.sqrt(whole)
    work.length[1] = np.sqrt(rest)
    work.length[2] = np.sqrt(whole - rest) * np.float32(1.0001)
    return step


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def begin(ads, work, ask, k):  # type: ignore[no-untyped-def]
    """Make the scratch ready for a request; gives its groups of slots and its vector's step."""
    fit(ads, work, ask)
    groups = gather_slots(work, ask.placement, k)
    step = quantize_query(work, ads.rotation, ask.vector)
    work.fill[:] = 0
    work.floor[:] = -np.inf
    work.best[0] = k
    work.best[1:] = k // max(1, groups - 1)
    return groups, step


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def dot(rows, width, row, start, stop, query, first):  # type: ignore[no-untyped-def]
    """Integer inner product of rows[row, start:stop] and query[first:], whole blocks of HEAD."""
    total = np.int32(0)
    at = row * np.uint64(width)
    for d in range(start, stop, HEAD):
        total += dot16(rows, at + np.uint64(d), query, np.uint64(first + d - start))
    return total


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def offer(key, group, keys, fill, floor, best):  # type: ignore[no-untyped-def]
    """Keep the key if it is among the best of its group: a heap, whose root is the worst kept."""
    heap, size = keys[group], fill[group]
    if size < best[group]:
        at = size
        while at > 0 and heap[(at - 1) >> 1] > key:
            heap[at] = heap[(at - 1) >> 1]
            at = (at - 1) >> 1
        heap[at] = key
        fill[group] = size + 1
    elif key > heap[0]:
        at, child = 0, 1
        while child < size:
            if child + 1 < size and heap[child + 1] < heap[child]:
                child += 1
            if heap[child] >= key:
                break
            heap[at] = heap[child]
            at, child = child, 2 * child + 1
        heap[at] = key
    if fill[group] == best[group]:
        floor[group] = value_of(heap[0])


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def reach(slots, group_slots, floor, groups):  # type: ignore[no-untyped-def]
    """The least value with which an ad that fits these slots can still be wanted."""
    least = floor[0]
    for g in range(1, groups):
        if slots & group_slots[g]:
            least = min(least, floor[g])
    return least
