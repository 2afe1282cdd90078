"""What a process that steps back takes of busy cores; one JSON line per figure.

    python -m bench.polite

As many busy processes as there are cores, each leading a session as workers do, and one more beside
them: at the lowest nice value alone, and in both ways of `adserver.polite`. `value` is its CPU time
against the mean of theirs: 1 is an equal share, the less the better.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from statistics import mean
from typing import Final

import orjson
import psutil  # type: ignore[import-untyped]  # ships no annotations

BUSY: Final = "print(flush=True)\nwhile True: pass"
POLITE: Final = "from adserver.polite import step_back, take_leftovers\n"
WAYS: Final[Mapping[str, str]] = {
    "nothing": "",
    "nice 19": "import os; os.nice(19)\n",
    "step_back": POLITE + "step_back()\n",
    "take_leftovers": POLITE + "step_back(); take_leftovers()\n",
}


def taken(way: str, seconds: float) -> list[float]:
    """CPU seconds of a process that has done `way` first, then those of the others."""
    cores = len(os.sched_getaffinity(0))
    codes = [WAYS[way] + BUSY, *[BUSY] * cores]
    with ExitStack() as stack:
        made = [stack.enter_context(_started(code)) for code in codes]
        for one in made:
            one.stdout.readline()  # it is busy from here on
        before = [_cpu_s(one) for one in made]
        time.sleep(seconds)
        return [_cpu_s(one) - then for one, then in zip(made, before, strict=True)]


@contextmanager
def _started(code: str) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-c", code]
    with psutil.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _cpu_s(process: psutil.Popen) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def share(way: str, seconds: float) -> float:
    """CPU time of the process that does `way`, against the mean of the others'."""
    own, *others = taken(way, seconds)
    return own / mean(others)


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
