"""What runs beside those who serve takes of the cores only what they leave.

    python -m adserver.polite report page

is the command `adserver report page`, run so. A nice value alone is not enough: where Linux shares
the cores among sessions first (sched_autogroup(7)), it counts within one's session only, and beside
workers, which lead sessions of their own, a process at the lowest priority took as much as each.
What nobody waits for at all takes leftovers only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from adserver.children import die_with_parent

NICE: Final = 10
"""A tenth of what a worker gets where everything is busy. At the lowest, 19, a release would wait
for minutes for its tables on a machine at its limit."""
AUTOGROUP: Final = Path("/proc/self/autogroup")


def step_back() -> None:
    """For this process and all that it starts: in a session of its own, which steps back as whole.

    Call before there are threads; on Linux a nice value is a thread's.
    """
    os.nice(NICE)
    if os.getsid(0) != os.getpid():
        try:
            os.setsid()
        except PermissionError:  # it leads a group in somebody's session, which is not ours to slow
            return
    with contextlib.suppress(OSError):  # no Linux, or one that does not share by sessions
        AUTOGROUP.write_text(str(NICE))


def take_leftovers() -> None:
    """For this thread and what it starts: a core that nobody else wants.

    Linux wakes others up on it as on one that idles, which it does not do where something runs
    that has a share, however small.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox that forbids it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    die_with_parent()  # whose end, in another session, would not reach it
    step_back()
    from adserver.cli import app

    app()
