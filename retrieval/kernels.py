"""The loops that a request waits for, compiled.

Each kernel has a readable oracle: `scan.scan_plainly` for the scan, Python sets in the tests for
targeting. Arithmetic is strict IEEE (no fastmath): integer dot products and one fixed order of
float operations give the same values on any machine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

HEAD = 16
"""Leading dimensions of a vector that are tried before the rest; one 128-bit load of int8."""
CHUNK = 512
"""Rows that travel together through the stages of a scan; their scratch stays in the L1 cache."""
SLACK = np.float32(1e-3)
"""Added to upper bounds: far above the rounding of a float32 sum of values below 100, far below
what separates the candidates worth scoring from the rest."""

ROUNDED = np.float32(1.0001)
"""Makes a length computed in float32 an upper bound."""
FINE = np.float32(254)
"""Fine digits to one coarse step of a vector."""

HEADS = np.uint64(HEAD)
LINE = np.uint64(64)
MIDDLE = np.uint64(64 - HEAD)
"""Bytes of a line item's record, and where in it the middle of its ads begins."""
FULL = np.uint64(CHUNK)
ONE = np.uint64(1)
SIX = np.uint64(6)
SIXTY_THREE = np.uint64(63)
STEPS = np.float32(16)
"""Line items are ordered by sixteenths of a log unit of value, over SPAN such steps."""
SPAN = 256
ZERO = np.uint64(0)


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Number of the lowest set bit of a uint64 that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def float_bits(typing: Any, value: Any) -> Any:
    """The bits of a float32 as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def bits_float(typing: Any, bits: Any) -> Any:
    """The float32 that has these bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def dot16(typing: Any, rows: Any, at: Any, query: Any, start: Any) -> Any:
    """Sum of 16 products of int8 rows.flat[at:] and int16 query[start:], exactly, as int32.

    Written as vector instructions because the plain loop becomes 32-bit multiplications, five
    times slower. Pairs of int16 products are summed in one instruction where the machine has it.
    """

    def load(context: Any, builder: Any, kind: Any, array: Any, index: Any, bits: int) -> Any:
        data = context.make_array(kind)(context, builder, array).data
        vector = ir.VectorType(ir.IntType(bits), 16)
        pointer = builder.bitcast(builder.gep(data, [index]), vector.as_pointer())
        return builder.load(pointer, align=1)

    def pairs(builder: Any, vector: Any, odd: int) -> Any:
        numbers = [2 * n + odd for n in range(8)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 8), numbers)
        half = builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)
        return builder.sext(half, ir.VectorType(ir.IntType(32), 8))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        row = load(context, builder, kinds[0], arguments[0], arguments[1], 8)
        row = builder.sext(row, ir.VectorType(ir.IntType(16), 16))
        other = load(context, builder, kinds[2], arguments[2], arguments[3], 16)
        products = [
            builder.mul(pairs(builder, row, odd), pairs(builder, other, odd)) for odd in (0, 1)
        ]
        summed = builder.add(*products)
        function = ir.FunctionType(ir.IntType(32), [summed.type])
        reduce = cgutils.get_or_insert_function(
            builder.module, function, "llvm.vector.reduce.add.v8i32"
        )
        return builder.call(reduce, [summed])

    return types.int32(rows, types.uint64, query, types.uint64), generate


# --- targeting ---------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def add_set(words, number, dense_row, dense, sparse_start, sparse):  # type: ignore[no-untyped-def]
    """Set the bits of one posting."""
    row = dense_row[number]
    if row >= 0:
        for w in range(words.size):
            words[w] |= dense[row, w]
    for i in range(sparse_start[number], sparse_start[number + 1]):
        item = np.int64(sparse[i])
        words[item >> 6] |= ONE << np.uint64(item & 63)


@njit(cache=True, nogil=True)
def drop_set(words, number, dense_row, dense, sparse_start, sparse):  # type: ignore[no-untyped-def]
    """Clear the bits of one posting."""
    row = dense_row[number]
    if row >= 0:
        for w in range(words.size):
            words[w] &= ~dense[row, w]
    for i in range(sparse_start[number], sparse_start[number + 1]):
        item = np.int64(sparse[i])
        words[item >> 6] &= ~(ONE << np.uint64(item & 63))


@njit(cache=True, nogil=True)
def target(  # type: ignore[no-untyped-def]
    words,
    allowed,
    dimension,
    open_,
    include,
    exclude,
    dense_row,
    dense,
    sparse_start,
    sparse,
    terms,
):
    """Keep the line items whose targeting in one dimension the request meets."""
    allowed[:] = open_[dimension]
    for term in terms:
        if include[term] >= 0:
            add_set(allowed, include[term], dense_row, dense, sparse_start, sparse)
    for w in range(words.size):
        words[w] &= allowed[w]
    for term in terms:
        if exclude[term] >= 0:
            drop_set(words, exclude[term], dense_row, dense, sparse_start, sparse)


@njit(cache=True, nogil=True)
def place(line_slots, placed, include, sparse_start, sparse, slot_placement):  # type: ignore[no-untyped-def]
    """Set the slots of the line items that are tied to the placements of the request.

    The slots of the last request are cleared by walking its own placements, which `placed`
    remembers: a pass over every line item would cost more than the whole match.
    """
    for number in placed:
        if number >= 0:
            for i in range(sparse_start[include[number]], sparse_start[include[number] + 1]):
                line_slots[sparse[i]] = np.uint32(0)
    placed[:] = -1
    for slot in range(slot_placement.size):
        number = slot_placement[slot]
        placed[slot] = number
        if number >= 0:
            for i in range(sparse_start[include[number]], sparse_start[include[number] + 1]):
                line_slots[sparse[i]] |= np.uint32(1 << slot)


@njit(cache=True, nogil=True)
def match(  # type: ignore[no-untyped-def]
    words, line_slots, placed, allowed, live, open_, unrestricted, include, exclude,
    dense_row, dense, sparse_start, sparse, term, term_start, blocked, slot_placement,
):  # fmt: skip
    """Line items that may answer a request, as bits of `words`."""
    words[:] = live
    for d in range(open_.shape[0]):
        terms = term[term_start[d] : term_start[d + 1]]
        target(words, allowed, d, open_, include, exclude,
               dense_row, dense, sparse_start, sparse, terms)  # fmt: skip
    for number in blocked:
        drop_set(words, include[number], dense_row, dense, sparse_start, sparse)
    place(line_slots, placed, include, sparse_start, sparse, slot_placement)
    allowed[:] = unrestricted
    for number in slot_placement:
        if number >= 0:
            add_set(allowed, include[number], dense_row, dense, sparse_start, sparse)
    for w in range(words.size):
        words[w] &= allowed[w]


# --- the best k of many ------------------------------------------------------------------------
# A row and its value are one int64: the value's order in the high half, the row counted down in
# the low half, so that comparing keys compares values and breaks ties by the lower row.


@njit(cache=True, nogil=True)
def key_of(value, row):  # type: ignore[no-untyped-def]
    bits = float_bits(np.float32(value))
    if bits < 0:
        bits ^= np.int32(0x7FFFFFFF)
    return (np.int64(bits) << np.int64(32)) | np.int64(0x7FFFFFFF - row)


@njit(cache=True, nogil=True)
def row_of(key):  # type: ignore[no-untyped-def]
    return np.int32(np.int64(0x7FFFFFFF) - (key & np.int64(0x7FFFFFFF)))


@njit(cache=True, nogil=True)
def value_of(key):  # type: ignore[no-untyped-def]
    bits = np.int32(key >> np.int64(32))
    if bits < 0:
        bits ^= np.int32(0x7FFFFFFF)
    return bits_float(bits)


# --- the exact scan ----------------------------------------------------------------------------


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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def same_slot(kind_slots, placement, a, b):  # type: ignore[no-untyped-def]
    if placement[a] != placement[b]:
        return False
    for slots in kind_slots:
        if (slots >> np.uint32(a)) & np.uint32(1) != (slots >> np.uint32(b)) & np.uint32(1):
            return False
    return True


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def dot(rows, width, row, start, stop, query, first):  # type: ignore[no-untyped-def]
    """Integer inner product of rows[row, start:stop] and query[first:], whole blocks of HEAD."""
    total = np.int32(0)
    at = row * np.uint64(width)
    for d in range(start, stop, HEAD):
        total += dot16(rows, at + np.uint64(d), query, np.uint64(first + d - start))
    return total


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def reach(slots, group_slots, floor, groups):  # type: ignore[no-untyped-def]
    """The least value with which an ad that fits these slots can still be wanted."""
    least = floor[0]
    for g in range(1, groups):
        if slots & group_slots[g]:
            least = min(least, floor[g])
    return least


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def click_most(line, lines, middles, work, step):  # type: ignore[no-untyped-def]
    """The most that the request's vector can add to an ad of the line item.

    The product with the middle of its ads in the leading dimensions, plus by Cauchy-Schwarz what
    an ad may lie off the middle and what it has in the others.
    """
    middle = step * np.float32(dot16(middles, line * LINE + MIDDLE, work.query, ZERO))
    off = lines[line, 3] * work.length[2] + lines[line, 4] * work.length[1]
    return lines[line, 2] * middle + off + SLACK


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def merge(work, groups, k):  # type: ignore[no-untyped-def]
    """Each group's best, and the best of all the others up to k; descending. Gives their number."""
    chosen = work.chosen
    wanted = 0
    for g in range(groups):
        keys, fill = work.keys[g], work.fill[g]
        if g:
            chosen[wanted : wanted + fill] = keys[:fill]
            wanted += fill
    top = np.sort(work.keys[0, : min(work.fill[0], k)])
    if groups == 1:
        chosen[: top.size] = top[::-1]
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def retrieve(  # type: ignore[no-untyped-def]
    words, line_slots, unrestricted, ads, work, ask, k, out_ad, out_value, out_slots
):
    """The best k ads of the matched line items, best first; gives (found, eligible)."""
    groups, step = begin(ads, work, ask, k)
    eligible = scan(words, line_slots, unrestricted, ads, work, groups, step, np.float32(ask.bias))
    return write(line_slots, ads, work, groups, k, out_ad, out_value, out_slots), eligible


@njit(cache=True, nogil=True)
def retrieve_some(  # type: ignore[no-untyped-def]
    found, words, line_slots, ads, work, ask, k, out_ad, out_value, out_slots
):
    """The best k of the found rows that may be shown, best first; gives their number."""
    groups, step = begin(ads, work, ask, k)
    weigh_some(found, words, line_slots, ads, work, groups, step)
    return write(line_slots, ads, work, groups, k, out_ad, out_value, out_slots)


@njit(cache=True, nogil=True)
def count_eligible(words, line_slots, unrestricted, ads, work, ask):  # type: ignore[no-untyped-def]
    """Ads of the matched line items that may be shown, and whether all slots accept the same."""
    groups, step = begin(ads, work, ask, np.int64(work.floor.size))
    eligible, _ = survey(words, line_slots, unrestricted, ads, work, step, np.float32(ask.bias))
    return eligible, groups == 1


# --- what changes with the live part of the catalogue ------------------------------------------


@njit(cache=True, nogil=True)
def top_of_lines(lines, highest, start, alive, base, norm, click):  # type: ignore[no-untyped-def]
    """Greatest base of each line item's ads by impression and by click; the greatest of all."""
    highest[:2], highest[2] = -np.inf, 0
    for line in range(lines.shape[0]):
        lines[line, :2] = -np.inf
        for row in range(start[line], start[line + 1]):
            if alive[row]:
                column = 1 if click[row] else 0
                lines[line, column] = max(lines[line, column], base[row])
                highest[2] = max(highest[2], norm[row])
        highest[0] = max(highest[0], lines[line, 0])
        highest[1] = max(highest[1], lines[line, 1])


@njit(cache=True, nogil=True)
def middle_of_lines(lines, middles, start, head, fact, click):  # type: ignore[no-untyped-def]
    """The middle of each line item's ads by click and how far they lie off it; much alike."""
    middle = np.zeros(HEAD, np.float32)
    for line in range(lines.shape[0]):
        middle[:] = 0
        ads = 0
        for row in range(start[line], start[line + 1]):
            if click[row]:
                ads += 1
                for d in range(HEAD):
                    middle[d] += fact[row, 0] * np.float32(head[row, d])
        if ads:
            middle /= np.float32(ads)
        step = max(np.abs(middle).max() / np.float32(127), np.float32(1e-30))
        lines[line, 2] = step
        coarse = middles[line, 64 - HEAD :]
        for d in range(HEAD):
            coarse[d] = np.int8(np.rint(middle[d] / step))
        for row in range(start[line], start[line + 1]):
            if click[row]:
                off = np.float32(0)
                for d in range(HEAD):
                    ad = fact[row, 0] * np.float32(head[row, d])
                    off += (ad - step * np.float32(coarse[d])) ** 2
                # What the coarse steps of an ad leave out lies in all dimensions: count it twice.
                lines[line, 3] = max(lines[line, 3], np.sqrt(off) * ROUNDED + fact[row, 3])
                lines[line, 4] = max(lines[line, 4], fact[row, 2] * ROUNDED + fact[row, 3])


# --- the funnel --------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def count_misfits(  # type: ignore[no-untyped-def]
    counts, all_slots, line_slots, unrestricted, refused, mistargeted, live, ad_start, alive,
    kind, accepted, taken_secure, taken, codes,
):  # fmt: skip
    """Count each ad under the code of the first rule that it fails.

    `codes`: of size, secure, attributes, placement, paused; `refused` and `mistargeted` hold
    their own.
    """
    for line in range(refused.size):
        bit = np.uint64(line & 63)
        open_slots = all_slots
        if not (unrestricted[line >> 6] >> bit) & ONE:
            open_slots = line_slots[line]
        running = (live[line >> 6] >> bit) & ONE
        for row in range(ad_start[line], ad_start[line + 1]):
            k = kind[row]
            if not accepted[k]:
                counts[codes[0]] += 1
            elif not taken_secure[k]:
                counts[codes[1]] += 1
            elif refused[line]:
                counts[refused[line]] += 1
            elif not taken[k]:
                counts[codes[2]] += 1
            elif mistargeted[line]:
                counts[mistargeted[line]] += 1
            elif not taken[k] & open_slots:
                counts[codes[3]] += 1
            elif not (running and alive[row]):
                counts[codes[4]] += 1
