"""A worker's decisions and their events, by the model that made them."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from catalogue_sample import NOW
from test_pipeline import DeadScorer, System

from adserver.events import EventSettings, Turnstile
from adserver.releases.collecting import Collector, statistics
from adserver.tokens import Kind, event_token
from adserver.wire import decision as wire_decision
from simulator.traffic import requests
from simulator.world import World


@pytest.fixture(scope="module")
def pages():
    bodies = requests(World(1), np.random.default_rng(2), 40)
    return [wire_decision.parse(json.dumps(body).encode()) for body in bodies]


def watched(tmp_path, clock, scorer=None):
    """A system with a collector, and the turnstile of its events."""
    system = System(tmp_path, clock, scorer)
    store = system.pipeline.histories.store
    collector = system.pipeline.observer = system.pipeline.till.trial = Collector(store, 0)
    till = system.pipeline.till
    turnstile = Turnstile(
        till.signer, system.drawer.book, system.drawer.bank, system.log, 0, EventSettings(),
        system.pipeline.histories, features=system.features, trial=collector,
    )  # fmt: skip
    return system, turnstile


def happen(turnstile, kind, sold):
    for one in sold:
        text = event_token(one.token, kind)
        asyncio.run(turnstile.receive(kind, text, int(NOW * 1000)))


def test_what_a_model_sold_is_shown_clicked_and_paid_under_its_name(tmp_path, clock, pages):
    system, turnstile = watched(tmp_path, clock)

    decisions = system.decide(pages)
    sold = [o.sold for decision in decisions for o in decision.outcomes if o.sold]
    happen(turnstile, Kind.IMPRESSION, sold * 2)  # the second time is refused
    happen(turnstile, Kind.CLICK, sold[:5])
    turnstile.trial.flush()

    sums = statistics(turnstile.trial.store, 0, 0)
    stats = sums[system.edition.bundle.version]
    per_click = [one.charge_micros for one in sold[:5] if one.per_click]
    paid = per_click + [one.charge_micros for one in sold if not one.per_click]
    assert len(sums) == 1
    assert (stats.requests, sum(stats.took_ms)) == (len(pages), len(pages))
    assert stats.slots == sum(len(decision.outcomes) for decision in decisions)
    assert stats.sold == stats.impressions == len(sold) > 10
    assert (stats.clicks, stats.revenue) == (5, sum(paid))
    assert stats.revenue_squares == pytest.approx(sum(micros**2 for micros in paid))
    assert stats.expected == pytest.approx(sum(one.pctr for one in sold), abs=1e-6 * len(sold))
    system.close()


def test_sales_by_the_fallback_are_no_evidence_for_or_against_the_model(tmp_path, clock, pages):
    system, turnstile = watched(tmp_path, clock, DeadScorer())

    decisions = system.decide(pages)
    sold = [o.sold for decision in decisions for o in decision.outcomes if o.sold]
    happen(turnstile, Kind.IMPRESSION, sold)
    turnstile.trial.flush()

    (stats,) = statistics(turnstile.trial.store, 0, 0).values()
    assert sold
    assert (stats.requests, stats.degraded) == (len(pages), len(pages))
    assert (stats.impressions, stats.expected, stats.revenue) == (0, 0.0, 0)
    system.close()
