"""Real decisions, recorded: each is found by its id, and sells again as it was sold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from auction_market import as_dict
from catalogue_sample import NOW
from test_pipeline import UNLIMITED, System

from adserver import metrics
from adserver.auctions.again import again
from adserver.auctions.find import find
from adserver.auctions.sample import is_sampled, read_sample
from adserver.wire import decision as wire_decision
from auction.columns import Level, Rejection, account_of
from simulator.traffic import requests
from simulator.world import World


@pytest.fixture(scope="module")
def asked():
    bodies = requests(World(1), np.random.default_rng(2), 60)
    return [wire_decision.parse(json.dumps(body).encode()) for body in bodies]


@pytest.fixture
def system(tmp_path, clock):
    system = System(tmp_path, clock, auction_sample_one_in=1)
    yield system
    system.close()


def test_every_decision_is_found_by_its_id_with_its_request_and_its_sales(system, asked):
    decisions = system.decide(asked)

    for decision, request in zip(decisions, asked, strict=True):
        page = find(system.settings.auctions, int(decision.id, 16))
        assert page.request() == replace(request, unserved=())
        assert page.notes.snapshot.tolist() == [decision.snapshot]
        assert page.notes.sold.tolist() == [o.sold is not None for o in decision.outcomes]
        won = page.slate.winner[page.notes.sold]
        assert page.notes.ad_id[won].tolist() == [
            o.sold.creative.ad_id for o in decision.outcomes if o.sold
        ]


def test_sampled_decisions_sell_again_as_they_were_sold(system, asked):
    for _ in range(5):
        system.decide(asked)
    system.recorder.close()

    pages = [page for record in read_sample(system.settings.auctions) for page in record.pages()]

    assert len(pages) == 5 * len(asked)
    for page in pages:
        assert as_dict(again(page, system.pipeline.prices.settings)) == as_dict(page.slate)


def test_a_budget_that_ends_within_a_batch_ends_again_in_each_page_of_it(system, asked):
    """The money that a page found is noted before the batch's sales are taken off it."""
    decisions = system.decide(asked)
    sold = [o.sold.creative for d in decisions for o in d.outcomes if o.sold]
    winners = sorted({creative.campaign_id for creative in sold})
    account = np.array([account_of(Level.CAMPAIGN, winner) for winner in winners])
    left = np.full(len(winners), 1500, np.int64)
    system.drawer.limit(account, left, np.full(len(winners), UNLIMITED), NOW)
    system.decide(asked)
    system.recorder.close()

    pages = [page for record in read_sample(system.settings.auctions) for page in record.pages()]
    short = [page for page in pages[len(asked) :] if len(page.scarce.micros)]

    assert short
    assert any((page.slate.rejected == Rejection.BUDGET).any() for page in short)
    for page in short:
        assert as_dict(again(page, system.pipeline.prices.settings)) == as_dict(page.slate)


def test_the_sample_knows_no_users_and_no_test_requests(system, asked):
    page = replace(asked[0], user="somebody")
    system.decide([page, replace(page, test=True), page])
    system.recorder.close()

    (record,) = read_sample(system.settings.auctions)

    one, other = record.request(0), record.request(1)
    assert len(record) == 2
    assert one.user == other.user != "somebody"
    assert replace(one, user="somebody") == replace(page, unserved=())


def test_the_sample_is_of_the_numbers_that_their_hash_chooses(tmp_path, clock, asked):
    system = System(tmp_path, clock, auction_sample_one_in=4)

    decisions = system.decide(asked)
    system.close()

    sampled = [n for record in read_sample(system.settings.auctions) for n in record.notes.number]
    numbers = [int(decision.id, 16) for decision in decisions]
    assert sampled == [number for number in numbers if is_sampled(number, 4)]
    assert 0 < len(sampled) < len(asked)


def test_the_metrics_count_the_bytes(system, asked):
    system.decide(asked)
    before = metrics.AUCTION_BYTES.labels("ring")._value.get()

    metrics.observe_auctions(system.recorder, int(system.wall * 1000) + 5000)

    assert (
        metrics.AUCTION_BYTES.labels("ring")._value.get() - before == system.recorder.ring.written
    )
    assert metrics.AUCTIONS_KEPT._value.get() == 5.0
    assert set(system.recorder.rose().values()) == {0}
