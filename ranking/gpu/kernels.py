"""The GPU path's kernels, in the Triton language; on CPU tensors its interpreter runs them.

One kernel goes from ad ids to log-odds: nothing between leaves the chip. Its arithmetic is the
CPU path's: `ranking.gpu.network` says how unsigned activations fit signed tensor cores.
"""

from __future__ import annotations

import triton
import triton.language as tl

# 1.5 * 2^23. Between 2^23 and 2^24 floats are whole numbers: adding this rounds a small number to
# the nearest, halves to even, as ONNX Runtime does, and leaves it in the lowest bits.
ROUNDER = tl.constexpr(12582912.0)


@triton.jit
def request_halves(
    header,
    vector,  # f32 [B, D + 1] the request tower's output, its bias last
    weight,  # f32 [D, H]
    bias,  # f32 [H]
    half,  # f32 [B, H] out
    inverse,  # 1 / step of the activations
    lowest,
    D: tl.constexpr,
    H: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """First layer of each request, in steps of the codes: once a request, not once an ad."""
    requests = tl.load(header + 1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inner = tl.arange(0, D)
    there = row < requests
    x = tl.load(vector + row[:, None] * (D + 1) + inner[None, :], mask=there[:, None], other=0.0)
    w = tl.load(weight + inner[:, None] * H + column[None, :])
    y = tl.dot(x, w, input_precision="ieee")
    y = (y + tl.load(bias + column)[None, :]) * inverse + lowest
    tl.store(half + row[:, None] * H + column[None, :], y, mask=there[:, None])


@triton.jit
def rounded(x, LOWEST: tl.constexpr):
    """x clipped to the codes' range and rounded, still in the bits of a float near `ROUNDER`."""
    return tl.minimum(tl.maximum(x, LOWEST * 1.0), 127.0) + ROUNDER


@triton.jit
def codes(x, LOWEST: tl.constexpr):
    """x as codes: int8."""
    return rounded(x, LOWEST).to(tl.int32, bitcast=True).to(tl.int8)


@triton.jit
def entered(total, own, first, step, weight, LOWEST: tl.constexpr):
    """[R, S] `total` and what a part of the first layer adds to the second layer's sums.

    A part at a time, as the whole would not fit the registers: `own` f32 [P] of the request,
    `first` i8 [R, P] and `step` f32 [R] of the ads, `weight` i8 [P, S].
    """
    x = own[None, :] + first.to(tl.float32) * step[:, None]
    return tl.dot(codes(x, LOWEST), weight, acc=total, out_dtype=tl.int32)


@triton.jit
def stepped(total, correction, multiplier, LOWEST: tl.constexpr):
    """[R, N] a layer's sums in steps of the next one's codes, not yet rounded."""
    return (total + correction[None, :]).to(tl.float32) * multiplier[None, :] + LOWEST


@triton.jit
def behind(
    total, w3, correction, multiplier, last, S: tl.constexpr, T: tl.constexpr, LOWEST: tl.constexpr
):
    """f32 [R] log-odds that the network gives to the second layer's sums [R, S].

    The columns' constants are read where they are used: kept, they would fill the registers.
    """
    s, t = tl.arange(0, S), tl.arange(0, T)
    second = stepped(total, tl.load(correction + s), tl.load(multiplier + s), LOWEST)
    total = tl.dot(codes(second, LOWEST), w3, out_dtype=tl.int32)
    third = stepped(total, tl.load(correction + S + t), tl.load(multiplier + S + t), LOWEST)
    third = rounded(third, LOWEST) - ROUNDER
    # whole numbers below 2^24: floats add them without loss
    whole = tl.sum(third * tl.load(last + t)[None, :], axis=1) + tl.load(last + T)
    return whole * tl.load(last + T + 1)


@triton.jit
def calibrated(odds, curve, KNOTS: tl.constexpr):
    """i32 [R] click rates of log-odds in whole millionths: `ranking.kernels.calibrate_ppm`.

    `curve` f64: the first knot's log-odds, the step, the rates at the knots. Evenly spaced knots
    are found by a division, where others would need a search.
    """
    at = (odds.to(tl.float64) - tl.load(curve)) / tl.load(curve + 1)
    at = tl.minimum(tl.maximum(at, 0.0), (KNOTS - 1) * 1.0)
    knot = tl.minimum(at.to(tl.int32), KNOTS - 2)
    low, high = tl.load(curve + 2 + knot), tl.load(curve + 3 + knot)
    rate = low + (at - knot.to(tl.float64)) * (high - low)
    ppm = (rate * 1e6 + 0.5).to(tl.int32)
    return tl.minimum(tl.maximum(ppm, 1), 999999)


@triton.jit
def fetched(
    tile, header, tile_request, tile_first, offset, ad, code, number,
    D: tl.constexpr, H: tl.constexpr, STRIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A tile's request and rows, which of them there are, and its ads' records in registers.

    The first layer comes in four parts.
    """
    request = tl.load(tile_request + tile)
    row = tl.load(tile_first + tile) + tl.arange(0, BLOCK)
    there = row < tl.load(offset + request + 1)
    asked = tl.load(ad + row, mask=there, other=0)
    known = (asked >= 0) & (asked < tl.load(header + 3))
    record = tl.where(known, asked, 0).to(tl.int64) * STRIDE
    P: tl.constexpr = H // 4
    place = code + record[:, None] + tl.arange(0, P)[None, :]
    f0, f1, f2, f3 = (
        tl.load(place),
        tl.load(place + P),
        tl.load(place + 2 * P),
        tl.load(place + 3 * P),
    )
    vector = tl.load(code + record[:, None] + H + tl.arange(0, D)[None, :])
    numbers = number + record // 4 + (H + D) // 4
    step, scale, bias = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    return request, row, there, known, f0, f1, f2, f3, vector, step, scale, bias


@triton.jit
def score_tiles(
    header,  # i32: tiles, requests, rows, ads
    tile_request,  # i32 [tiles]
    tile_first,  # i32 [tiles] its first row
    offset,  # i32 [B + 1]
    ad,  # i32 [R]
    vector,  # f32 [B, D + 1]
    added,  # f32 [R] log-odds from elsewhere, before calibration; read where ADDED
    half,  # f32 [B, H] of `request_halves`
    code,  # i8 [ads, STRIDE] an ad's record: H codes, D codes, three numbers
    number,  # f32 [ads, STRIDE / 4] the same memory
    weight2,  # i8 [S, H]: transposed, as the tensor cores read it
    weight3,  # i8 [T, S]
    correction,  # i32 [S + T]
    multiplier,  # f32 [S + T]
    last,  # f32 [T + 2] the last layer's weights, correction, multiplier
    curve,  # f64 [2 + KNOTS]
    logit,  # f32 [R] out
    ppm,  # i32 [R] out where CALIBRATED
    D: tl.constexpr,
    H: tl.constexpr,
    S: tl.constexpr,
    T: tl.constexpr,
    STRIDE: tl.constexpr,
    KNOTS: tl.constexpr,
    LOWEST: tl.constexpr,
    ADDED: tl.constexpr,
    CALIBRATED: tl.constexpr,
    BLOCK: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """Log-odds of every pair, tile by tile; a tile is up to BLOCK pairs of one request.

    A program takes every so many-th tile, and keeps the weights meanwhile. A row whose ad is not
    in the table gets NaN, and no memory outside it is read.
    """
    P: tl.constexpr = H // 4
    p, d, s, t = tl.arange(0, P), tl.arange(0, D), tl.arange(0, S), tl.arange(0, T)
    place = weight2 + s[None, :] * H + p[:, None]
    w20, w21, w22, w23 = (
        tl.load(place),
        tl.load(place + P),
        tl.load(place + 2 * P),
        tl.load(place + 3 * P),
    )
    w3 = tl.load(weight3 + t[None, :] * S + s[:, None])
    tiles, programs = tl.load(header), tl.num_programs(0)
    if AHEAD:
        request, row, there, known, f0, f1, f2, f3, theirs, step, scale, bias = fetched(
            tl.minimum(tl.program_id(0), tiles - 1), header, tile_request, tile_first, offset, ad,
            code, number, D, H, STRIDE, BLOCK,
        )  # fmt: skip
    # the compiler's own pipelining fails here (3.7), so that the next tile is fetched by hand
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=1):
        if AHEAD:
            coming = fetched(
                tl.minimum(tile + programs, tiles - 1), header, tile_request, tile_first, offset,
                ad, code, number, D, H, STRIDE, BLOCK,
            )  # fmt: skip
        else:
            request, row, there, known, f0, f1, f2, f3, theirs, step, scale, bias = fetched(
                tile, header, tile_request, tile_first, offset, ad,
                code, number, D, H, STRIDE, BLOCK,
            )  # fmt: skip
        own = half + request * H + p
        total = tl.zeros((BLOCK, S), tl.int32)
        total = entered(total, tl.load(own), f0, step, w20, LOWEST)
        total = entered(total, tl.load(own + P), f1, step, w21, LOWEST)
        total = entered(total, tl.load(own + 2 * P), f2, step, w22, LOWEST)
        total = entered(total, tl.load(own + 3 * P), f3, step, w23, LOWEST)
        out = behind(total, w3, correction, multiplier, last, S, T, LOWEST)
        own_vector = tl.load(vector + request * (D + 1) + d)[None, :]
        dot = tl.sum(own_vector * theirs.to(tl.float32), axis=1)
        out += dot * scale + tl.load(vector + request * (D + 1) + D) + bias
        out = tl.where(known, out, float("nan"))
        tl.store(logit + row, out, mask=there)
        if CALIBRATED:
            odds = out
            if ADDED:
                odds += tl.load(added + row, mask=there, other=0.0)
            tl.store(ppm + row, calibrated(odds, curve, KNOTS), mask=there)
        if AHEAD:
            request, row, there, known, f0, f1, f2, f3, theirs, step, scale, bias = coming
