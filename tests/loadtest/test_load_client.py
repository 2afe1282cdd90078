"""The client ends every request in one callback, whatever the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from load_stub import HANG_UP, Stub, answer, serving

from loadtest.client import Client
from loadtest.target import Target

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Ends = list[tuple[int, int | str]]


async def sent(
    target: Target, count: int = 1, most: int = 4, timeout_s: float = 5.0
) -> tuple[Ends, int]:
    """How `count` requests ended, a status or a failure each; connections open at the end."""
    ends: Ends = []
    client: Client[int] = Client(
        target,
        most,
        timeout_s,
        lambda tag, status, _answer, _body: ends.append((tag, status)),
        lambda tag, why: ends.append((tag, why)),
    )
    await client.open(1)
    for tag in range(count):
        client.send(tag, ASK)
    await client.settle()
    connections = client.connections
    await client.close()
    return ends, connections


def against(*answers: bytes, use: Callable[[Stub], Awaitable[Ends]]) -> Ends:
    async def run() -> Ends:
        async with serving(*answers) as stub:
            return await use(stub)

    return asyncio.run(run())


def test_every_request_gets_its_own_answer_over_kept_connections():
    async def use(stub: Stub) -> Ends:
        return (await sent(stub.target, 50))[0]

    ends = against(answer(), use=use)

    assert sorted(ends) == [(tag, 200) for tag in range(50)]


@pytest.mark.parametrize(
    "strange",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        answer() + b"more than was asked for",
    ],
)
def test_an_unreadable_answer_is_a_failure_and_the_next_request_gets_a_new_connection(strange):
    async def use(stub: Stub) -> Ends:
        return (await sent(stub.target, 2, most=1))[0]

    ends = against(strange, answer(), use=use)

    assert ends == [(0, "unreadable answer"), (1, 200)]


def test_an_answer_in_pieces_is_put_together():
    async def use(stub: Stub) -> Ends:
        stub.piece = 7
        return (await sent(stub.target))[0]

    assert against(answer(), use=use) == [(0, 200)]


def test_an_answer_without_a_body_needs_no_length():
    async def use(stub: Stub) -> Ends:
        return (await sent(stub.target, 2))[0]

    assert against(b"HTTP/1.1 204 No Content\r\n\r\n", use=use) == [(0, 204), (1, 204)]


def test_a_server_that_says_close_gets_the_next_request_on_another_connection():
    async def use(stub: Stub) -> Ends:
        return (await sent(stub.target, 3, most=1))[0]

    ends = against(answer(head="Connection: close\r\n"), use=use)

    assert ends == [(0, 200), (1, 200), (2, 200)]


def test_a_silent_server_ends_in_timeouts_for_those_in_line_as_well():
    async def use(stub: Stub) -> Ends:
        stub.stall()
        return (await sent(stub.target, 5, most=2, timeout_s=0.05))[0]

    ends = against(answer(), use=use)

    assert sorted(ends) == [(tag, "timeout") for tag in range(5)]


def test_a_server_that_hangs_up_fails_the_request_under_way():
    async def use(stub: Stub) -> Ends:
        return (await sent(stub.target, 3, most=1))[0]

    assert against(HANG_UP, use=use) == [(tag, "connection lost") for tag in range(3)]


def test_nobody_listening_is_a_failure_of_each_request():
    async def run() -> Ends:
        async with serving(answer()) as stub:
            port = stub.port
        ends, _ = await sent(Target("127.0.0.1", port, "x"), 3, timeout_s=0.2)
        return ends

    ends = asyncio.run(run())

    assert sorted(tag for tag, _ in ends) == [0, 1, 2]
    assert {why for _, why in ends} <= {"connect: ConnectionRefusedError", "timeout"}


def test_there_are_never_more_connections_than_allowed():
    async def use(stub: Stub) -> Ends:
        ends, connections = await sent(stub.target, 40, most=3)
        assert connections <= 3
        return ends

    assert len(against(answer(), use=use)) == 40
