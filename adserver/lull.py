"""Whoever has no deadline lets those go first who have one.

An event of a sale, unlike an ad request, is as good a little later. While requests wait or are
decided, events queue here; in the lull after it they go on, one at a time, so that a request which
arrives meanwhile waits for one of them at most. It knows neither requests nor events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from adserver.deadline import Clock

PATIENCE_S: Final = 0.1
"""Nobody is kept longer: a server without a lull would otherwise never count what it sold."""
TURNS: Final = 4
"""Turns of the event loop in which a request that has arrived becomes one that waits."""


class Lull:
    """`quiet` is set while nobody with a deadline waits."""

    def __init__(self, quiet: asyncio.Event, clock: Clock) -> None:
        self._quiet, self._clock = quiet, clock
        self._queue: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Returns in the next lull, in the order of the calls, or when patience has an end."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((self._clock(), turn))
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name="lull")
        await turn

    async def _serve(self) -> None:
        while self._queue:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            since, turn = self._queue[0]
            if not self._quiet.is_set() and since + PATIENCE_S > self._clock():
                with suppress(TimeoutError):
                    async with asyncio.timeout(since + PATIENCE_S - self._clock()):
                        await self._quiet.wait()
                continue
            self._queue.popleft()
            if not turn.done():  # the caller has gone
                turn.set_result(None)
        self._task = None
