"""A GPU's machine has numpy, torch and the Triton language, and nothing else that we use."""

from __future__ import annotations

import subprocess
import sys

ABSENT = ("numba", "llvmlite", "hnswlib", "onnxruntime", "msgspec", "tritonclient", "aiohttp")
USED = "bench.on_gpu.selection, retrieval.gpu.graph, retrieval.gpu.selector, retrieval.gpu.launch"


def test_the_selector_and_its_bench_need_nothing_else():
    code = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); import {USED}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
