"""Who has no deadline goes after those who have one, in order, and never waits without an end."""

from __future__ import annotations

import asyncio

import pytest

from adserver.deadline import monotonic
from adserver.lull import AT_ONCE, PATIENCE_S, Lull


class Visitors:
    """They wait for a lull, each in a task of its own; `gone` says who had it, in order."""

    def __init__(self, quiet):
        self.quiet, self.gone = quiet, []
        self.lull = Lull(quiet, monotonic)

    def come(self, *names):
        return [asyncio.create_task(self._visit(name)) for name in names]

    async def _visit(self, name):
        await self.lull.wait()
        self.gone.append(name)


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


def test_in_a_quiet_server_it_is_a_few_turns_of_the_loop():
    async def scenario():
        quiet = asyncio.Event()
        quiet.set()
        visitors = Visitors(quiet)
        began = monotonic()
        await asyncio.gather(*visitors.come(*"abc"))
        return visitors.gone, monotonic() - began

    gone, took = asyncio.run(scenario())

    assert gone == ["a", "b", "c"]
    assert took < PATIENCE_S / 2


def test_while_requests_wait_nobody_goes_and_then_all_go_in_their_order():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        tasks = visitors.come(*"abc")
        await turns(50)
        kept = list(visitors.gone)
        visitors.quiet.set()
        await asyncio.gather(*tasks)
        return kept, visitors.gone

    assert asyncio.run(scenario()) == ([], ["a", "b", "c"])


def test_a_request_that_comes_meanwhile_waits_for_a_few_of_them_at_most():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        tasks = visitors.come(*range(3 * AT_ONCE))
        await turns(20)
        visitors.quiet.set()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        visitors.quiet.clear()  # a request
        await turns(50)
        meanwhile = list(visitors.gone)
        visitors.quiet.set()
        await asyncio.gather(*tasks)
        return meanwhile, visitors.gone

    meanwhile, gone = asyncio.run(scenario())

    assert meanwhile == list(range(AT_ONCE))
    assert gone == list(range(3 * AT_ONCE))


def test_patience_has_an_end_where_there_is_no_lull():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        began = monotonic()
        await asyncio.gather(*visitors.come(*"abc"))
        return monotonic() - began

    assert PATIENCE_S <= asyncio.run(scenario()) < PATIENCE_S + 1.0


def test_where_there_is_no_lull_all_whose_patience_is_over_go_together(clock):
    async def scenario():
        visitors = Visitors(asyncio.Event())
        visitors.lull = Lull(visitors.quiet, clock)
        early = visitors.come(*range(40))
        await turns(10)
        clock.advance(PATIENCE_S + 0.001)
        late = visitors.come(*range(40, 50))
        await asyncio.sleep(2 * PATIENCE_S)
        gone = list(visitors.gone)
        visitors.quiet.set()
        await asyncio.gather(*early, *late)
        return gone

    assert asyncio.run(scenario()) == list(range(40))


def test_who_went_away_is_passed_over():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        first, second = visitors.come("a", "b")
        await turns(5)
        first.cancel()
        visitors.quiet.set()
        await second
        return visitors.gone

    assert asyncio.run(scenario()) == ["b"]


def test_work_and_those_who_wait_take_their_turns_in_one_queue():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        first = visitors.come(*range(AT_ONCE))
        await turns(5)
        visitors.lull.later(lambda: visitors.gone.append("record"))
        last = visitors.come("last")
        await turns(5)
        visitors.quiet.set()
        await visitors.lull.settle()
        await asyncio.gather(*first, *last)
        return visitors.gone

    gone = asyncio.run(scenario())

    assert gone[:AT_ONCE] == list(range(AT_ONCE))
    assert sorted(gone[AT_ONCE:]) == ["last", "record"]


def test_settled_means_that_all_work_is_done():
    async def scenario():
        visitors = Visitors(asyncio.Event())
        for number in range(5):
            visitors.lull.later(lambda number=number: visitors.gone.append(number))
        await visitors.lull.settle()
        return visitors.gone

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4]


def test_work_that_fails_is_told_to_the_loop_and_the_rest_goes_on():
    async def scenario():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        visitors = Visitors(asyncio.Event())
        visitors.quiet.set()
        visitors.lull.later(lambda: 1 // 0)
        await asyncio.gather(*visitors.come("a"))
        return visitors.gone, [type(one["exception"]) for one in told]

    assert asyncio.run(scenario()) == (["a"], [ZeroDivisionError])


@pytest.mark.parametrize("pause_s", [0.0, 0.001, 0.005])
def test_nobody_is_forgotten_when_some_come_as_others_go(pause_s):
    async def scenario():
        quiet = asyncio.Event()
        quiet.set()
        visitors, tasks = Visitors(quiet), []
        for number in range(30):
            tasks += visitors.come(number)
            await asyncio.sleep(pause_s)
        await asyncio.gather(*tasks)
        return visitors.gone

    assert asyncio.run(scenario()) == list(range(30))
