"""Candidates come from the selector while it answers in time, and from the planner in any case."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from adserver.selection import finding as module
from adserver.selection.finding import ITS_SHARE, PREPARED_WITHIN_S, Finding, candidates_of
from adserver.selection.message import Change, Garbled, changes
from ranking.scorer import Gone, Late, RankerError, Refused
from retrieval.gpu.asks import MAX_TERMS
from retrieval.gpu.selector import Ranked
from retrieval.planner import Plan
from retrieval.query import DIMENSIONS, Live, Query

PLANNED_AD = 77


@dataclass
class FakeSelector:
    """Answers, or fails in the way it is told to; remembers what it was asked and told."""

    fails: RankerError | None = None
    asked: list[float] = field(default_factory=list)
    told: list[tuple[tuple[int, int], Change]] = field(default_factory=list)

    async def select(self, asks, snapshot, model, timeout_s):
        self.asked.append(timeout_s)
        if self.fails:
            raise self.fails
        return RANKED

    async def change(self, change, snapshot, model):
        if self.fails:
            raise self.fails
        self.told.append(((snapshot, model), change))

    async def close(self): ...


RANKED = Ranked(
    ad=np.array([[5, 3, 9], [4, -1, -1], [-1, -1, -1]], np.int32),
    value=np.array([[3, 2, 1], [7, 0, 0], [0, 0, 0]], np.float32),
    logit=np.zeros((3, 3), np.float32),
    worth=np.zeros((3, 3), np.float32),
    slots=np.array([[1, 3, 1], [2, 0, 0], [0, 0, 0]], np.uint32),
    eligible=np.array([30, 1, 0], np.int32),
)
LIVE = Live(np.array([7], np.uint64), np.ones(3, np.uint8), np.zeros(3, np.float32))
QUERY = Query(
    term=np.empty(0, np.int32),
    term_start=np.zeros(DIMENSIONS + 1, np.int32),
    blocked=np.empty(0, np.int32),
    slot_placement=np.array([-1], np.int32),
    slots_by_size=np.ones(1, np.uint32),
    blocked_attribute=np.zeros(1, np.uint32),
    secure=np.uint32(0),
    vector=np.zeros(4, np.float32),
    bias=0.0,
)


def edition(live=LIVE, version=1):
    def retrieve(queries, live, most):
        return SimpleNamespace(ad=np.array([PLANNED_AD]), most=most)

    return SimpleNamespace(
        version=version,
        bundle=SimpleNamespace(version=2),
        overlay=SimpleNamespace(live=live),
        retriever=SimpleNamespace(retrieve=retrieve),
    )


def encoded(query=QUERY, count=3):
    return SimpleNamespace(queries=(query,) * count, vector=np.zeros((count, 4), np.float32))


def found(finding, most=200, left_s=0.05, one=None, asked=None):
    one = one or edition()
    return asyncio.run(finding.find(asked or encoded(), one, most, left_s)).ad.tolist()


def following(selector, one=None):
    finding = Finding(selector, clock=lambda: 0.0)
    one = one or edition()
    asyncio.run(finding.follow({(one.version, one.bundle.version): one}))
    return finding


def test_without_a_selector_the_planner_finds():
    assert found(Finding()) == [PLANNED_AD]


def test_a_selector_that_knows_the_snapshot_finds():
    selector = FakeSelector()

    assert found(following(selector)) == [5, 3, 9, 4]
    assert selector.asked == [0.05 * ITS_SHARE]


def test_a_snapshot_that_the_selector_has_not_been_told_of_is_planned():
    selector = FakeSelector()

    assert found(following(selector), one=edition(version=9)) == [PLANNED_AD]
    assert selector.asked == []


@pytest.mark.parametrize("error", [Late("x"), Refused("x"), Gone("x")])
def test_whatever_is_wrong_with_it_the_planner_finds(error):
    selector = FakeSelector()
    finding = following(selector)
    selector.fails = error

    assert found(finding) == [PLANNED_AD]


def test_one_that_keeps_failing_is_not_waited_for():
    selector = FakeSelector()
    finding = following(selector)
    selector.fails = Late("x")

    assert [found(finding) for _ in range(20)] == [[PLANNED_AD]] * 20
    assert len(selector.asked) == finding.breaker.failures_to_open


def test_a_request_with_too_many_values_is_planned():
    wide = replace(QUERY, term=np.zeros(MAX_TERMS + 1, np.int32))

    assert found(following(FakeSelector()), asked=encoded(wide)) == [PLANNED_AD]


def test_one_that_refuses_is_told_everything_again():
    selector = FakeSelector()
    finding, one = following(selector), edition()
    selector.fails = Refused("started anew")
    found(finding, one=one)
    selector.fails = None

    asyncio.run(finding.follow({(1, 2): one}))

    assert [change.ad.tolist() for _, change in selector.told] == [[0, 1, 2], [0, 1, 2]]


@dataclass
class Loading(FakeSelector):
    """Has a snapshot only after it was told of it some times."""

    loads: int = 3

    async def change(self, change, snapshot, model):
        if snapshot > 1 and self.loads:
            self.loads -= 1
            raise Refused("it is being loaded")
        await super().change(change, snapshot, model)


def prepared(selector, monkeypatch, clock=lambda: 0.0):
    """A selector that serves snapshot 1, and is to have the second; and how often was waited."""
    waits = []

    async def wait(seconds):
        waits.append(seconds)

    finding = following(selector)
    finding.clock = clock
    monkeypatch.setattr(module.asyncio, "sleep", wait)
    asyncio.run(finding.prepare({(2, 2): edition(version=2)}))
    return finding, waits


def test_what_is_about_to_serve_is_loaded_before_and_what_serves_goes_on(monkeypatch):
    selector = Loading()

    finding, waits = prepared(selector, monkeypatch)

    assert len(waits) == 3
    assert found(finding, one=edition(version=2)) == found(finding) == [5, 3, 9, 4]


def test_a_selector_that_loads_too_long_is_not_waited_for(monkeypatch):
    now = count()

    finding, waits = prepared(Loading(loads=99), monkeypatch, lambda: float(next(now)))

    assert len(waits) == PREPARED_WITHIN_S - 1
    assert found(finding, one=edition(version=2)) == [PLANNED_AD]
    assert found(finding) == [5, 3, 9, 4]


def test_a_selector_that_knows_nothing_is_not_prepared():
    selector = Loading(loads=99)
    finding = Finding(selector, clock=lambda: 0.0)

    asyncio.run(finding.prepare({(2, 2): edition(version=2)}))

    assert selector.loads == 99


def test_what_comes_is_not_forgotten_while_it_is_loaded():
    finding = following(FakeSelector())
    finding._coming = frozenset({(1, 2)})

    asyncio.run(finding.follow({}))

    assert found(finding) == [5, 3, 9, 4]


def test_only_changes_are_told_and_only_once():
    selector = FakeSelector()
    finding, one = following(selector), edition()
    base = np.array([0, 0, 1], np.float32)
    one.overlay.live = replace(LIVE, base=base, line_item=np.array([3], np.uint64))

    for _ in range(2):
        asyncio.run(finding.follow({(1, 2): one}))

    _, last = selector.told[-1]
    assert len(selector.told) == 2
    assert (last.ad.tolist(), last.base.tolist(), last.running.tolist()) == ([2], [1.0], [3])


def test_ranked_ads_become_candidates_request_by_request():
    some = candidates_of(RANKED, 2)

    assert some.ad.tolist() == [5, 3, 4]
    assert some.value.tolist() == [3, 2, 7]
    assert some.slots.tolist() == [1, 3, 2]
    assert some.offset.tolist() == [0, 2, 3, 3]
    assert some.eligible.tolist() == [30, 1, 0]
    assert some.plan.tolist() == [Plan.DEVICE, Plan.DEVICE, Plan.NOTHING]


@pytest.mark.parametrize("tiers", [(None, None), (4, None), (None, 2), (4, 2)])
def test_a_change_survives_the_wire(tiers):
    first, last = (None if one is None else np.array([one], np.uint64) for one in tiers)
    (change,) = changes(None, replace(LIVE, first=first, last=last))

    back = Change.of(*change.packed())

    assert back.ad.tolist() == [0, 1, 2]
    assert (back.running, back.first, back.last) == (change.running, first, last)
    assert back.alive.tolist() == change.alive.tolist()


@pytest.mark.parametrize("spoilt", [[], [1, 2], [-1, 1, 0], [5, 1, 0], [0, 1, 7], [0, 0, 0, 0]])
def test_a_garbled_change_is_refused(spoilt):
    with pytest.raises(Garbled):
        Change.of(np.array(spoilt, np.int32), np.zeros(1, np.float32))
