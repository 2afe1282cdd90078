"""Child processes that never outlive us: started in their own group, restarted, stopped for sure.

It knows commands and signals, not what the children do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from adserver.deadline import Clock, monotonic

RESTART_AFTER = (0.2, 1.0, 2.0, 5.0)
"""Seconds between restarts of a child that keeps dying; the last one repeats."""
STEADY_SECONDS = 30.0
"""A child that lived this long starts again without delay."""
PR_SET_PDEATHSIG = 1
log = structlog.get_logger()


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, however it dies; elsewhere a no-op.

    Runs in the child between fork and exec.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """One command kept running until `stop`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    grace_s: float = 10.0
    clock: Clock = monotonic
    process: asyncio.subprocess.Process | None = None
    _stopping: bool = False
    _keeper: asyncio.Task[None] | None = field(default=None)

    def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """SIGTERM, time to drain, then SIGKILL to the whole group."""
        self._stopping = True
        process = self.process
        if process and process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.grace_s)
        if process:
            _signal_group(process.pid, signal.SIGKILL)
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        while not self._stopping:
            began = self.clock()
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(self.environment),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            code = await self.process.wait()
            _signal_group(self.process.pid, signal.SIGKILL)
            if self._stopping:
                return
            failures = 0 if self.clock() - began > STEADY_SECONDS else failures + 1
            pause = RESTART_AFTER[min(failures, len(RESTART_AFTER) - 1)]
            log.warning("child died, restarting", child=self.name, code=code, after_s=pause)
            await asyncio.sleep(pause)


def _signal_group(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, what)
