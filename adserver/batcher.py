"""Micro-batching: what arrived while the last batch was computing is the next batch.

There is no waiting window: an idle server starts at once. Requests leave in the order of their
deadlines. It knows nothing of ads, only of deadlines; what can be done in time, Admission says.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from adserver.admission import Admission
from adserver.arrivals import let_in
from adserver.deadline import Clock, Deadline
from adserver.decision import Decision
from adserver.lag import Lag
from adserver.request import AdRequest


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

    `decline(ask)` answers at once what cannot be decided in time: a full queue, a forecast beyond
    the deadline, a deadline that has come. Nobody waits for an answer they cannot use.
    `reserve_s` of every deadline is left for writing the answer.
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
        reserve_s: float = 0.0,
    ) -> None:
        self._decide, self._decline, self._clock = decide, decline, clock
        self._most, self._queue_limit = most, queue_limit
        self._free = asyncio.Semaphore(in_flight)
        self._heap: list[_Waiting] = []
        self._arrived, self.quiet = asyncio.Event(), asyncio.Event()
        """`quiet` while nobody waits and nothing is decided."""
        self.quiet.set()
        self._serial = 0
        self.admission, self.lag = Admission(clock, reserve_s), Lag(clock)
        self._waited_from: float | None = None
        """The end of the last batch, if somebody waited then."""
        self._running: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def start(self) -> None:
        self._loop_task = asyncio.create_task(self._drain(), name="batcher")
        self.lag.start()

    async def stop(self) -> None:
        """Answer what is queued, then end."""
        self.lag.stop()
        while self._heap:  # noqa: ASYNC110 — bounded by the queue's own deadlines
            await asyncio.sleep(0)  # the drain task takes it batch by batch
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._loop_task:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)

    async def ask(self, ask: Ask) -> Decision:
        """The decision; late and full are answers."""
        due = self.admission.due(ask.deadline.at)
        if self._hopeless(due):
            self.admission.answered(ask.deadline.remaining())
            return self._decline(ask)
        self._serial += 1
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, _Waiting(due, self._serial, ask, answer))
        self._arrived.set()
        self.quiet.clear()
        decision = await answer
        self.admission.answered(ask.deadline.remaining())
        return decision

    def _hopeless(self, due: float) -> bool:
        queued = len(self._heap)
        full = queued >= self._queue_limit
        return full or self.admission.hopeless(due - self._clock(), queued)

    async def _drain(self) -> None:
        while True:
            await self._arrived.wait()
            await self._free.acquire()
            await let_in()  # whoever had arrived may join
            batch = self._take()
            if not batch:
                self._free.release()
                self._arrived.clear()
                self._waited_from = None
                self._calm()
                continue
            task = asyncio.create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._calm()

    def _calm(self) -> None:
        if not self._heap and not self._running:
            self.quiet.set()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        now, most = self._clock(), self._most
        while self._heap and len(batch) < most:
            waiting = heapq.heappop(self._heap)
            if waiting.answer.done():  # the caller has gone
                continue
            left = waiting.due - now
            if self.admission.too_late(left):
                waiting.answer.set_result(self._decline(waiting.ask))
                continue
            if not batch:  # the first is due first: what it has time for, all have
                most = self.admission.fitting(left, most)
            batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = self._clock()
        if self._waited_from is not None:
            self.admission.paused(started - self._waited_from)
            self._waited_from = None  # a batch that runs beside this one did not wait as well
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
            ended = self._clock()
            self.admission.decided(len(batch), ended - started)
            self._waited_from = ended if self._heap else None
