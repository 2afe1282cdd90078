"""Micro-batching: what arrived while the last batch was computing is the next batch.

There is no waiting window: an idle server starts at once. Requests leave in the order of their
deadlines. It knows nothing of ads, only of deadlines, rows and how long a row takes.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from adserver.deadline import Clock, Deadline
from adserver.decision import Decision
from adserver.request import AdRequest

EWMA = 0.1
"""Weight of the newest batch in the running cost per request."""
TURNS = 4
"""Turns of the event loop before a batch is taken, some microseconds each: answers to the last
batch are written, sockets are read, and what has arrived is parsed and can join."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request waiting for its decision."""

    request: AdRequest
    deadline: Deadline
    arrived: float


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    serial: int
    ask: Ask = field(compare=False)
    answer: asyncio.Future[Decision] = field(compare=False)


class Batcher:
    """One queue, drained in batches by at most `in_flight` concurrent calls of `decide`.

    `decline(ask)` answers at once what cannot be decided in time: a full queue, a predicted wait
    beyond the deadline, a deadline already past. Nobody waits for an answer they cannot use.
    """

    def __init__(
        self,
        decide: Callable[[Sequence[Ask]], Awaitable[Sequence[Decision]]],
        decline: Callable[[Ask], Decision],
        clock: Clock,
        *,
        most: int,
        queue_limit: int,
        in_flight: int,
    ) -> None:
        self._decide, self._decline, self._clock = decide, decline, clock
        self._most, self._queue_limit = most, queue_limit
        self._free = asyncio.Semaphore(in_flight)
        self._heap: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._serial = 0
        self._seconds_per_request = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def start(self) -> None:
        self._loop_task = asyncio.create_task(self._drain(), name="batcher")

    async def stop(self) -> None:
        """Answer what is queued, then end."""
        while self._heap:  # noqa: ASYNC110 — bounded by the queue's own deadlines
            await asyncio.sleep(0)  # the drain task takes it batch by batch
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._loop_task:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)

    async def ask(self, ask: Ask) -> Decision:
        """The decision; late and full are answers."""
        if self._hopeless(ask):
            return self._decline(ask)
        self._serial += 1
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, _Waiting(ask.deadline.at, self._serial, ask, answer))
        self._arrived.set()
        return await answer

    def _hopeless(self, ask: Ask) -> bool:
        queued = len(self._heap)
        # An empty queue predicts no wait, so one slow batch can never shut the door for good.
        predicted = queued * self._seconds_per_request
        return queued >= self._queue_limit or predicted > ask.deadline.remaining()

    async def _drain(self) -> None:
        while True:
            await self._arrived.wait()
            await self._free.acquire()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch = self._take()
            if not batch:
                self._free.release()
                self._arrived.clear()
                continue
            task = asyncio.create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        now = self._clock()
        while self._heap and len(batch) < self._most:
            waiting = heapq.heappop(self._heap)
            if waiting.answer.done():  # the caller has gone
                continue
            if waiting.due <= now:
                waiting.answer.set_result(self._decline(waiting.ask))
                continue
            batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = self._clock()
        try:
            decisions = await self._decide([waiting.ask for waiting in batch])
            for waiting, decision in zip(batch, decisions, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(decision)
        except Exception as bug:  # each caller must learn of it; the HTTP edge logs it
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(bug)
        finally:
            self._free.release()
            spent = (self._clock() - started) / len(batch)
            self._seconds_per_request += EWMA * (spent - self._seconds_per_request)
