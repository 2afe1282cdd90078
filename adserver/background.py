"""What a process does beside answering; knows no job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()
Job = Callable[[], Awaitable[None]]


async def forever(job: Job, pause_s: float) -> None:
    """Run a job again and again; its failures are logged and do not end it."""
    while True:
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("background job failed", job=job.__name__)
        await asyncio.sleep(pause_s)
