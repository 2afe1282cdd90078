"""What the selector's kernels become on an H100, without one: one JSON line per kernel.

    python -m bench.on_gpu.compiled

Compiled by Triton's own assembler for sm_90. Counted are the tensor cores' instructions, and fused
multiply-adds of floats, of which there must be none: they would round otherwise than the planner.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from bench.on_gpu import hopper
from retrieval.gpu import kernels
from retrieval.gpu.launch import EXACT

TYPES: Final = {
    **dict.fromkeys(("coarse", "fine", "click", "digits"), "*i8"),
    **dict.fromkeys(("fact", "base", "vector", "rotation", "step"), "*fp32"),
    **dict.fromkeys(("width", "pages", "kinds", "room", "dimensions", "rows", "n"), "i32"),
    **dict.fromkeys(("k_within", "k"), "i32"),
}
"""Of kernels' arguments by their names; the others are i32 columns."""
SHAPES: Final[tuple[tuple[str, dict[str, int]], ...]] = (
    ("match", {"BLOCK": 256}),
    ("fit", {"BLOCK": 256}),
    ("admit", {"BLOCK": 1024}),
    ("turn", {"D": 64}),
    ("weigh", {"D": 64, "BR": 16, "BN": 128, "TILE": 16}),
    ("weigh", {"D": 64, "BR": 32, "BN": 128, "TILE": 16}),
    ("weigh", {"D": 64, "BR": 64, "BN": 128, "TILE": 16}),
    ("select", {"BLOCK": 4096, "TILE": 0}),
    ("select", {"BLOCK": 4096, "TILE": 16}),
    ("slots_of", {"BLOCK": 1024}),
)


def compiled(name: str, shape: dict[str, int]) -> dict[str, Any]:
    """Counts of one kernel."""
    types = TYPES | ({"count": "i32"} if name == "select" else {})
    options = {**EXACT, "num_warps": 16 if name == "select" else 4}
    made = hopper.built(getattr(kernels, name), types, shape, options)
    return {
        "bench": "compiled",
        "kernel": name,
        **shape,
        **hopper.counted(made),
        "fused": made.asm["ptx"].count("fma.rn.f32"),
        "binary_bytes": len(made.asm["cubin"]),
    }


def main() -> int:
    lines = [compiled(*one) for one in SHAPES]
    for line in lines:
        print(json.dumps(line))
    return int(any(line["fused"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
