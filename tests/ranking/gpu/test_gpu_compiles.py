"""The fused kernel is compiled for an H100, which needs no H100."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_fused_kernel_uses_the_tensor_cores_and_fits_the_registers():
    environment = {**os.environ, "TRITON_INTERPRET": "0"}

    ran = subprocess.run(
        [sys.executable, "-m", "bench.on_gpu.compiled_scorer", "--quick"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    line = json.loads(ran.stdout)
    assert line["wgmma"] >= 12  # eight for the second layer, four for the third
    assert line["mma"] == 0
    assert line["stack_bytes"] == 0
