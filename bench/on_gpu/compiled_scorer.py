"""What the scorer's kernel becomes on an H100, without one: one JSON line for each cut of the work.

    python -m bench.on_gpu.compiled_scorer [--quick]

Compiled by Triton's own assembler for sm_90. Counted are the tensor cores' instructions, registers
of a thread, and the bytes that did not fit them and go by memory; of the usual cut none may.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import triton

from bench.on_gpu import hopper
from ranking.gpu import kernels
from ranking.gpu.tiling import USUAL, Tiling

SHAPE: Final = {"D": 64, "H": 256, "S": 128, "T": 64, "STRIDE": 352, "KNOTS": 256, "LOWEST": -128}
TYPES: Final = {
    **dict.fromkeys(("code", "weight2", "weight3"), "*i8"),
    **dict.fromkeys(("vector", "added", "half", "number", "multiplier", "last", "logit"), "*fp32"),
    "curve": "*fp64",
}
"""Of the kernel's arguments by their names; the others are i32 columns."""
CUTS: Final = (USUAL, Tiling(128, 8, 0), Tiling(64, 4, 1), Tiling(64, 4, 0), Tiling(256, 8, 0))
DUMP: Final = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def compiled(tiling: Tiling, calibrated: bool) -> dict[str, Any]:
    """Counts of one cut."""
    given: dict[str, Any] = {**SHAPE, "BLOCK": tiling.block, "AHEAD": bool(tiling.ahead)}
    given |= {"ADDED": calibrated, "CALIBRATED": calibrated}
    made = hopper.built(kernels.score_tiles, TYPES, given, {"num_warps": tiling.warps})
    return {
        "bench": "compiled",
        "kernel": "score_tiles",
        "tiling": str(tiling),
        "calibrated": calibrated,
        **hopper.counted(made),
        **_resources(made.asm["cubin"]),
    }


def _resources(binary: bytes) -> dict[str, int]:
    """Registers of a thread, and bytes of its stack, where what does not fit them goes."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.run(
            [DUMP, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = {name: int(number) for name, number in re.findall(r"(REG|STACK):(\d+)", told)}
    return {"registers": found["REG"], "stack_bytes": found["STACK"]}


def main() -> int:
    quick = "--quick" in sys.argv
    cuts = CUTS[:1] if quick else CUTS
    lines = [compiled(cut, calibrated) for cut in cuts for calibrated in (False, True)[quick:]]
    for line in lines:
        print(json.dumps(line), flush=True)
    return int(any(line["stack_bytes"] for line in lines if line["tiling"] == str(USUAL)))


if __name__ == "__main__":
    sys.exit(main())
