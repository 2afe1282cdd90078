"""Letting in who has arrived, before something is begun that the event loop cannot interrupt."""

from __future__ import annotations

import asyncio
from typing import Final

TURNS: Final = 4
"""Turns of the event loop, some microseconds each: answers are written, sockets are read, and what
has arrived is parsed and waits for its decision."""


async def let_in() -> None:
    """Returns when whoever had arrived is seen."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
