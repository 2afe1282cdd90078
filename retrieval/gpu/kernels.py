"""The stages of a selection in the Triton language; `reference` holds the same in plain torch.

Sums of products are of whole numbers, and the few float32 operations stand in the planner's order
and are not fused (`launch` sees to that): a value has the same bits here and there.
"""

from __future__ import annotations

import triton
import triton.language as tl

LEAST = tl.constexpr(-(2**31))
HEAD = tl.constexpr(16)
FINE = tl.constexpr(254.0)
DIMENSIONS = tl.constexpr(12)
START = tl.constexpr(0)
TERM = tl.constexpr(13)
BLOCKED = tl.constexpr(77)
BLOCKS = tl.constexpr(109)
PLACEMENT = tl.constexpr(110)
SLOTS = tl.constexpr(130)
ATTRIBUTE = tl.constexpr(131)
SECURE = tl.constexpr(151)
SIZE = tl.constexpr(152)
# Kernels may read no ordinary globals: a test holds these to those of `asks`.

WORDS = tl.constexpr(32)
"""Of a page."""
ROUND = tl.constexpr(12582912.0)
"""1.5 · 2^23: added and taken away, rounds a small float32 to the nearest whole, ties even."""


@triton.jit
def set_words(page, chunk, number, word, pages):
    """Some words of a set of line items; number -1 is the empty set."""
    there = tl.maximum(number, 0) * pages + word // WORDS
    which = tl.where(number >= 0, tl.load(page + there), 0)
    return tl.load(chunk + which * WORDS + word % WORDS)


@triton.jit
def match(
    ask, width, page, chunk, include, exclude, open_, unrestricted, running, out, pages,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of words of the line items that may answer one request."""
    ask += tl.program_id(0) * width
    word = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    word = tl.minimum(word, pages * WORDS - 1)
    matched = tl.load(running + word)
    for dimension in range(DIMENSIONS):
        begin = tl.load(ask + START + dimension)
        end = tl.load(ask + START + dimension + 1)
        allowed = tl.load(open_ + dimension * pages * WORDS + word)
        refused = tl.zeros((BLOCK,), tl.int32)
        for n in range(begin, end):
            term = tl.load(ask + TERM + n)
            allowed |= set_words(page, chunk, tl.load(include + term), word, pages)
            refused |= set_words(page, chunk, tl.load(exclude + term), word, pages)
        matched &= allowed & ~refused
    for n in range(tl.load(ask + BLOCKS)):
        term = tl.load(ask + BLOCKED + n)
        matched &= ~set_words(page, chunk, tl.load(include + term), word, pages)
    placed = tl.load(unrestricted + word)
    for slot in range(tl.load(ask + SLOTS)):
        term = tl.load(ask + PLACEMENT + slot)
        number = tl.where(term >= 0, tl.load(include + tl.maximum(term, 0)), -1)
        placed |= set_words(page, chunk, number, word, pages)
    tl.store(out + tl.program_id(0) * pages * WORDS + word, matched & placed)


@triton.jit
def fit(ask, width, size, attributes, secure, out, kinds, BLOCK: tl.constexpr):
    """Slots that accept each kind of ad; none for the kind of paused ads, the last."""
    ask += tl.program_id(0) * width
    kind = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = kind < kinds
    slots = tl.load(ask + SIZE + tl.load(size + kind, there, 0))
    insecure = tl.load(secure + kind, there, 0) == 0
    slots = tl.where(insecure, slots & ~tl.load(ask + SECURE), slots)
    own = tl.load(attributes + kind, there, 0)
    for slot in range(tl.load(ask + SLOTS)):
        refused = (own & tl.load(ask + ATTRIBUTE + slot)) != 0
        slots = tl.where(refused, slots & ~(1 << slot), slots)
    tl.store(out + tl.program_id(0) * (kinds + 1) + kind, tl.where(there, slots, 0), kind <= kinds)


@triton.jit
def bit_of(words, line):
    return (tl.load(words + line // 32) >> (line % 32)) & 1


@triton.jit
def fitting(ask, matched, accepted, page, chunk, include, unrestricted, line_of, kind, ad, pages):
    """Slots that each of some ads may fill; 0 for one that the request may not see."""
    line = tl.load(line_of + ad)
    slots = tl.load(accepted + tl.load(kind + ad))
    slots = tl.where(bit_of(matched, line) != 0, slots, 0)
    count = tl.load(ask + SLOTS)
    if count > 1:  # with one slot, a line item that matched may fill it
        opened = tl.where(bit_of(unrestricted, line) != 0, -1, 0)
        for slot in range(count):
            term = tl.load(ask + PLACEMENT + slot)
            number = tl.where(term >= 0, tl.load(include + tl.maximum(term, 0)), -1)
            word = set_words(page, chunk, number, line // 32, pages)
            opened |= ((word >> (line % 32)) & 1) << slot
        slots &= opened
    return slots


@triton.jit
def admit(
    ask, width, request, mask, tier, matched, accepted, kinds, turn,
    page, chunk, include, unrestricted, line_of, kind, out, count, room, pages,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Which of a block of ads a row may show, as bits; adds their number to the row's."""
    row = tl.program_id(0)
    asker = tl.load(request + row)
    matched += asker * pages * WORDS
    ad = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    slots = fitting(
        ask + asker * width, matched, accepted + asker * (kinds + 1),
        page, chunk, include, unrestricted, line_of, kind, ad, pages,
    )  # fmt: skip
    may = (slots & tl.load(mask + row)) != 0
    line = tl.load(line_of + ad)
    last = tl.where(bit_of(turn + pages * WORDS, line) != 0, 2, 0)
    may &= tl.where(bit_of(turn, line) != 0, 1, last) == tl.load(tier + row)
    bits = may.to(tl.int32) << (ad % 32)
    words = tl.sum(tl.reshape(bits, (BLOCK // 32, 32)), axis=1)
    word = tl.program_id(1) * (BLOCK // 32) + tl.arange(0, BLOCK // 32)
    tl.store(out + row * (room // 32) + word, words)
    tl.atomic_add(count + row, tl.sum(may.to(tl.int32)))


@triton.jit
def turn(vector, dimensions, rotation, digits, step, D: tl.constexpr):
    """One request's vector on the ads' axes, in 16-bit steps, each as two signed bytes.

    A step is 256 · high + low + 128. Leading dimensions and the others stand apart, zeros
    elsewhere: [high, low] of the head, [high, low] of the rest.
    """
    own = tl.program_id(0)
    d = tl.arange(0, D)
    turned = tl.zeros((D,), tl.float32)
    for n in range(dimensions):
        component = tl.load(vector + own * (dimensions + 1) + n)
        turned += component * tl.load(rotation + n * D + d)
    size = tl.maximum(tl.div_rn(tl.max(tl.abs(turned)), 32767.0), 1e-30)
    whole = ((tl.div_rn(turned, size) + ROUND) - ROUND).to(tl.int32)
    high, low = whole >> 8, (whole & 255) - 128
    digits += own * 4 * D + d
    tl.store(digits, tl.where(d < HEAD, high, 0).to(tl.int8))
    tl.store(digits + D, tl.where(d < HEAD, low, 0).to(tl.int8))
    tl.store(digits + 2 * D, tl.where(d < HEAD, 0, high).to(tl.int8))
    tl.store(digits + 3 * D, tl.where(d < HEAD, 0, low).to(tl.int8))
    tl.store(step + own, size)


@triton.jit
def products(query, rows, total):
    """Exact inner products i32[BR, BN] of 16-bit steps and a tile of digits, on tensor cores."""
    high = tl.dot(tl.load(query), rows, out_dtype=tl.int32)
    low = tl.dot(tl.load(query + rows.shape[0]), rows, out_dtype=tl.int32)
    return (high * 256 + low + (total * 128)[None, :]).to(tl.float32)


@triton.jit
def weigh(
    coarse, fine, fact, base, click, bits, request, vector, dimensions, digits, step,
    keys, best, rows, room,
    D: tl.constexpr, BR: tl.constexpr, BN: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The keys of a block of ads for a block of rows, and the greatest of each tile of ads.

    Keys of a block in which nothing is admitted are left as they were: no tile of it is chosen.
    """
    groups = tl.cdiv(rows, BR)  # side by side, so that the block's ads come from near memory
    row = tl.program_id(0) % groups * BR + tl.arange(0, BR)
    there = row < rows
    at = row.to(tl.int64)
    block = tl.program_id(0) // groups
    ad = block * BN + tl.arange(0, BN)
    word = tl.load(bits + (at * (room // 32))[:, None] + (ad // 32)[None, :], there[:, None], 0)
    may = ((word >> (ad % 32)[None, :]) & 1) != 0
    tiles = block * (BN // TILE) + tl.arange(0, BN // TILE)
    best += (at * (room // TILE))[:, None] + tiles[None, :]
    if tl.max(tl.max(may.to(tl.int32), axis=1), axis=0) == 0:
        tl.store(best, tl.full((BR, BN // TILE), LEAST, tl.int32), there[:, None])
    else:
        asker = tl.load(request + row, there, 0)
        d = tl.arange(0, D)
        query = digits + (asker * 4 * D)[:, None] + d[None, :]
        size = tl.load(step + asker)[:, None]
        bias = tl.load(vector + asker * (dimensions + 1) + dimensions)[:, None]
        scale = tl.load(fact + ad)[None, :]
        other = tl.load(fact + room + ad)[None, :]
        value = tl.load(base + ad)[None, :] + tl.where(tl.load(click + ad)[None, :] != 0, bias, 0.0)
        leading = (d < HEAD)[None, :]

        rows_of = tl.load(coarse + ad[:, None] * D + d[None, :])
        wide = rows_of.to(tl.int32)
        turned = tl.trans(rows_of)
        head = products(query, turned, tl.sum(tl.where(leading, wide, 0), axis=1))
        rest = products(query + 2 * D, turned, tl.sum(tl.where(leading, 0, wide), axis=1))
        value += scale * (size * head)

        rows_of = tl.load(fine + ad[:, None] * D + d[None, :])
        wide = rows_of.to(tl.int32)
        turned = tl.trans(rows_of)
        digit = products(query, turned, tl.sum(tl.where(leading, wide, 0), axis=1))
        part = scale * (size * tl.div_rn(digit, FINE))
        digit = products(query + 2 * D, turned, tl.sum(tl.where(leading, 0, wide), axis=1))
        part += other * (size * (rest + tl.div_rn(digit, FINE)))
        value += part

        key = value.to(tl.int32, bitcast=True)
        key = tl.where(may, key ^ ((key >> 31) & 0x7FFFFFFF), LEAST)
        tl.store(keys + (at * room)[:, None] + ad[None, :], key, there[:, None])
        top = tl.max(tl.reshape(key, (BR, BN // TILE, TILE)), axis=2)
        tl.store(best, top, there[:, None])


@triton.jit
def key_at(keys, within, place, count, TILE: tl.constexpr):
    """The keys at some places of a row, LEAST past its end, and which ads they are.

    TILE 0: a row of `count` keys. Else a row of the ads of the tiles that `within` lists.
    """
    if TILE == 0:
        ad = place
        key = tl.load(keys + place, place < count, LEAST)
    else:
        tile = tl.load(within + place // TILE, place < count, -1)
        ad = tile * TILE + place % TILE
        key = tl.load(keys + ad, tile >= 0, LEAST)
    return key, ad


@triton.jit
def select(keys, width, within, k_within, count, out, k, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """The k greatest keys of a row, in the order of their places; of equal ones the first.

    A radix select from the highest byte down finds the least key that is wanted and how many of
    its equals are; one more pass writes. One program a row, so nothing depends on who is faster.
    """
    row = tl.program_id(0).to(tl.int64)
    keys += row * width
    within += row * k_within
    out += row * k
    lane = tl.arange(0, BLOCK)
    byte = tl.arange(0, 256)
    known = tl.zeros((), tl.uint32)
    wanted = tl.zeros((), tl.int32) + k
    for step in tl.static_range(4):
        seen = tl.zeros((256,), tl.int32)
        for start in range(0, count, BLOCK):
            key, _ = key_at(keys, within, start + lane, count, TILE)
            order = key.to(tl.uint32, bitcast=True) ^ 0x80000000
            alike = key != LEAST
            if step > 0:
                alike &= (order >> (32 - 8 * step)) == known
            digit = ((order >> (24 - 8 * step)) & 255).to(tl.int32)
            seen += tl.histogram(digit, 256, mask=alike)
        above = tl.sum(seen) - tl.cumsum(seen)
        chosen = tl.sum(tl.where((above < wanted) & (above + seen >= wanted), byte, 0))
        wanted -= tl.sum(tl.where(byte == chosen, above, 0))
        known = (known << 8) | chosen.to(tl.uint32)
    taken = tl.zeros((), tl.int32)
    equals = tl.zeros((), tl.int32)
    for start in range(0, count, BLOCK):
        key, ad = key_at(keys, within, start + lane, count, TILE)
        order = key.to(tl.uint32, bitcast=True) ^ 0x80000000
        alike = ((order == known) & (key != LEAST)).to(tl.int32)
        before = equals + tl.cumsum(alike) - alike
        take = (((order > known) & (key != LEAST)) | ((alike != 0) & (before < wanted))).to(
            tl.int32
        )
        place = taken + tl.cumsum(take) - take
        tl.store(out + place, ad, take != 0)
        taken += tl.sum(take)
        equals += tl.sum(alike)
    for start in range(0, k, BLOCK):
        place = start + lane
        tl.store(out + place, tl.full((BLOCK,), -1, tl.int32), (place >= taken) & (place < k))


@triton.jit
def slots_of(
    ask, width, matched, accepted, kinds, page, chunk, include, unrestricted, line_of, kind,
    ads, out, n, pages, BLOCK: tl.constexpr,
):  # fmt: skip
    """Slots that chosen ads (-1: none) may fill in their request."""
    own = tl.program_id(0)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    ad = tl.load(ads + own * n + place, place < n, -1)
    slots = fitting(
        ask + own * width, matched + own * pages * WORDS, accepted + own * (kinds + 1),
        page, chunk, include, unrestricted, line_of, kind, tl.maximum(ad, 0), pages,
    )  # fmt: skip
    tl.store(out + own * n + place, tl.where(ad >= 0, slots, 0), place < n)
