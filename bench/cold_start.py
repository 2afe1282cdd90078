"""How long a fresh machine waits for its first ad; one JSON line per figure.

    python -m bench.cold_start --ads 10000 30000 100000

From the command to the moment at which every worker is ready: with a data folder and a kernel
cache that are empty, and again with what the first start left in them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from adserver.kernel_cache import VARIABLE
from loadtest.serving import Wanted, serving


def started(wanted: Wanted, log: Path) -> Iterator[dict[str, Any]]:
    """The first start, and the second."""
    for figure in ("first start", "second start"):
        began = time.monotonic()
        with serving(wanted, log):
            took = time.monotonic() - began
        yield {"figure": figure, "value": round(took, 1), "unit": "s"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few ads, kernels that are there")
    flags = parser.parse_args()
    for ads in [2_000] if flags.quick else flags.ads:
        with tempfile.TemporaryDirectory(prefix="cold-") as name:
            folder = Path(name)
            fresh = {} if flags.quick else {VARIABLE: str(folder / "kernels")}
            wanted = Wanted(ads, "local", flags.workers, folder / "data", fresh)
            about = {
                "ads": ads,
                "workers": flags.workers,
                "kernel_cache": "kept" if flags.quick else "fresh",
            }
            for line in started(wanted, folder / "server.log"):
                sys.stdout.buffer.write(orjson.dumps(about | line) + b"\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
