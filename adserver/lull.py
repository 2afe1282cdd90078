"""Whoever has no deadline lets those go first who have one.

An event of a sale or the record of a decision, unlike an ad request, is as good a little later.
While requests wait or are decided, all else queues here; in the lull after it it goes on, a few at
a time, so that a request which arrives meanwhile waits for those few at most. It knows neither.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from adserver.arrivals import let_in
from adserver.deadline import Clock

PATIENCE_S: Final = 0.1
"""Nobody is kept longer: a server without a lull would otherwise never count what it sold."""
AT_ONCE: Final = 3
"""Works between two such looks for requests, a millisecond or so: looking costs as well."""


class Lull:
    """`quiet` is set while nobody with a deadline waits."""

    def __init__(self, quiet: asyncio.Event, clock: Clock) -> None:
        self._quiet, self._clock = quiet, clock
        self._queue: deque[tuple[float, Callable[[], object]]] = deque()
        """Works, and when patience for each ends."""
        self._task: asyncio.Task[None] | None = None

    def later(self, work: Callable[[], object]) -> None:
        """To be done in the next lull, in the order of the calls, or when patience has an end."""
        self._queue.append((self._clock() + PATIENCE_S, work))
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name="lull")

    async def wait(self) -> None:
        """Returns when `later` would do its work."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.later(partial(_wake, turn))
        await turn

    async def settle(self) -> None:
        """Returns when nothing is left to do."""
        if self._task:
            await self._task

    async def _serve(self) -> None:
        while self._queue:
            await let_in()
            patience_s = self._queue[0][0] - self._clock()
            if not self._quiet.is_set() and patience_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await self._quiet.wait()
                continue
            self._do_some()
        self._task = None

    def _do_some(self) -> None:
        """A few, and all whose patience is over: with batches between them they would never be
        done."""
        call_soon, now, done = asyncio.get_running_loop().call_soon, self._clock(), 0
        while self._queue and (done < AT_ONCE or self._queue[0][0] <= now):
            _, work = self._queue.popleft()
            call_soon(work)  # what it raises is the loop's to report
            done += 1


def _wake(caller: asyncio.Future[None]) -> None:
    if not caller.done():  # it has gone
        caller.set_result(None)
