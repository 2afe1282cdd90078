"""What the loops report is what callers went through."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from load_stub import BODY, Stub, answer, serving

from loadtest.closed_loop import Crowd, closed_loop
from loadtest.open_loop import Plan, arrivals, open_loop
from loadtest.tally import ALL, Summary
from loadtest.traffic import AUCTION, DECISION, Shot

ASK = Shot(DECISION, b"POST /v1/decision HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 2)


def opened(*answers: bytes, **plan: float) -> Summary:
    async def run() -> Summary:
        async with serving(*answers) as stub:
            return await open_loop(stub.target, [ASK], Plan(**{**SHORT, **plan}))

    return asyncio.run(run())


SHORT = {"rate": 200.0, "seconds": 0.5, "warm_up_s": 0.1}


def stall(stub: Stub, after_s: float, for_s: float) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(after_s, stub.stall)
    loop.call_later(after_s + for_s, stub.resume)


def test_a_stall_is_felt_by_all_who_come_meanwhile():
    """A closed loop would see one slow answer; of 200 a second, forty come in 200 ms."""

    async def run() -> Summary:
        async with serving(answer()) as stub:
            stall(stub, after_s=0.3, for_s=0.2)
            plan = Plan(rate=200.0, seconds=1.0, warm_up_s=0.1, connections=1)
            return await open_loop(stub.target, [ASK], plan)

    summary = asyncio.run(run())

    assert not summary.failed
    assert summary.ads["p99"] > 150
    assert summary.ads["p90"] > 50
    assert summary.ads["max"] >= summary.ads["p99"]


def test_the_warm_up_is_not_reported():
    plan = Plan(rate=200.0, seconds=0.3, warm_up_s=0.6)

    async def run() -> tuple[Summary, int]:
        async with serving(answer()) as stub:
            return await open_loop(stub.target, [ASK], plan), len(stub.heads)

    summary, asked = asyncio.run(run())

    due = arrivals(plan)
    assert asked == len(due)
    assert summary.run.offered == summary.requests == (due >= 0.6).sum() > 0


def test_answers_are_told_apart_by_status_quality_and_fill():
    summary = opened(answer())

    assert summary.status == {"200": summary.requests}
    assert summary.quality == {"2": summary.requests}
    assert summary.no_fill == pytest.approx(0.5)
    assert summary.server_p99_ms == 1.5
    assert {line.name for line in summary.lines} == {ALL, "/v1/decision", "quality 2"}


def test_a_server_error_fails_the_run():
    summary = opened(answer(b"{}", "500 Internal Server Error"), answer())

    assert summary.status.keys() >= {"200"}
    assert opened(answer(b"{}", "503 Service Unavailable")).failed


def test_a_refused_request_is_counted_but_is_not_the_servers_failure():
    summary = opened(answer(b"{}", "400 Bad Request"))

    assert summary.status == {"400": summary.requests}
    assert not summary.failed


def test_a_request_without_an_answer_fails_the_run():
    async def run() -> Summary:
        async with serving(answer()) as stub:
            stub.stall()
            plan = Plan(rate=100.0, seconds=0.2, warm_up_s=0.0, timeout_s=0.05)
            return await open_loop(stub.target, [ASK], plan)

    summary = asyncio.run(run())

    assert summary.failures == {"timeout": summary.run.offered}
    assert summary.failed


def test_events_go_to_the_server_under_load_and_nowhere_else():
    """The answer's URLs name another host; a pCTR of one is clicked each time."""

    async def run() -> tuple[Summary, list[bytes]]:
        async with serving(answer()) as stub:
            plan = Plan(rate=50.0, seconds=0.3, warm_up_s=0.0, events=True)
            return await open_loop(stub.target, [ASK], plan), stub.heads

    summary, heads = asyncio.run(run())

    asked = [head.split(b" ")[1] for head in heads]
    assert asked.count(b"/e/impression?t=a") == asked.count(b"/e/click?t=a") == summary.requests
    assert len(asked) == 3 * summary.requests


def test_openrtb_events_are_found_in_the_markup():
    adm = (
        '<a href=\\"http://x.example/e/click?t=b\\">buy</a>'
        '<img src=\\"http://x.example/e/impression?t=b\\" width=\\"1\\">'
    )
    bid = f'{{"seatbid":[{{"bid":[{{"adid":"7","adm":"{adm}"}}]}}]}}'.encode()

    async def run() -> tuple[Summary, list[bytes]]:
        async with serving(answer(bid)) as stub:
            plan = Plan(rate=50.0, seconds=0.3, warm_up_s=0.0, events=True)
            return await open_loop(stub.target, [Shot(AUCTION, ASK.raw, 1)], plan), stub.heads

    summary, heads = asyncio.run(run())

    seen = [head for head in heads if head.startswith(b"GET /e/impression?t=b ")]
    assert len(seen) == summary.requests > 0
    assert summary.quality == {"not told": summary.requests}
    assert summary.no_fill == 0


def test_arrivals_are_poisson_at_the_rate_and_the_same_for_a_seed():
    plan = Plan(rate=1000.0, seconds=60.0, warm_up_s=0.0, seed=3)

    due = arrivals(plan)

    gaps = np.diff(due)
    assert len(due) == pytest.approx(60_000, rel=0.02)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # exponential
    assert due[-1] < 60.0
    assert np.array_equal(due, arrivals(plan))


def test_a_closed_loop_keeps_as_many_in_flight_as_it_was_told():
    async def run() -> Summary:
        async with serving(answer(BODY)) as stub:
            stub.stall()
            crowd = Crowd(6, 60.0, warm_up_s=0.0, timeout_s=60.0, most=20)
            asked = asyncio.create_task(closed_loop(stub.target, [ASK], crowd))
            while len(stub.heads) < 6:  # noqa: ASYNC110 — others ask
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)  # a seventh would come at once
            seen.append(len(stub.heads))
            stub.resume()
            return await asked

    seen: list[int] = []
    summary = asyncio.run(run())

    assert seen == [6]
    assert summary.requests == 20
    assert not summary.failed


def test_a_closed_loop_ends_after_its_most_requests():
    async def run() -> int:
        async with serving(answer()) as stub:
            await closed_loop(stub.target, [ASK], Crowd(4, 30.0, warm_up_s=0.0, most=20))
            return len(stub.heads)

    assert asyncio.run(run()) == 20
