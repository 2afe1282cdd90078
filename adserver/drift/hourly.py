"""Looks for drift beside a running server: in a process of its own, again and again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import structlog

from adserver.children import die_with_parent
from adserver.deadline import Clock, wall
from adserver.polite import take_leftovers
from feedback.drift.observing import settling_ms

MARGIN_S = 30.0
"""The events of an hour's last moments are on disk and in the log by then."""
COMMAND = (sys.executable, "-m", "adserver", "drift", "--json")
ALARMED = 3
"""The command's exit code while an alarm stands: what fails otherwise ends in 1 or 2."""
log = structlog.get_logger()


def pause_s(now_s: float, every_s: float) -> float:
    """Until the next look: looks are `every_s` apart, and one falls on each moment at which an hour
    has just been over long enough to be judged."""
    due_s = settling_ms() / 1000 + MARGIN_S
    return every_s - (now_s - due_s) % every_s


async def keep_looking(
    every_s: float, command: Sequence[str] = COMMAND, clock: Clock = wall
) -> None:
    """Until cancelled; a look that fails is logged, and the next one comes."""
    while True:
        await asyncio.sleep(pause_s(clock(), every_s))
        await _look(command)


def _begin() -> None:
    """In the child between fork and exec."""
    die_with_parent()
    take_leftovers()


async def _look(command: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=_begin,
    )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:  # cancelled: it must not outlive us
            process.terminate()
            await process.wait()
    if code == ALARMED:
        log.warning("the model in production drifts: see adserver drift")
    elif code:
        log.error("looking for drift failed", code=code)
