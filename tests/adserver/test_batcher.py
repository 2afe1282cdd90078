"""What the batcher promises: no waiting when idle, deadline order, bounded, never silent."""

from __future__ import annotations

import asyncio

from adserver.admission import MOMENT_S
from adserver.batcher import Ask, Batcher
from adserver.deadline import Deadline
from adserver.request import AdRequest, Slot


def ask(clock, name="r", seconds=0.05):
    request = AdRequest(id=name, slots=(Slot("top"),))
    return Ask(request, Deadline(clock() + seconds, clock), clock())


class Decider:
    """Records its batches; holds them until released."""

    def __init__(self, *, held=False):
        self.batches = []
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, asks):
        self.batches.append([a.request.id for a in asks])
        await self.gate.wait()
        return [f"decided {a.request.id}" for a in asks]


def declined(a):
    return f"declined {a.request.id}"


def batcher_of(decider, clock, **limits):
    bounds = {"most": 4, "queue_limit": 8, "in_flight": 1} | limits
    batcher = Batcher(decider, declined, clock, **bounds)
    batcher.start()
    return batcher


async def one_goes_stale(batcher, decider, clock):
    """The answers to a request that is decided, and to one whose moment passes meanwhile."""
    first = asyncio.create_task(batcher.ask(ask(clock, "first", 9)))
    await asyncio.sleep(0.01)
    stale = asyncio.create_task(batcher.ask(ask(clock, "stale", 0.05)))
    await asyncio.sleep(0.01)
    clock.advance(1.0)
    decider.gate.set()
    return await asyncio.gather(first, stale)


def test_an_idle_server_decides_a_lone_request_at_once(clock):
    async def scenario():
        decider = Decider()
        batcher = batcher_of(decider, clock)
        answer = await batcher.ask(ask(clock, "a"))
        await batcher.stop()
        return answer, decider.batches

    answer, batches = asyncio.run(scenario())

    assert answer == "decided a"
    assert batches == [["a"]]


def test_what_arrives_during_a_batch_forms_the_next_one_in_deadline_order(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock)
        first = asyncio.create_task(batcher.ask(ask(clock, "first")))
        await asyncio.sleep(0.01)
        rest = [
            asyncio.create_task(batcher.ask(ask(clock, name, seconds)))
            for name, seconds in [("late", 0.3), ("soon", 0.1), ("middle", 0.2)]
        ]
        await asyncio.sleep(0.01)
        decider.gate.set()
        await asyncio.gather(first, *rest)
        await batcher.stop()
        return decider.batches

    assert asyncio.run(scenario()) == [["first"], ["soon", "middle", "late"]]


def test_a_batch_is_bounded(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock, most=2)
        tasks = [asyncio.create_task(batcher.ask(ask(clock, str(n)))) for n in range(5)]
        await asyncio.sleep(0.01)
        decider.gate.set()
        await asyncio.gather(*tasks)
        await batcher.stop()
        return [len(batch) for batch in decider.batches]

    sizes = asyncio.run(scenario())

    assert sum(sizes) == 5
    assert max(sizes) <= 2


def test_it_is_quiet_while_nobody_waits_and_nothing_is_decided(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock, most=1)
        before = batcher.quiet.is_set()
        tasks = [asyncio.create_task(batcher.ask(ask(clock, str(n)))) for n in range(2)]
        await asyncio.sleep(0.01)
        meanwhile = batcher.quiet.is_set()
        decider.gate.set()
        await tasks[0]
        between = batcher.quiet.is_set()
        await tasks[1]
        await asyncio.sleep(0.01)
        after = batcher.quiet.is_set()
        await batcher.stop()
        return before, meanwhile, between, after

    assert asyncio.run(scenario()) == (True, False, False, True)


def test_it_is_quiet_again_when_all_who_waited_were_declined(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock)
        await one_goes_stale(batcher, decider, clock)
        await asyncio.sleep(0.01)
        quiet = batcher.quiet.is_set()
        await batcher.stop()
        return quiet

    assert asyncio.run(scenario())


def test_a_full_queue_answers_at_once_with_nothing(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock, most=1, queue_limit=2)
        tasks = []
        for n in range(3):  # one being decided, two waiting
            tasks.append(asyncio.create_task(batcher.ask(ask(clock, str(n)))))
            await asyncio.sleep(0.01)
        extra = await batcher.ask(ask(clock, "extra"))
        decider.gate.set()
        answers = await asyncio.gather(*tasks)
        await batcher.stop()
        return extra, answers

    extra, answers = asyncio.run(scenario())

    assert extra == "declined extra"
    assert answers == ["decided 0", "decided 1", "decided 2"]


def test_a_request_whose_moment_has_passed_is_declined_not_decided(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock)
        answers = await one_goes_stale(batcher, decider, clock)
        await batcher.stop()
        return answers, decider.batches

    answers, batches = asyncio.run(scenario())

    assert answers == ["decided first", "declined stale"]
    assert batches == [["first"]]


def test_one_slow_batch_does_not_shut_the_door_for_good(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock)
        slow = asyncio.create_task(batcher.ask(ask(clock, "slow", 900)))
        await asyncio.sleep(0.01)
        clock.advance(600.0)
        decider.gate.set()
        await slow
        answer = await batcher.ask(ask(clock, "next"))
        await batcher.stop()
        return answer

    assert asyncio.run(scenario()) == "decided next"


def press(batcher, clock):
    """Late answers, one after the other."""
    for _ in range(20):
        clock.advance(1.01 * MOMENT_S)
        batcher.admission.answered(0.0)


def test_whom_a_hiccup_kept_waiting_is_decided_and_under_load_is_not(clock):
    async def scenario():
        batcher = batcher_of(Decider(), clock)
        idle = await batcher.ask(ask(clock, "overdue", -0.1))
        press(batcher, clock)
        loaded = await batcher.ask(ask(clock, "overdue", -0.1))
        await batcher.stop()
        return idle, loaded

    assert asyncio.run(scenario()) == ("decided overdue", "declined overdue")


def test_who_has_only_time_for_being_answered_is_declined_before_the_batch(clock):
    async def scenario():
        decider = Decider(held=True)
        batcher = batcher_of(decider, clock, reserve_s=0.006)
        press(batcher, clock)
        tasks = [asyncio.create_task(batcher.ask(ask(clock, "running")))]
        await asyncio.sleep(0.01)
        for name, seconds in [("near", 0.035), ("far", 0.070)]:
            tasks.append(asyncio.create_task(batcher.ask(ask(clock, name, seconds))))
        await asyncio.sleep(0.01)
        clock.advance(0.030)
        decider.gate.set()
        answers = await asyncio.gather(*tasks)
        await batcher.stop()
        return answers

    assert asyncio.run(scenario()) == ["decided running", "declined near", "decided far"]


def test_a_bug_reaches_every_caller_and_the_next_batch_still_runs(clock):
    class Broken(Decider):
        async def __call__(self, asks):
            if not self.batches:
                self.batches.append("broken")
                raise RuntimeError("this is a bug")
            return await super().__call__(asks)

    async def scenario():
        batcher = batcher_of(Broken(), clock)
        failed = await asyncio.gather(batcher.ask(ask(clock, "a")), return_exceptions=True)
        answer = await batcher.ask(ask(clock, "b"))
        await batcher.stop()
        return failed, answer

    failed, answer = asyncio.run(scenario())

    assert isinstance(failed[0], RuntimeError)
    assert answer == "decided b"
