"""Constants of the scan, and the machine instructions that numba has no word for.

Arithmetic is strict IEEE (no fastmath): integer dot products and one fixed order of float
operations give the same values on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

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
