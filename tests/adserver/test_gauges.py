"""What Prometheus is told of money."""

from __future__ import annotations

import multiprocessing
import os
from types import SimpleNamespace

import numpy as np

from adserver import metrics
from adserver.bank import Bank
from adserver.books import Books
from adserver.state.memory import MemoryStore
from auction.books import UNLIMITED
from auction.columns import Level, account_of

DAY = 20_000
CAMPAIGN = account_of(Level.CAMPAIGN, 3)


def told(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_billed_money_is_counted_by_event_in_dollars():
    before = told("adserver_billed_dollars_total", event="viewable")

    metrics.billed("viewable", 2_500)
    metrics.billed("viewable", 0)

    rose = told("adserver_billed_dollars_total", event="viewable") - before
    assert round(rose * 1_000_000) == 2_500


def test_leased_money_is_told_by_level_and_what_was_taken_from_the_dead_is_counted():
    bank = Bank(Books(MemoryStore()), 0, 1)
    bank.limit({CAMPAIGN: (8_000_000, UNLIMITED)}, DAY)
    bank.reserve(np.array([[-1, CAMPAIGN, -1, -1]]), np.array([500_000]), DAY)
    before = told("adserver_leases_taken_back_total")

    metrics.observe_money(SimpleNamespace(bank=bank, rose=lambda: 3))

    free = bank.books.read([CAMPAIGN])[0].out - 500_000
    assert told("adserver_leased_dollars", level="campaign", use="promised") == 0.5
    assert told("adserver_leased_dollars", level="campaign", use="free") == free / 1_000_000
    assert told("adserver_leased_dollars", level="deal", use="promised") == 0
    assert told("adserver_leases_taken_back_total") - before == 3


def test_gauges_of_the_dead_are_forgotten_and_their_counters_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    gone = multiprocessing.get_context("spawn").Process(target=int)
    gone.start()
    gone.join()
    for name in ("gauge_livesum", "gauge_livemin", "counter"):
        for pid in (gone.pid, os.getpid()):
            (tmp_path / f"{name}_{pid}.db").touch()

    metrics.forget_the_dead()

    assert {path.name for path in tmp_path.iterdir()} == {
        f"counter_{gone.pid}.db",
        *(f"{name}_{os.getpid()}.db" for name in ("gauge_livesum", "gauge_livemin", "counter")),
    }
