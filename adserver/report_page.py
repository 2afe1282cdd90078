"""The page of all reports as a worker serves it: drawn elsewhere, seconds old, once for all."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

from adserver.deadline import Clock

REPORT_S = 10.0
"""How old the page may be."""


@dataclass(slots=True)
class ReportPage:
    """Draws the page when somebody asks for it; who asks meanwhile waits for the same one."""

    clock: Clock
    _page: str = ""
    _at: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self) -> str:
        async with self._lock:
            if self.clock() - self._at > REPORT_S:
                self._page = await _draw()
                self._at = self.clock()
            return self._page


async def _draw() -> str:
    """In another process, and a polite one: drawing plots here would stall decisions."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "adserver.polite", "report", "page"),
        stdout=asyncio.subprocess.PIPE,
    )
    page, _ = await process.communicate()
    return page.decode()
