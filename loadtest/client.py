"""HTTP/1.1 over kept connections at a few microseconds per request, and never without an end.

One request at a time per connection, written as the bytes it came in. Answers must have a length;
what they mean is the caller's affair.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, TypeVar, cast

from loadtest.target import Target

T = TypeVar("T")
"""What the caller ties to a request and gets back with its answer."""
SWEEP_S = 0.025
"""How often overdue requests are looked for: a timeout is this much late at most."""
LARGEST = 8 << 20
"""Bytes of an answer that are waited for."""
CONNECT_S = 2.0
Waiting = tuple[float, bytes, T]


class Client(Generic[T]):
    """A bounded set of connections to one server; every request ends in exactly one callback.

    `on_answer(tag, status, answer, body)`: the whole answer, and where its body begins.
    `on_failure(tag, why)`: no answer within `timeout_s`, or none that could be read.
    Requests beyond the free connections wait in line; their waiting counts.
    """

    def __init__(
        self,
        target: Target,
        most: int,
        timeout_s: float,
        on_answer: Callable[[T, int, bytes, int], None],
        on_failure: Callable[[T, str], None],
    ) -> None:
        self.target, self.most, self.timeout_s = target, most, timeout_s
        self.on_answer, self.on_failure = on_answer, on_failure
        self.free: deque[_Connection[T]] = deque()
        self.busy: dict[_Connection[T], None] = {}
        """In the order in which their requests were written."""
        self._line: deque[Waiting[T]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def open(self, connections: int) -> None:
        """Connect before the first request, so that it does not pay for the handshake."""
        self._loop = asyncio.get_running_loop()
        self._sweep()
        for _ in range(min(connections, self.most)):
            self._connect()
        await asyncio.gather(*self._opening)

    def send(self, tag: T, raw: bytes) -> None:
        """Write the request on the connection that has rested longest, or as soon as one rests."""
        if self.free:
            connection = self.free.popleft()
            self.busy[connection] = None
            connection.write(tag, raw)
            return
        self._line.append((monotonic(), raw, tag))
        if self.connections < self.most:
            self._connect()

    @property
    def connections(self) -> int:
        return len(self.free) + len(self.busy) + len(self._opening)

    @property
    def pending(self) -> int:
        """Requests whose callback is still to come."""
        return len(self.busy) + len(self._line)

    async def settle(self) -> None:
        """Return when nothing is pending; the timeout bounds it."""
        while self.pending:  # noqa: ASYNC110 — the sweep ends every request in time
            await asyncio.sleep(SWEEP_S / 5)

    async def close(self) -> None:
        """Drop all connections; no callback comes after this."""
        self._closed = True
        self._line.clear()
        if self._sweeper:
            self._sweeper.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in [*self.free, *self.busy]:
            connection.abort()
        await asyncio.sleep(0)  # the loop closes the sockets in its next round

    def release(self, connection: _Connection[T]) -> None:
        """The connection has no request any more and can take one."""
        self.busy.pop(connection, None)
        if not self._line:
            self.free.append(connection)
            return
        _, raw, tag = self._line.popleft()
        self.busy[connection] = None
        connection.write(tag, raw)

    def lose(self, connection: _Connection[T]) -> None:
        """The connection is gone; those who wait in line get another."""
        self.busy.pop(connection, None)
        with suppress(ValueError):
            self.free.remove(connection)
        if self._line and not self._closed and self.connections < self.most:
            self._connect()

    def _connect(self) -> None:
        task = self._loop.create_task(self._open_one())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_one(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._loop.create_connection(
                    lambda: _Connection(self), self.target.address, self.target.port
                )
        except (OSError, TimeoutError) as error:
            if self._line:  # one failure for one attempt: no request waits for a dead server
                _, _, tag = self._line.popleft()
                self.on_failure(tag, f"connect: {type(error).__name__}")

    def _sweep(self) -> None:
        overdue = monotonic() - self.timeout_s
        for connection in list(self.busy):
            if connection.since > overdue:
                break
            connection.fail("timeout")
        while self._line and self._line[0][0] < overdue:
            _, _, tag = self._line.popleft()
            self.on_failure(tag, "timeout")
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)


class _Connection(asyncio.Protocol, Generic[T]):
    """One socket with at most one request under way."""

    __slots__ = ("_buffer", "_client", "_tag", "_transport", "_wanted", "since")
    _transport: asyncio.Transport

    def __init__(self, client: Client[T]) -> None:
        self._client = client
        self._tag: T | None = None
        self._buffer = b""
        self._wanted = 0
        self.since = 0.0

    def write(self, tag: T, raw: bytes) -> None:
        self._tag, self.since = tag, monotonic()
        self._transport.write(raw)

    def abort(self) -> None:
        self._tag = None
        self._transport.abort()

    def fail(self, why: str) -> None:
        """Give up on the request and on the socket, whose next bytes would answer nobody."""
        tag, self._tag = self._tag, None
        self._client.busy.pop(self, None)
        self._transport.abort()
        if tag is not None:
            self._client.on_failure(tag, why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self._client.release(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail("connection lost")
        self._client.lose(self)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._wanted:
            self._wanted = _length(data)
        if self._wanted == 0 or len(data) < self._wanted <= LARGEST:
            self._buffer = data
            return
        tag, wanted = self._tag, self._wanted
        self._tag, self._buffer, self._wanted = None, b"", 0
        if tag is None or len(data) != wanted:
            self._tag = tag
            self.fail("unreadable answer")
            return
        head = data.index(b"\r\n\r\n")
        if data.find(b"onnection: close", 0, head) < 0:
            self._client.release(self)
        else:
            self._client.busy.pop(self, None)
            self._transport.abort()
        self._client.on_answer(tag, int(data[9:12]), data, head + 4)


def _length(data: bytes) -> int:
    """Bytes of the answer that begins here; 0 while its head is not complete, -1 if it has none."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0 if len(data) < LARGEST else -1
    if data[:5] != b"HTTP/" or not data[9:12].isdigit():
        return -1
    at = data.find(b"Content-Length: ", 0, head)
    if at < 0:
        at = data[:head].lower().find(b"content-length: ")
    if at < 0:
        return head + 4 if data[9:12] in {b"204", b"304"} else -1
    text = data[at + 16 : data.index(b"\r\n", at)]
    return head + 4 + int(text) if text.isdigit() else -1
