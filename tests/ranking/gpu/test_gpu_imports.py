"""A machine with a GPU has numpy, torch and the Triton language; the GPU path needs no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Nothing(MetaPathFinder):
    barred = {"numba", "llvmlite", "hnswlib", "onnxruntime", "onnx", "orjson", "aiohttp",
              "msgspec", "scipy", "pyarrow", "grpc", "tritonclient", "duckdb", "lmdb"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.barred:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Nothing())
import ranking.gpu.scorer, ranking.gpu.plain, ranking.gpu.reference
import bench.gpu
print("alone")
"""


def test_the_gpu_path_and_its_bench_import_nothing_else():
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ran.stdout.strip() == "alone", ran.stderr
