"""What threads do beside decisions, and how long they rest between two steps."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

from adserver.upkeep import MOST_RESTS, REST_S, Upkeep


def rested(quiet_after: int) -> int:
    """Sleeps of one rest, if nobody waits for a decision any more after so many."""
    quiet, slept = asyncio.Event(), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == quiet_after:
            quiet.set()

    clocks = SimpleNamespace(sleep=sleep)
    Upkeep.rest(SimpleNamespace(clocks=clocks, batcher=SimpleNamespace(quiet=quiet)))
    assert set(slept) == {REST_S}
    return len(slept)


def test_a_thread_rests_until_nobody_waits_for_a_decision_and_not_for_ever():
    assert [rested(after) for after in (1, 3, 1_000)] == [1, 3, MOST_RESTS]


def test_recorded_auctions_are_written_out_beside_the_loop():
    threads = []
    ring = SimpleNamespace(write_out=lambda: threads.append(threading.current_thread()))
    upkeep = SimpleNamespace(pipeline=SimpleNamespace(recorder=SimpleNamespace(ring=ring)))

    asyncio.run(Upkeep.write_out(upkeep))

    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
