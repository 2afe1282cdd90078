"""The loops that a request waits for, compiled.

Each kernel has a readable oracle: `scan.scan_plainly` for the scan, Python sets in the tests for
targeting. Arithmetic is strict IEEE (no fastmath): integer dot products and one fixed order of
float operations give the same values on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

HEAD = 16
"""Leading dimensions of a vector that are tried before the rest; one 128-bit load of int8."""
CHUNK = 512
"""Rows that travel together through the stages of a scan; their scratch stays in the L1 cache."""
SLACK = np.float32(1e-3)
"""Added to upper bounds: far above the rounding of a float32 sum of values below 100, far below
what separates the candidates worth scoring from the rest."""

FINE = np.float32(254)
"""Fine digits to one coarse step of a vector."""

HEADS = np.uint64(HEAD)
FULL = np.uint64(CHUNK)
ONE = np.uint64(1)
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


@njit(cache=True, nogil=True)
def select(keys, fill, k):  # type: ignore[no-untyped-def]
    """Bring the k greatest of keys[:fill] to the front; gives the least of them. 0 < k <= fill."""
    low, high, last = 0, fill - 1, k - 1
    while low < high:
        middle = (low + high) >> 1
        a, b, c = keys[low], keys[middle], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if last <= j:
            high = j
        elif last >= i:
            low = i
        else:
            break
    return keys[last]


# --- the exact scan ----------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def fit(  # type: ignore[no-untyped-def]
    kind_slots, kind_bias, kind_size, kind_attributes, kind_secure, kind_click,
    slots_by_size, blocked_attribute, secure, bias,
):  # fmt: skip
    """Which slots each kind of ad may fill, and what the request adds to its value."""
    for kind in range(kind_size.size):
        slots = slots_by_size[kind_size[kind]]
        if not kind_secure[kind]:
            slots &= ~secure
        for s in range(blocked_attribute.size):
            if kind_attributes[kind] & blocked_attribute[s]:
                slots &= ~np.uint32(1 << s)
        kind_slots[kind] = slots
        kind_bias[kind] = bias if kind_click[kind] else np.float32(0)


@njit(cache=True, nogil=True)
def same_slot(kind_slots, placement, a, b):  # type: ignore[no-untyped-def]
    if placement[a] != placement[b]:
        return False
    for slots in kind_slots:
        if (slots >> np.uint32(a)) & np.uint32(1) != (slots >> np.uint32(b)) & np.uint32(1):
            return False
    return True


@njit(cache=True, nogil=True)
def group(group_slots, kind_slots, placement):  # type: ignore[no-untyped-def]
    """Gather slots that accept the same ads; group 0 is all slots. Gives the number of groups."""
    groups = 1
    group_slots[0] = np.uint32((np.int64(1) << placement.size) - 1)
    for s in range(placement.size):
        found = 0
        for g in range(1, groups):
            if same_slot(kind_slots, placement, s, lowest_bit(np.uint64(group_slots[g]))):
                found = g
                break
        if found:
            group_slots[found] |= np.uint32(1 << s)
        else:
            group_slots[groups] = np.uint32(1 << s)
            groups += 1
    return groups


@njit(cache=True, nogil=True)
def quantize_query(quantized, length, rotation, vector):  # type: ignore[no-untyped-def]
    """Turn a request's vector into the ads' axes, as int16; gives the step of its integers.

    `length` gets the length of the whole vector and of all but its leading dimensions.
    """
    turned = np.zeros(rotation.shape[1], np.float32)
    for i in range(vector.size):
        for j in range(turned.size):
            turned[j] += vector[i] * rotation[i, j]
    step = max(np.abs(turned).max() / np.float32(32767), np.float32(1e-30))
    whole = np.float32(0)
    rest = np.float32(0)
    for j in range(turned.size):
        quantized[j] = np.int16(np.rint(turned[j] / step))
        square = (np.float32(quantized[j]) * step) ** 2
        whole += square
        if j >= HEAD:
            rest += square
    length[0] = np.sqrt(whole)
    length[1] = np.sqrt(rest)
    return step


@njit(cache=True, nogil=True)
def dot(rows, width, row, start, stop, query, first):  # type: ignore[no-untyped-def]
    """Integer inner product of rows[row, start:stop] and query[first:], whole blocks of HEAD."""
    total = np.int32(0)
    at = np.uint64(row) * np.uint64(width)
    for d in range(start, stop, HEAD):
        total += dot16(rows, at + np.uint64(d), query, np.uint64(first + d - start))
    return total


@njit(cache=True, nogil=True)
def offer(key, group, keys, fill, floor, best):  # type: ignore[no-untyped-def]
    """Add a key to one group's buffer; when it is full, keep the best and raise the floor."""
    keys[group, fill[group]] = key
    fill[group] += 1
    if fill[group] == 2 * best[group]:
        floor[group] = value_of(select(keys[group], fill[group], best[group]))
        fill[group] = best[group]


@njit(cache=True, nogil=True)
def reach(slots, group_slots, groups, floor):  # type: ignore[no-untyped-def]
    """The least value with which an ad that fits these slots can still be wanted."""
    least = floor[0]
    for g in range(1, groups):
        if slots & group_slots[g]:
            least = min(least, floor[g])
    return least


@njit(cache=True, nogil=True)
def raise_need(kind_need, kind_slots, kind_bias, group_slots, groups, floor):  # type: ignore[no-untyped-def]
    """What base and vector of each kind of ad must come to, for it to be wanted by any group."""
    for kind in range(kind_need.size):
        least = reach(kind_slots[kind], group_slots, groups, floor)
        kind_need[kind] = least - kind_bias[kind] - SLACK


@njit(cache=True, nogil=True)
def weigh(  # type: ignore[no-untyped-def]
    count, rows, slots, known, base, kind, kind_bias, head, rest, fine, fact, query, step, length,
    group_slots, groups, keys, fill, floor, best,
):  # fmt: skip
    """Offer the rows that may still be wanted, each with its value to the last bit of its vector.

    A value is built up from the leading dimensions, then the others, then the fine digits; a row
    is let go as soon as what is missing, by Cauchy-Schwarz, cannot lift it to the floor.
    """
    kept = 0
    for n in range(count):
        row = np.uint64(rows[n])
        value = base[row] + kind_bias[kind[row]]
        value += fact[row, 0] * (step * np.float32(dot16(head, row * HEADS, query, ZERO)))
        most = value + fact[row, 2] * length[1] + fact[row, 3] * length[0] + SLACK
        least = floor[0] if groups == 1 else reach(slots[n], group_slots, groups, floor)
        rows[kept] = rows[n]
        slots[kept] = slots[n]
        known[kept] = value
        kept += most >= least
    width = query.size
    for n in range(kept):
        row = np.uint64(rows[n])
        least = floor[0] if groups == 1 else reach(slots[n], group_slots, groups, floor)
        other = dot(rest, width - HEAD, row, 0, width - HEAD, query, HEAD)
        most = known[n] + fact[row, 1] * (step * np.float32(other))
        if most + fact[row, 3] * length[0] + SLACK < least:
            continue
        digits = dot16(fine, row * np.uint64(width), query, ZERO)
        part = fact[row, 0] * (step * (np.float32(digits) / FINE))
        digits = dot(fine, width, row, HEAD, width, query, HEAD)
        part += fact[row, 1] * (step * (np.float32(other) + np.float32(digits) / FINE))
        value = known[n] + part
        key = key_of(value, rows[n])
        for g in range(groups):
            if slots[n] & group_slots[g] and value > floor[g]:
                offer(key, g, keys, fill, floor, best)


@njit(cache=True, nogil=True)
def merge(keys, fill, best, groups, k, chosen):  # type: ignore[no-untyped-def]
    """Each group's best, and the best of all the others up to k; descending. Gives their number."""
    wanted = 0
    for g in range(groups):
        if fill[g] > best[g]:
            select(keys[g], fill[g], best[g])
            fill[g] = best[g]
        if g:
            chosen[wanted : wanted + fill[g]] = keys[g, : fill[g]]
            wanted += fill[g]
    quota = np.unique(chosen[:wanted])
    top = np.sort(keys[0, : fill[0]])
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
def begin(fill, floor, best, groups, k):  # type: ignore[no-untyped-def]
    fill[:] = 0
    floor[:] = -np.inf
    best[0] = k
    best[1:] = k // max(1, groups - 1)


@njit(cache=True, nogil=True)
def scan(  # type: ignore[no-untyped-def]
    words, line_slots, unrestricted, ad_start, alive, base, norm,
    kind, kind_slots, kind_bias, kind_need, head, rest, fine, fact, query, step, length,
    group_slots, groups, keys, fill, floor, best, rows, slots, known,
):  # fmt: skip
    """Visit every ad of the matched line items; gives how many may be shown.

    An ad whose base and whole length of vector fall short is only counted. Rows are unsigned,
    and kept without a branch: the loop takes half the time of the plain one.
    """
    eligible = 0
    count = ZERO
    reaching = length[0]
    raise_need(kind_need, kind_slots, kind_bias, group_slots, groups, floor)
    for w in range(words.size):
        word = words[w]
        while word:
            bit = lowest_bit(word)
            word &= word - ONE
            line = np.uint64(w * 64 + bit)
            open_slots = group_slots[0]
            if not (unrestricted[w] >> np.uint64(bit)) & ONE:
                open_slots = line_slots[line]
            row = np.uint64(ad_start[line])
            end = np.uint64(ad_start[line + ONE])
            while row < end:
                k = np.uint64(kind[row])
                fitting = kind_slots[k] & open_slots
                may = np.uint64(fitting != 0) & np.uint64(alive[row] != 0)
                eligible += int(may)
                rows[count] = np.int32(row)
                slots[count] = fitting
                count += may & np.uint64(base[row] + norm[row] * reaching >= kind_need[k])
                row += ONE
                if count == FULL:
                    weigh(
                        count, rows, slots, known, base, kind, kind_bias, head, rest, fine, fact,
                        query, step, length, group_slots, groups, keys, fill, floor, best,
                    )  # fmt: skip
                    raise_need(kind_need, kind_slots, kind_bias, group_slots, groups, floor)
                    count = ZERO
    weigh(
        count, rows, slots, known, base, kind, kind_bias, head, rest, fine, fact,
        query, step, length, group_slots, groups, keys, fill, floor, best,
    )  # fmt: skip
    return eligible


@njit(cache=True, nogil=True)
def retrieve(  # type: ignore[no-untyped-def]
    words, line_slots, unrestricted, ad_start, line_of_ad, alive, base, norm,
    kind, kind_size, kind_attributes, kind_secure, kind_click, kind_slots, kind_bias, kind_need,
    slots_by_size, blocked_attribute, secure, placement, bias, vector,
    rotation, head, rest, fine, fact, k, keys, chosen, rows, slots, known,
    out_ad, out_value, out_slots,
):  # fmt: skip
    """The best k ads of the matched line items, best first; gives (found, eligible)."""
    fit(kind_slots, kind_bias, kind_size, kind_attributes, kind_secure, kind_click,
        slots_by_size, blocked_attribute, secure, bias)  # fmt: skip
    group_slots = np.zeros(33, np.uint32)
    groups = group(group_slots, kind_slots, placement)
    if groups == 2 or groups - 1 > k:
        groups = 1
    query = np.empty(rotation.shape[1], np.int16)
    length = np.empty(2, np.float32)
    step = quantize_query(query, length, rotation, vector)
    fill = np.empty(groups, np.int32)
    floor = np.empty(groups, np.float32)
    best = np.empty(groups, np.int32)
    begin(fill, floor, best, groups, k)
    eligible = scan(
        words, line_slots, unrestricted, ad_start, alive, base, norm,
        kind, kind_slots, kind_bias, kind_need, head, rest, fine, fact, query, step, length,
        group_slots, groups, keys, fill, floor, best, rows, slots, known,
    )  # fmt: skip
    found = merge(keys, fill, best, groups, k, chosen)
    for n in range(found):
        row = row_of(chosen[n])
        line = line_of_ad[row]
        open_slots = line_slots[line]
        out_ad[n] = row
        out_value[n] = value_of(chosen[n])
        out_slots[n] = kind_slots[kind[row]] & (open_slots if open_slots else group_slots[0])
    return found, eligible


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
