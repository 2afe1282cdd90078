"""What threads do beside decisions, and how long they rest between two steps."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

from adserver import upkeep as module
from adserver.arms import ALONE
from adserver.following import Serving
from adserver.selection.finding import PLANNED
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


def edition(version):
    caps, bundle = object(), SimpleNamespace(version=1)
    shelf = SimpleNamespace(caps=caps)
    return SimpleNamespace(version=version, bundle=bundle, shelf=shelf)


class Paced:
    """Offers that say of which edition they are."""

    def __init__(self, during=lambda: None):
        self.during = during

    def last(self, of):
        return SimpleNamespace(version=of.version)

    def beat(self, of, *_told):
        self.during()
        return self.last(of)


def upkeep_of(before, pacing, found=None):
    """As much of one as changes editions and paces."""

    async def step(_now):
        return found

    pipeline = SimpleNamespace(
        edition=before, beside=ALONE, offers=pacing.last(before), ranks=MagicMock(), finding=PLANNED
    )
    return SimpleNamespace(
        number=0,
        clocks=SimpleNamespace(wall=lambda: 0.0),
        following=SimpleNamespace(step=step),
        _serving=Serving(before),
        pipeline=pipeline,
        pacing=MagicMock(last=pacing.last, beat=pacing.beat),
        drawer=MagicMock(),
        turnstile=MagicMock(),
        asked=0,
    )


def test_the_first_decision_on_a_new_snapshot_is_paced(monkeypatch):
    before, after = edition(1), edition(2)
    limited = []
    monkeypatch.setattr(module, "set_limits", lambda of, *_: limited.append(of))
    upkeep = upkeep_of(before, Paced(), Serving(after))

    asyncio.run(Upkeep.follow(upkeep))

    assert upkeep.pipeline.edition is after
    assert upkeep.pipeline.offers.version == 2
    assert limited == [after]


def test_a_beat_that_a_new_snapshot_overtakes_changes_no_offer():
    before, after = edition(1), edition(2)

    def overtaken():
        upkeep.pipeline.edition, upkeep.pipeline.offers = after, SimpleNamespace(version=2)

    upkeep = upkeep_of(before, Paced(overtaken))

    asyncio.run(Upkeep.pace(upkeep))

    assert upkeep.pipeline.offers.version == 2
