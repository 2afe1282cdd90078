"""What models do is counted once, in the phase of the decision, whoever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from adserver.arms import Arm
from adserver.decision import Decision, Funnel, Outcome
from adserver.releases.collecting import RECENT, Collector, forget, statistics
from adserver.releases.statistics import SLOWEST_MS, Scored, Stats
from adserver.request import AdRequest, Slot
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from adserver.state.store import StoreFailed
from adserver.tokens import Kind, Token
from auction.columns import Rejection

SLOTS = (Slot("top", "news/top"), Slot("side", "news/side"))
TOKEN = Token(
    "d", 0, 1, 2, "c", 3, 4, "p", 0, 0, 0, 0, model=7, phase=3, pctr_ppm=20_000
)  # fmt: skip
SOLD = object()  # only whether there is one counts


def decision(quality=0, sold=1, test=False):
    outcomes = tuple(
        Outcome(slot, SOLD if n < sold else None, Rejection(0)) for n, slot in enumerate(SLOTS)
    )
    request = AdRequest("r", SLOTS, test=test)
    return Decision("d", request, outcomes, quality, 1, "ctr_ranker/7", Funnel(), {}, 1.0)


def by(model, phase=3):
    """A verdict, as far as it is looked at."""
    bundle = SimpleNamespace(version=model)
    return SimpleNamespace(edition=SimpleNamespace(bundle=bundle), arm=Arm("canary", phase))


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "state", 1 << 20)
    yield made
    made.close()


def test_decisions_and_events_of_two_workers_are_one_sum(store):
    one, other = Collector(store, 0, 3), Collector(store, 1, 3)

    one.decided(by(7), [decision(), decision(sold=2)], 0.0129)
    one.decided(by(8), [decision(sold=0)], 0.003)
    other.decided(by(7), [decision()], 0.0121)
    other.witness(Kind.IMPRESSION, TOKEN, 0)
    one.witness(Kind.CLICK, TOKEN, 500_000)
    one.flush(), other.flush()

    sums = statistics(store, 3, 3)
    assert set(sums) == {7, 8}
    assert sums[7] == Stats(
        requests=3, impressions=1, clicks=1, expected=0.02, batch_squares=5,
        revenue=500_000, revenue_squares=2.5e11, took_ms=(*[0] * 12, 3), slots=6, sold=4,
    )  # fmt: skip
    assert (sums[8].requests, sums[8].sold) == (1, 0)


def test_what_the_fallback_decided_is_not_the_models(store):
    collector = Collector(store, 0)

    collector.decided(by(7), [decision(quality=1), decision(quality=2)], 1e9)
    collector.failed(Arm("canary", 3), 7, 3)
    collector.flush()

    (stats,) = statistics(store, 3, 3).values()
    assert (stats.requests, stats.degraded, stats.errors, stats.slots) == (5, 1, 3, 2)
    assert stats.took_ms[SLOWEST_MS] == 2


def test_tests_and_sales_that_no_model_answers_for_count_nowhere(store):
    collector = Collector(store, 0)

    collector.decided(by(7), [decision(test=True)], 0.001)
    collector.witness(Kind.CLICK, replace(TOKEN, model=0), 0)
    collector.flush()

    assert statistics(store, 0, 9) == {7: Stats(took_ms=(0, 0))}


def test_an_event_counts_in_the_phase_of_its_decision(store):
    """A click comes minutes later, when another version may decide."""
    collector = Collector(store, 0, 3)
    collector.witness(Kind.IMPRESSION, TOKEN, 0)
    collector.phase = 5
    collector.witness(Kind.CLICK, TOKEN, 0)
    collector.decided(by(9, 5), [decision()], 0.001)
    collector.flush()

    assert statistics(store, 3, 3)[7].copc == pytest.approx(1 / 0.02)
    assert set(statistics(store, 4, 5)) == {9}
    assert set(statistics(store, 0, 9)) == {7, 9}


def test_phases_long_past_are_forgotten_and_no_late_event_brings_them_back(store):
    collector = Collector(store, 0, 3)
    collector.witness(Kind.IMPRESSION, TOKEN, 0)
    collector.flush()

    forget(store, 4)
    collector.phase = 3 + RECENT
    collector.witness(Kind.CLICK, TOKEN, 0)
    collector.flush()

    assert (statistics(store, 0, 99), collector.lost) == ({}, 1)


def test_a_successor_goes_on_in_the_record_of_a_worker_that_died(store):
    dead = Collector(store, 0)
    dead.decided(by(7), [decision()], 0.001)
    dead.flush()
    dead.decided(by(7), [decision()], 0.001)  # takes this along

    successor = Collector(store, 0)
    successor.decided(by(7), [decision()], 0.001)
    successor.flush()
    successor.flush()

    assert statistics(store, 3, 3)[7].requests == 2


def test_what_a_store_does_not_take_is_added_when_it_does(monkeypatch):
    store = MemoryStore()
    collector = Collector(store, 0)

    def fails(*_):
        raise StoreFailed("full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "update", fails)
        for _ in range(3):
            collector.decided(by(7), [decision()], 0.001)
            collector.flush()
    collector.decided(by(7), [decision()], 0.001)
    collector.flush()

    assert statistics(store, 3, 3)[7].requests == 4


def test_a_record_stays_small(store):
    """Two versions after a day under load: what a worker writes twice a second."""
    collector = Collector(store, 0)
    for version in (7, 8):
        for ms in range(SLOWEST_MS + 1):
            collector.decided(by(version, 0), [decision()] * 100, ms / 1000 + 1e-6)
        collector.shadowed(
            Arm("shadow"), version, Scored(10**9, 10**9, 0, *[1.5e9] * 7, 10**9, 10**7)
        )
    collector.flush()

    ((_, value),) = store.scan(b"trial/2/")
    assert len(value) < 1000
