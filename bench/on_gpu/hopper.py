"""Kernels as the Triton language's own assembler makes them for an H100, which needs none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TARGET: Final = GPUTarget("cuda", 90, 32)


def built(
    kernel: Any, types: Mapping[str, str], constants: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:
    """The kernel with these constants; `types` of its other arguments by name, i32 columns where
    none is said. Columns are aligned to 16 bytes, as torch allocates them."""
    kinds = {
        name: "constexpr" if name in constants else types.get(name, "*i32")
        for name in kernel.arg_names
    }
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    columns = [n for n, kind in enumerate(kinds.values()) if kind[0] == "*"]
    aligned = {(n,): [["tt.divisibility", 16]] for n in columns}
    source = ASTSource(kernel, kinds, places, aligned)
    return triton.compile(source, target=TARGET, options=dict(options))


def counted(made: Any) -> dict[str, int]:
    """Instructions of the tensor cores, and bytes of memory on the chip."""
    ptx = made.asm["ptx"]
    return {
        "wgmma": ptx.count("wgmma.mma_async"),
        "mma": ptx.count("mma.sync"),
        "shared_bytes": made.metadata.shared,
    }
