"""Each worker on a core of its own, where there are as many of one as of the other.

A worker is as good as one core: it computes in one thread, and its others need the interpreter as
well. Linux wakes a thread up on the core where it ran last, unless another core idles. So two
workers met on one core and waited for each other in turn, while on the other something ran that
could have waited.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress


def core_of(worker: int, workers: int, cores: Sequence[int]) -> int | None:
    """The core of a worker, from 0; None where some cores would have more workers than others."""
    return None if workers % len(cores) else cores[worker % len(cores)]


def keep_to_own(worker: int, workers: int) -> None:
    """For this process from now on, if it has a core of its own. Call before there are threads."""
    if sys.platform == "linux":
        core = core_of(worker, workers, sorted(os.sched_getaffinity(0)))
        if core is not None:
            with suppress(OSError):  # a sandbox that forbids it; Linux shares the cores then
                os.sched_setaffinity(0, {core})
