"""What a process that steps back takes of busy cores; one JSON line per figure.

    python -m bench.polite

As many busy processes as there are cores, each leading a session as workers do, and one more beside
them: at the lowest nice value alone, and as `adserver.polite` steps back. `value` is its CPU time
against the mean of theirs: 1 is an equal share, the less the better.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from typing import Final

import orjson
import psutil  # type: ignore[import-untyped]  # ships no annotations

BUSY: Final = "while True: pass"
WAYS: Final[Mapping[str, str]] = {
    "nothing": "",
    "nice 19": "import os; os.nice(19)\n",
    "step_back": "from adserver.polite import step_back; step_back()\n",
}
SETTLED_S: Final = 1.0


def share(way: str, seconds: float) -> float:
    """CPU time of a process that does `way` first, against the mean of the others'."""
    cores = len(os.sched_getaffinity(0))
    codes = [WAYS[way] + BUSY, *[BUSY] * cores]
    made = [psutil.Popen([sys.executable, "-c", code], start_new_session=True) for code in codes]
    try:
        time.sleep(SETTLED_S)
        before = [_cpu_s(one) for one in made]
        time.sleep(seconds)
        spent = [_cpu_s(one) - then for one, then in zip(made, before, strict=True)]
    finally:
        for one in made:
            one.kill()
            one.wait()
    return spent[0] / (sum(spent[1:]) / cores)


def _cpu_s(process: psutil.Popen) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="that are counted per way")
    parser.add_argument("--quick", action="store_true", help="short")
    flags = parser.parse_args()
    seconds = 1.0 if flags.quick else flags.seconds
    for way in WAYS:
        line = {
            "figure": "share of a busy core",
            "way": way,
            "value": round(share(way, seconds), 3),
            "seconds": seconds,
        }
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
