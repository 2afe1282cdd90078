"""Keeps Triton's versions of the click model to what the registry has written for it.

A version that comes is loaded at once, before any worker asks it; one that goes stays until the
workers have left it. It knows the configuration's file, not what a version is good for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from adserver.releases import layout

Load = Callable[[int], Awaitable[str]]
"""Have so many versions served, those that the configuration names; gives why not, or nothing."""
LOOK_EVERY_S: Final = 0.5
LEAVE_S: Final = 5.0
"""Workers follow the registry twice a second; their last batches end within milliseconds."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """Of one repository."""

    repository: Path
    load: Load
    look_every_s: float = LOOK_EVERY_S
    leave_s: float = LEAVE_S

    async def keep(self) -> None:
        """Forever; the server has loaded what the file says now."""
        loaded = configured(self.repository)
        while True:
            await asyncio.sleep(self.look_every_s)
            wanted = configured(self.repository)
            if wanted == loaded:
                continue
            if wanted < loaded:
                await asyncio.sleep(self.leave_s)
                wanted = configured(self.repository)
            why = await self.load(len(wanted))
            if why:  # who is to serve it finds that it does not answer
                log.error("triton has not loaded all versions", versions=sorted(wanted), why=why)
            loaded = wanted


def configured(repository: Path) -> frozenset[int]:
    """The versions that the model's configuration names; none where there is no such line."""
    file = layout.model_folder(repository) / layout.CONFIG
    found = layout.POLICY.search(file.read_text()) if file.exists() else None
    return frozenset(map(int, re.findall(r"\d+", found.group()))) if found else frozenset()
