"""As many workers as cores, or twice as many: each keeps to one core, all cores to as many."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adserver.cores import core_of


@pytest.mark.parametrize(
    ("workers", "cores", "kept"),
    [
        (2, [0, 1], [0, 1]),
        (4, [0, 1], [0, 1, 0, 1]),
        (2, [4, 7], [4, 7]),  # what a container was given
        (1, [0], [0]),
        (1, [0, 1], [None]),  # Linux finds it a core that idles
        (3, [0, 1], [None, None, None]),  # two would get half of what the third has
        (2, range(64), [None, None]),
    ],
)
def test_cores_are_kept_where_they_can_be_dealt_out_evenly(workers, cores, kept):
    assert [core_of(worker, workers, cores) for worker in range(workers)] == kept


def test_all_threads_that_come_later_keep_to_it():
    cores = sorted(os.sched_getaffinity(0))
    told = "import os; from threading import Thread; from adserver.cores import keep_to_own\n"
    told += f"keep_to_own({len(cores) - 1}, {len(cores)})\n"
    told += "t = Thread(target=lambda: print(*os.sched_getaffinity(0))); t.start(); t.join()\n"

    said = subprocess.check_output([sys.executable, "-c", told], text=True)

    assert said.split() == [str(cores[-1])]
