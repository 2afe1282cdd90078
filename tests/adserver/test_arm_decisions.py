"""Several models at once in one worker: whose scores a decision has, and what a trial may cost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from arm_place import Place, three_models
from catalogue_sample import NOW

from adserver.arms import Arm, Beside
from adserver.batcher import Ask
from adserver.catalogue.tables import add_tables
from adserver.deadline import Deadline
from adserver.errors import ConfigError
from adserver.wire import decision as wire_decision
from bench.released.scores import ABSOLUTE, RELATIVE, rates
from ranking.scorer import FULL, Pairs, Refused
from ranking.table import AdTable, table_folder
from simulator.traffic import requests
from simulator.world import World

HALF = 500_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return three_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def pages():
    bodies = requests(World(1), np.random.default_rng(2), 60)
    parsed = [wire_decision.parse(json.dumps(body).encode()) for body in bodies]
    return [replace(page, user=f"person-{n}") for n, page in enumerate(parsed)]


@pytest.fixture
def place(tmp_path, clock, repository):
    made = Place(tmp_path, clock, repository)
    yield made
    made.system.close()


def models_of(decisions):
    return {decision.request.user: decision.model for decision in decisions}


@pytest.mark.parametrize("version", [2, 3])
def test_every_click_rate_is_of_the_model_that_the_decision_names(version, place, pages):
    place.pipeline.beside = Beside(canary=place.edition(version), share_ppm=HALF, salt="s")

    decisions = place.decide(pages)

    table = place.logged()
    model, arm, rate = (table[name].to_numpy() for name in ("model", "arm", "pctr"))
    named = {decision.id: decision.model for decision in decisions}
    deciding = [named[f"{number:016x}"] for number in table["decision"].to_pylist()]
    assert deciding == [f"ctr_ranker/{one}" for one in model]
    assert set(zip(model, arm, strict=True)) == {(1, "production"), (version, "canary")}
    by = {v: rates(place.editions.bundle(v), table) for v in (1, version)}
    own, others = (np.where(model == one, by[1], by[version]) for one in (1, version))
    assert rate == pytest.approx(own, rel=RELATIVE, abs=ABSOLUTE)
    assert np.median(np.abs(rate / others - 1)) > 0.01


class Absent:
    """A scorer that lets the loop turn before it answers, as one behind a network does."""

    def __init__(self, scorer, turns):
        self.scorer, self.turns = scorer, turns

    async def score(self, pairs, timeout_s):
        for _ in range(next(self.turns)):
            await asyncio.sleep(0)
        return await self.scorer.score(pairs, timeout_s)


def test_a_batch_in_flight_keeps_the_editions_it_began_with(place, pages):
    """Whatever replaces them meanwhile: a click rate never mixes two models."""
    system, rng = place.system, np.random.default_rng(3)
    turns = iter(rng.integers(0, 9, 10_000).tolist())
    place.pipeline.ranks.scorer = Absent(place.editions.scorer, turns)
    editions = {1: system.edition, 2: place.edition(2), 3: place.edition(3)}
    deadline = Deadline(system.clock() + 1.0, system.clock)

    async def ask():
        some = [Ask(pages[n], deadline, system.clock()) for n in rng.integers(0, len(pages), 6)]
        return await place.pipeline.decide(some)

    async def run():
        asked = []
        for _ in range(60):
            production, other = rng.permutation([1, 2, 3])[:2]
            place.pipeline.edition = editions[production]
            place.pipeline.beside = Beside(editions[other], None, HALF, "s")
            asked.append(asyncio.ensure_future(ask()))
            for _ in range(int(rng.integers(0, 6))):
                await asyncio.sleep(0)
        await asyncio.gather(*asked)
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(run())

    table = place.logged()
    model = table["model"].to_numpy()
    by = {v: rates(place.editions.bundle(v), table) for v in (1, 2, 3)}
    own = np.select([model == v for v in (1, 2, 3)], [by[v] for v in (1, 2, 3)])
    assert len(table) > 200
    assert set(model) == {1, 2, 3}
    assert table["pctr"].to_numpy() == pytest.approx(own, rel=RELATIVE, abs=ABSOLUTE)


def test_answers_come_in_the_order_of_the_questions(place, pages):
    place.pipeline.beside = Beside(canary=place.edition(2), share_ppm=HALF, salt="s")

    decisions = place.decide(pages)

    assert [decision.request for decision in decisions] == pages
    assert len({decision.id for decision in decisions}) == len(pages)
    assert {decision.arm for decision in decisions} == {"production", "canary"}
    assert sum(requests for _, requests in place.heard.batches) == len(pages)


def test_a_person_stays_in_an_arm_and_the_tenth_holds_the_hundredth(place, pages):
    canary = place.edition(2)
    arms = []
    for share in (HALF // 5, HALF // 5, HALF):
        place.pipeline.beside = Beside(canary=canary, share_ppm=share, salt="s")
        arms.append(models_of(place.decide(pages)))

    first, again, more = arms
    in_canary = [{user for user, model in one.items() if model[-1] == "2"} for one in arms]
    assert first == again
    assert 0 < len(in_canary[0]) < len(in_canary[2]) < len(pages)
    assert in_canary[0] <= in_canary[2]
    assert more != first


def test_people_without_a_name_are_drawn_by_decision(place, pages):
    place.pipeline.beside = Beside(canary=place.edition(2), share_ppm=HALF, salt="s")
    nobody = replace(pages[0], user="", page_view="")

    decisions = place.decide([nobody] * 40)

    assert {decision.model for decision in decisions} == {"ctr_ranker/1", "ctr_ranker/2"}


def test_all_arms_spend_the_same_money_and_share_one_window(place, pages):
    place.pipeline.beside = Beside(canary=place.edition(3), share_ppm=HALF, salt="s")

    decisions = place.decide(pages)

    sold = [o.sold for d in decisions for o in d.outcomes if o.sold]
    assert {d.arm for d in decisions if any(o.sold for o in d.outcomes)} == {"production", "canary"}
    assert sum(place.system.drawer.bank.out()[1]) > 0
    assert place.pipeline.exposure.check() == []
    assert len(sold) > 40


class Said:
    """A log that keeps what is said; the usual one would print every local of the traceback."""

    def __init__(self):
        self.lines = []

    def exception(self, event, **about):
        self.lines.append((event, about))


def test_a_canary_that_fails_costs_no_request_and_is_logged_once(place, pages, monkeypatch):
    said = Said()
    monkeypatch.setattr("adserver.pipeline.log", said)
    canary = place.edition(3)
    broken = replace(canary.bundle, count=None)
    place.pipeline.beside = Beside(
        replace(canary, bundle=broken), share_ppm=HALF, salt="s", phase=7
    )

    decisions = [*place.decide(pages), *place.decide(pages)]

    assert {decision.model for decision in decisions} == {"ctr_ranker/1"}
    assert len(decisions) == 2 * len(pages)
    assert set(place.heard.failures) == {(Arm("canary", 7), 3)}
    assert [about["model"] for _, about in said.lines] == ["ctr_ranker/3"]


def test_a_canary_whose_scorer_fails_leaves_productions_circuit_closed(place, pages):
    place.pipeline.beside = Beside(canary=place.edition(3), share_ppm=HALF, salt="s")
    place.editions.keep({1})  # the scorer has forgotten it

    for _ in range(6):
        decisions = place.decide(pages)

    quality = {decision.arm: decision.quality for decision in decisions}
    assert quality["production"] == FULL
    assert quality["canary"] > FULL
    circuits = {model: one.circuit.name for model, one in place.pipeline.ranks.breakers.items()}
    assert circuits == {1: "CLOSED", 3: "OPEN"}


def test_a_shadow_scores_what_others_decide_and_changes_nothing(place, pages, tmp_path, clock):
    alone = place.decide(pages)
    other = Place(tmp_path / "other", clock, place.editions.registry)
    other.pipeline.beside = Beside(shadow=other.edition(3))

    shadowed = other.decide(pages)
    other.system.close()

    def sales(decisions):
        return [[(o.sold and o.sold.creative.ad_id, o.sold and o.sold.clear_micros)
                 for o in d.outcomes] for d in decisions]  # fmt: skip

    assert sales(alone) == sales(shadowed)
    assert {decision.model for decision in shadowed} == {"ctr_ranker/1"}
    ((version, scored),) = other.heard.scored
    assert (version, scored.requests) == (3, len(pages))
    assert scored.rows > 1_000
    assert 0.5 < scored.correlation < 0.99999
    assert scored.slots > 40


def test_a_shadow_like_production_agrees_with_it_in_everything(place, pages):
    place.pipeline.beside = Beside(shadow=place.edition(2))  # its rates are half as high again

    place.decide(pages)

    ((_, scored),) = place.heard.scored
    assert scored.correlation == pytest.approx(1.0, abs=1e-6)
    assert scored.mean_ratio == pytest.approx(1.5, rel=0.02)


def test_a_shadow_scores_no_more_than_its_allowance_and_counts_what_it_skips(place, pages, clock):
    shadowing = place.pipeline.shadowing
    shadowing.rows_per_s = 50
    place.pipeline.beside = Beside(shadow=place.edition(2))

    for _ in range(20):
        place.decide(pages[:8])  # each far more than a second's rows
    clock.advance(60.0)
    place.decide(pages[:8])

    scored = sum(one.requests for _, one in place.heard.scored)
    skipped = sum(one.skipped for _, one in place.heard.scored)
    assert (scored, skipped) == (16, 19 * 8)


def test_a_shadow_waits_for_no_time_that_requests_need(place, pages):
    place.pipeline.beside = Beside(shadow=place.edition(2))
    place.pipeline.shadowing.behind = lambda: True

    place.decide(pages)

    assert [one.skipped for _, one in place.heard.scored] == [len(pages)]


def test_tests_are_not_compared(place, pages):
    place.pipeline.beside = Beside(shadow=place.edition(2))

    place.decide([replace(page, test=True) for page in pages])

    assert place.heard.scored == []


def test_a_models_tables_lie_beside_the_snapshots_own_and_are_its_own(place, repository):
    snapshot = place.system.edition.snapshot.folder
    shared, other = place.edition(2), place.edition(3)

    own = table_folder(snapshot, shared.bundle.tables_sha256)
    assert own == snapshot / "ranker"
    assert table_folder(snapshot, other.bundle.tables_sha256).parent.parent == snapshot / "models"
    assert other.table.model == other.bundle.tables_sha256 != shared.table.model
    rebuilt = AdTable.build(other.bundle, place.system.edition.snapshot.encoded)
    assert other.table.vector.tobytes() == rebuilt.vector.tobytes()
    assert (other.overlay.live.base == shared.overlay.live.base).all() == (
        (other.table.bias == shared.table.bias).all()
    )


def test_a_damaged_table_is_not_served(place):
    edition = place.edition(3)
    folder = table_folder(edition.snapshot.folder, edition.bundle.tables_sha256)
    content = bytearray((folder / "vector.npy").read_bytes())
    content[-1] ^= 1
    (folder / "vector.npy").unlink()
    (folder / "vector.npy").write_bytes(content)

    with pytest.raises(Exception, match="sha256"):
        place.editions.beside(place.system.edition, 3, NOW)


def test_a_snapshot_of_another_schema_gets_no_tables(place):
    snapshot = place.system.edition.snapshot
    manifest = json.loads((snapshot.folder / "manifest.json").read_text())
    (snapshot.folder / "manifest.json").write_text(json.dumps(manifest | {"feature_schema": "x"}))

    with pytest.raises(ConfigError, match="feature schema"):
        add_tables(snapshot.folder, place.editions.bundle(3))


def test_a_scorer_refuses_a_model_that_it_does_not_have(place):
    pairs = Pairs(1, np.zeros((1, 32), np.float32), np.zeros(1, np.float32),
                  np.zeros(1, np.int32), np.array([0, 1], np.int32), model=9)  # fmt: skip

    with pytest.raises(Refused, match="9"):
        asyncio.run(place.editions.scorer.score(pairs, 1.0))
