"""A server of a few lines, so that the load generators are tested against known behaviour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadtest.target import Target

BODY = (
    b'{"id":"r","decision_quality":2,"took_ms":1.5,"decisions":{"slot1":[{"ad_id":"7",'
    b'"model":{"pctr":1.0},"urls":{"impression":"http://elsewhere.example/e/impression?t=a",'
    b'"viewable":"http://elsewhere.example/e/viewable?t=a",'
    b'"click":"http://elsewhere.example/e/click?t=a"}}]},"no_fill":{}}'
)


def answer(body: bytes = BODY, status: str = "200 OK", head: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
        f"Server-Timing: rank;dur=1.0, total;dur=1.500\r\n{head}\r\n"
    ).encode() + body


HANG_UP = b""
"""Instead of an answer: the connection is closed."""


class Stub:
    """Answers each request with the next of `answers`, or with the last one again."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        """The request heads that came, in order."""
        self.piece = 1 << 20
        """Bytes of an answer that are written at once."""
        self.port = 0
        self.stalled = False
        self.waiting: list[asyncio.Transport] = []
        self.connections: list[asyncio.Transport] = []

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port, "127.0.0.1")

    def stall(self) -> None:
        """Answer nobody until `resume`."""
        self.stalled = True

    def resume(self) -> None:
        self.stalled = False
        waiting, self.waiting = self.waiting, []
        for transport in waiting:
            self.reply(transport)

    def reply(self, transport: asyncio.Transport) -> None:
        if self.stalled:
            self.waiting.append(transport)
            return
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == HANG_UP:
            transport.close()
        self._write(transport, answer)

    def _write(self, transport: asyncio.Transport, rest: bytes) -> None:
        if rest and not transport.is_closing():
            transport.write(rest[: self.piece])
            loop = asyncio.get_running_loop()
            loop.call_soon(self._write, transport, rest[self.piece :])


class _Peer(asyncio.Protocol):
    def __init__(self, stub: Stub) -> None:
        self.stub, self.buffer = stub, b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.stub.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n") + 4) >= 4:
            end += _length(self.buffer[:end])
            if len(self.buffer) < end:
                return
            self.stub.heads.append(self.buffer[:end])
            self.buffer = self.buffer[end:]
            self.stub.reply(self.transport)


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[Stub]:
    stub = Stub(*answers)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Peer(stub), "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        for transport in stub.connections:
            transport.abort()
        await asyncio.sleep(0)  # the loop closes the sockets in its next round


def _length(head: bytes) -> int:
    at = head.find(b"Content-Length: ")
    return int(head[at + 16 : head.index(b"\r\n", at)]) if at >= 0 else 0
