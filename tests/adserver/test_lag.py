"""The lag of an event loop, on a real one."""

from __future__ import annotations

import asyncio
import time

from adserver.lag import BEAT_S, Lag

BUSY_S = 0.08


async def busy():
    """A turn of the loop that computes, as another callback of the next one sees it."""
    await asyncio.sleep(0)
    time.sleep(BUSY_S)  # noqa: ASYNC251 — to block the loop is what is tested
    await asyncio.sleep(0)


def test_what_is_read_after_a_long_turn_may_be_as_old_as_the_turn():
    async def scenario():
        lag = Lag(time.monotonic)
        lag.start()
        await asyncio.sleep(4 * BEAT_S)
        await busy()
        seen = lag.age()
        await asyncio.sleep(4 * BEAT_S)
        lag.stop()
        return seen, lag.worst(), lag.worst()

    seen, worst, again = asyncio.run(scenario())

    assert BUSY_S - BEAT_S < seen < BUSY_S + 0.1
    assert worst >= BUSY_S - BEAT_S
    assert again == 0.0


def test_a_loop_that_was_never_watched_is_not_behind():
    assert Lag(time.monotonic).age() == 0.0


def test_a_loop_that_catches_up_is_no_longer_behind():
    async def scenario():
        lag = Lag(time.monotonic)
        lag.start()
        await busy()
        ages = []
        for _ in range(50):
            await asyncio.sleep(BEAT_S)
            ages.append(lag.age())
        lag.stop()
        return ages

    assert min(asyncio.run(scenario())) < BEAT_S
