"""What others notice when recorded auctions go to the disk; one JSON line per figure.

    python -m bench.rings

Appends records at a steady rate, once leaving it to the kernel when they are written and once
calling `write_out` twice a second as a worker does, while on each core a process computes a
millisecond and rests one, in turn. `burst_mib` is the most that the machine wrote to its disks
within a tenth of a second (nr_written of /proc/vmstat), `worst_ms` the longest that one of those
rounds took beyond its two milliseconds. Linux only, whose kernel lets what is written age for half
a minute: a way needs longer than that. 500 pages a second of 200 candidates record 10 MB a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson

from adserver.auctions.encoding import Packed
from adserver.auctions.ring import RingWriter

RECORD: Final = Packed([os.urandom(20_000)], 20_000, rows=200, ad_at=0, code_at=1_600)
"""As large as that of a page of 200 candidates and two slots."""
STEP_S: Final = 0.1
STEPS_BETWEEN: Final = 5
MIB: Final = 1 << 20
PAGE_MIB: Final = os.sysconf("SC_PAGESIZE") / MIB
VMSTAT: Final = Path("/proc/vmstat")
WAYS: Final[Mapping[str, Callable[[RingWriter], None]]] = {
    "left to the kernel": lambda _: None,
    "written out": RingWriter.write_out,
}
BESIDE: Final = """
import os, sys, time
core, seconds = int(sys.argv[1]), float(sys.argv[2])
os.sched_setaffinity(0, {core})
worst, end = 0.0, time.monotonic() + seconds
while (began := time.monotonic()) < end:
    while time.monotonic() < began + 0.001: pass
    time.sleep(0.001)
    worst = max(worst, time.monotonic() - began - 0.002)
print(worst)
"""


def disturbed(way: str, mib_per_s: float, seconds: float, parent: Path) -> dict[str, Any]:
    """Of one way at one rate."""
    with tempfile.TemporaryDirectory(prefix="rings-", dir=parent) as folder, ExitStack() as stack:
        ring = RingWriter(Path(folder), 0, int(2 * mib_per_s * seconds) * MIB)
        beside = [stack.enter_context(_beside(core, seconds)) for core in os.sched_getaffinity(0)]
        before = _written_mib()
        burst = appended(ring, WAYS[way], mib_per_s, seconds)
        written = _written_mib() - before
        worst = max(float(one.communicate()[0]) for one in beside)
        ring.close()
    return {
        "burst_mib": round(burst, 1),
        "worst_ms": round(worst * 1000, 1),
        "written_mib": round(written),
        "appended_mib": round(ring.written / MIB),
    }


def appended(
    ring: RingWriter, write_out: Callable[[RingWriter], None], mib_per_s: float, seconds: float
) -> float:
    """MiB that were written to disks in the step in which most was."""
    began, most, before = time.monotonic(), 0.0, _written_mib()
    for step in range(1, round(seconds / STEP_S) + 1):
        while ring.written < step * STEP_S * mib_per_s * MIB:
            ring.append(RECORD, 1, 1, 0)
        if step % STEPS_BETWEEN == 0:
            write_out(ring)
        time.sleep(max(0.0, began + step * STEP_S - time.monotonic()))
        now = _written_mib()
        most, before = max(most, now - before), now
    return most


def _beside(core: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BESIDE, str(core), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _written_mib() -> float:
    fields = dict(line.split() for line in VMSTAT.read_text().splitlines())
    return int(fields["nr_written"]) * PAGE_MIB


def lines(flags: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for mib_per_s in flags.mib_per_s:
        for _ in range(flags.repeats):
            for way in WAYS:
                found = disturbed(way, mib_per_s, flags.seconds, flags.folder)
                about = {"figure": "while auctions are recorded", "way": way}
                yield about | {"mib_per_s": mib_per_s, "seconds": flags.seconds} | found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib-per-s", nargs="+", type=float, default=[2.5, 5.0, 10.0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of each way")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="short, so the kernel never writes")
    flags = parser.parse_args()
    if flags.quick:
        flags.mib_per_s, flags.seconds, flags.repeats = [5.0], 2.0, 1
    for line in lines(flags):
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
