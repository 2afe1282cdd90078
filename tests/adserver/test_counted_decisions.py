"""Decisions with running counts: what they change, what is logged, what an outage costs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from catalogue_sample import NOW
from test_pipeline import DeadScorer, System

from adserver.auctions.again import again
from adserver.auctions.sample import read_sample
from adserver.batcher import Ask
from adserver.deadline import Deadline
from adserver.features.log import FeatureLog, FeatureLogSettings, read
from adserver.features.rows import matrix
from adserver.state.store import StoreFailed
from adserver.tokens import Kind, event_token
from adserver.wire import decision as wire_decision
from auction.settings import AuctionSettings
from ranking.counts import COUNTS, HIDDEN, CountHead
from ranking.scorer import FALLBACK
from simulator.traffic import requests
from simulator.world import World

NOW_MS = int(NOW * 1000)


class Down:
    """A state store that neither answers nor takes anything."""

    def __getattr__(self, name):
        def fail(*_):
            raise StoreFailed("no answer")

        return fail


@pytest.fixture
def system(tmp_path, clock):
    made = System(tmp_path, clock, auction_sample_one_in=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def pages():
    bodies = requests(World(1), np.random.default_rng(2), 40)
    return [wire_decision.parse(json.dumps(body).encode()) for body in bodies]


def learned(system):
    """Give the count head and the fallback weights that matter."""
    rng = np.random.default_rng(1)
    shapes = ((COUNTS, HIDDEN), (HIDDEN,), (HIDDEN,))
    head = CountHead(*(rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes))
    bundle = system.edition.bundle
    logistic = replace(bundle.logistic, count=rng.normal(0, 0.3, COUNTS).astype(np.float32))
    bundle = replace(bundle, count=head, logistic=logistic)
    system.pipeline.edition = replace(system.edition, bundle=bundle)


def sold(decisions):
    return [o.sold for decision in decisions for o in decision.outcomes if o.sold]


def happen(system, decisions, kind=Kind.IMPRESSION, times=1):
    """So many events of each sale, by their tokens; then the second passes."""
    till = system.pipeline.till
    for one in sold(decisions) * times:
        text = event_token(one.token, kind)
        token = till.signer.verify(text, kind, NOW_MS, 1 << 40)
        system.features.witness(kind, token, NOW_MS)
    system.features.tend(NOW_MS)


def logged(system):
    system.features.log.flush()
    return read(system.settings.features)


def test_counts_change_click_rates_and_the_logged_counts_say_how(system, pages):
    learned(system)
    before = system.decide(pages)
    happen(system, before, times=30)

    after = system.decide(pages)

    counts = matrix(logged(system)["counts"], "counts")
    first, second = counts[: len(sold(before))], counts[len(sold(before)) :]
    assert not first.any()
    assert (second[:, 3] > 3).any()  # log(1 + 30) and more
    rates = {(o.sold.creative.ad_id): o.sold.pctr for d in before for o in d.outcomes if o.sold}
    again_sold = [one for one in sold(after) if one.creative.ad_id in rates]
    assert any(one.pctr != rates[one.creative.ad_id] for one in again_sold)


def test_a_person_is_remembered_by_key_and_nobody_else(system, pages):
    named = [replace(page, user="ann") for page in pages[:5]]
    nameless = [replace(page, user="", page_view=f"pv{n}") for n, page in enumerate(pages[5:10])]
    happen(system, system.decide([*named, *nameless]), Kind.CLICK)

    store = system.pipeline.histories.store
    assert len(store.scan(b"fp1/")) == 1
    people = system.pipeline.histories.identities.of([named[0], nameless[0]])
    known = system.features.look(people, NOW_MS)
    assert len(known.clicked[0]) > 0
    assert known.clicked[1] == []


def test_an_event_right_after_a_decision_changes_nothing_of_what_is_logged_for_it(system, pages):
    """The row is built two turns of the loop after the answer; the counts are of the auction."""
    learned(system)
    happen(system, system.decide(pages), times=5)
    expected = []

    async def run():
        deadline = Deadline(system.clock() + 1.0, system.clock)
        asks = [Ask(page, deadline, system.clock()) for page in pages]
        decisions = await system.pipeline.decide(asks)
        expected.append(len(sold(decisions)))
        board = system.features.counters.board
        for table in (board.ad, board.advertiser, board.place):
            table[:] = 77.0
        happen(system, decisions, times=50)  # before the loop has turned
        for _ in range(4):
            await asyncio.sleep(0)

    system.features.log.flush()
    written = system.features.log.written
    asyncio.run(run())

    table = logged(system)[written:]
    counts = matrix(table["counts"], "counts")
    assert len(table) == expected[0] > 20
    assert counts.max() < np.log(1 + 40 * 5 * 3)
    assert not (counts == 77.0).any()
    assert counts.any()


def test_tests_are_not_logged_and_not_counted(system, pages):
    system.decide([replace(page, test=True) for page in pages])

    assert len(logged(system)) == 0


def test_every_sold_slot_is_logged_once(system, pages):
    decisions = system.decide(pages)

    table = logged(system)

    expected = [
        (int(d.id, 16), at, o.sold.creative.ad_id)
        for d in decisions
        for at, o in enumerate(d.outcomes)
        if o.sold
    ]
    columns = (table[name].to_pylist() for name in ("decision", "slot", "ad"))
    assert list(zip(*columns, strict=True)) == expected
    assert set(table["model"].to_pylist()) == {system.edition.bundle.version}


def test_the_fallback_adds_its_own_weights_and_is_logged_as_such(tmp_path, clock, pages):
    system = System(tmp_path, clock, DeadScorer())
    learned(system)
    happen(system, system.decide(pages), times=20)
    plain = replace(system.pipeline.edition, bundle=system.edition.bundle)

    weighed = system.decide(pages)
    counted_edition, system.pipeline.edition = system.pipeline.edition, plain
    unweighed = system.decide(pages)
    table = logged(system)
    system.close()

    assert counted_edition is not plain
    assert [one.pctr for one in sold(weighed)] != [one.pctr for one in sold(unweighed)]
    assert set(table["quality"].to_pylist()) == {FALLBACK}


def test_recorded_auctions_with_counts_replay_exactly(system, pages):
    learned(system)
    happen(system, system.decide(pages), times=30)
    system.decide(pages)
    system.recorder.sample.close()

    replayed = 0
    for group in read_sample(system.settings.auctions):
        for page in group.pages():
            slate = again(page, AuctionSettings())
            kept = page.notes.sold
            assert slate.winner[kept].tolist() == page.slate.winner[kept].tolist()
            assert slate.clear_micros[kept].tolist() == page.slate.clear_micros[kept].tolist()
            replayed += 1
    assert replayed == 2 * len(pages)
    system.recorder.sample = Quiet()


class Quiet:
    """A sample that is closed already."""

    written = dropped = 0

    def close(self): ...


def test_without_its_store_decisions_go_on_and_know_nothing(system, pages):
    features = system.features
    happen(system, system.decide([replace(pages[0], user="ann")]), times=3)
    features.counters.store = features.profiles.store = Down()

    decisions = system.decide([replace(page, user="ann") for page in pages])
    happen(system, decisions)

    assert len(sold(decisions)) > 20
    assert features.profiles.failed > 0
    features.counters.store = features.profiles.store = system.pipeline.histories.store
    lost = features.profiles.failed
    features.tend(NOW_MS)
    assert features.profiles.failed == lost  # what people saw meanwhile was kept


def test_a_full_log_costs_rows_and_no_decision(system, pages):
    log = system.features.log
    log.close()
    system.features.log = FeatureLog(
        system.settings.features, 1, lambda: NOW, FeatureLogSettings(queue=10, linger_s=3600.0)
    )

    decisions = [system.decide(pages) for _ in range(2)]

    assert all(sold(one) for one in decisions)
    assert system.features.log.dropped == sum(len(sold(one)) for one in decisions)
