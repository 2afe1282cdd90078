"""Several models at once in one worker: whose scores a decision has, and what a trial may cost."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalogue_sample import NOW
from model_variants import exported, repository_at
from test_pipeline import System

from adserver.arms import Arm, Beside
from adserver.batcher import Ask
from adserver.catalogue.tables import add_tables, are_there
from adserver.deadline import Clocks, Deadline
from adserver.editions import Editions
from adserver.errors import ConfigError
from adserver.features.log import read
from adserver.features.rows import matrix
from adserver.following import Following, Serving
from adserver.releases.registry import Registry
from adserver.releases.states import State
from adserver.wire import decision as wire_decision
from ranking.bundle import Bundle, BundleError
from ranking.int8 import LocalScorer
from ranking.scorer import FULL, Pairs, Refused
from ranking.table import AdTable, table_folder
from simulator.traffic import requests
from simulator.world import World

HALF = 500_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """1 in production; 2 has another calibration, 3 other towers and therefore other tables."""
    folder = tmp_path_factory.mktemp("models")
    registry = Registry(repository_at(folder / "repository"))
    for name, change in (("rate", {"rate": 1.5}), ("towers", {"shift": 0.05})):
        registry.register(exported(folder / name, **change), 0)
    return registry


@pytest.fixture(scope="module")
def pages():
    bodies = requests(World(1), np.random.default_rng(2), 60)
    parsed = [wire_decision.parse(json.dumps(body).encode()) for body in bodies]
    return [replace(page, user=f"person-{n}") for n, page in enumerate(parsed)]


class Heard:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.batches, self.failures, self.scored = [], [], []

    def decided(self, verdict, decisions, took_s):
        self.batches.append((verdict.edition.bundle.version, len(decisions)))

    def failed(self, arm, model, requests):
        self.failures.append((arm, model))

    def shadowed(self, arm, model, scored):
        self.scored.append((model, scored))


class Place:
    """A system whose worker has the editions of three models."""

    def __init__(self, folder, clock, repository):
        self.system = System(folder, clock, model_repository=repository.repository)
        self.pipeline = self.system.pipeline
        self.editions = Editions(self.system.settings)
        self.pipeline.ranks.scorer = self.editions.scorer
        asyncio.run(self.editions.introduce(self.system.edition))
        self.heard = self.pipeline.observer = Heard()
        self.pipeline.shadowing.observer = self.heard

    def edition(self, version):
        found = self.editions.beside(self.system.edition, version, NOW)
        assert asyncio.run(self.editions.introduce(found)) == ""
        return found

    def decide(self, pages):
        return self.system.decide(pages)

    def logged(self):
        self.system.features.log.flush()
        return read(self.system.settings.features)


@pytest.fixture
def place(tmp_path, clock, repository):
    made = Place(tmp_path, clock, repository)
    yield made
    made.system.close()


def models_of(decisions):
    return {decision.request.user: decision.model for decision in decisions}


def rates_by(bundle, table):
    """[n] click rates that this model gives the logged rows, from the log and the model alone."""
    request, ads, slot, counts = (
        matrix(table[name], name) for name in ("request", "ads", "slot_ids", "counts")
    )
    scorer = LocalScorer(bundle)
    scorer.add(1, AdTable.build(bundle, ads))
    vector, bias = bundle.towers.request(request)
    each = np.arange(len(table) + 1, dtype=np.int32)
    logit = scorer.score(Pairs(1, vector, bias, each[:-1], each))
    return bundle.calibration(logit + bundle.towers.slot_bias(slot) + bundle.count(counts))


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
    rates = {v: rates_by(place.editions.bundle(v), table) for v in (1, version)}
    own, others = (np.where(model == one, rates[1], rates[version]) for one in (1, version))
    assert rate == pytest.approx(own, rel=1e-3, abs=2e-6)
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
    rates = {v: rates_by(place.editions.bundle(v), table) for v in (1, 2, 3)}
    own = np.select([model == v for v in (1, 2, 3)], [rates[v] for v in (1, 2, 3)])
    assert len(table) > 200
    assert set(model) == {1, 2, 3}
    assert table["pctr"].to_numpy() == pytest.approx(own, rel=1e-3, abs=2e-6)


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


class Follower:
    """Follows the repository of a place; every step is half a second."""

    def __init__(self, place, clock, **made):
        self.registry = place.editions.registry
        settings = place.system.settings
        clocks = Clocks(lambda: NOW, clock)
        self.following = Following(place.editions, settings.snapshots, clocks, **made)
        self.now, self.clock = Serving(place.system.edition), clock

    async def _steps(self, steps, wanted):
        for _ in range(steps):
            self.clock.advance(0.5)
            self.now = await self.following.step(self.now)
            if wanted and wanted == self.serves():
                break
            if wanted:
                await asyncio.sleep(0.05)  # another process is at work
        await self.following.close()

    def step(self, steps=1, wanted=None):
        asyncio.run(self._steps(steps, wanted))
        return self.serves()

    def serves(self):
        beside = {arm: one.bundle.version for arm, one in self.now.beside.editions().items()}
        return {"production": self.now.production.bundle.version, **beside}


@pytest.fixture
def follower(tmp_path, clock):
    folder = tmp_path / "follower"
    registry = Registry(repository_at(folder / "repository"))
    registry.register(exported(folder / "rate", rate=1.5), 0)
    registry.register(exported(folder / "towers", shift=0.05), 0)
    place = Place(folder / "data", clock, registry)
    yield Follower(place, clock, makes_tables=True)
    place.system.close()


def promote(follower, version, to=None):
    follower.registry.promote(version, to, 0, "", {})


def test_a_release_is_followed_from_shadow_to_production_and_back(follower):
    assert follower.step() == {"production": 1}
    first = follower.now.production

    promote(follower, 2)
    assert follower.step() == {"production": 1, "shadow": 2}
    shadow = follower.now.beside.shadow
    promote(follower, 2)
    assert follower.step() == {"production": 1, "canary": 2}
    assert follower.now.beside.share_ppm == 10_000
    promote(follower, 2)
    assert follower.step() == {"production": 1, "canary": 2}
    assert follower.now.beside.share_ppm == 100_000
    promote(follower, 2)
    assert follower.step() == {"production": 2}
    assert follower.now.production is shadow  # opened once, for the whole way
    assert follower.now.beside.editions() == {}
    assert follower.now.beside.phase == follower.registry.traffic().phase > 0
    follower.registry.roll_back(2, 0, "", {})
    assert follower.step() == {"production": 1}
    assert follower.now.production is not first
    assert follower.step() == {"production": 1}


def test_tables_are_made_by_another_process_while_production_goes_on(follower):
    promote(follower, 3, State.CANARY_10)
    assert follower.step() == {"production": 1}

    both = follower.step(600, {"production": 1, "canary": 3})

    assert both == {"production": 1, "canary": 3}
    snapshot = follower.now.production.snapshot.folder
    assert are_there(snapshot, follower.now.beside.canary.bundle)


def test_a_worker_that_makes_no_tables_waits_for_those_who_do(follower):
    follower.following.makes_tables = False
    promote(follower, 3, State.CANARY_10)

    assert follower.step(3) == {"production": 1}
    snapshot = follower.now.production.snapshot.folder
    add_tables(snapshot, Bundle.load(follower.registry.folder(3)))

    assert follower.step() == {"production": 1, "canary": 3}


def test_a_model_that_cannot_be_loaded_is_tried_again_and_production_goes_on(follower):
    promote(follower, 2, State.CANARY_1)
    damaged = follower.registry.folder(2) / "calibration.npz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])

    assert follower.step(4) == {"production": 1}
    damaged.write_bytes(whole)

    assert follower.step(12) == {"production": 1, "canary": 2}


def test_a_model_of_another_feature_schema_is_not_served(follower):
    promote(follower, 2, State.SHADOW)
    manifest = follower.registry.folder(2) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"feature_schema": "x"}))

    assert follower.step(3) == {"production": 1}
    with pytest.raises(BundleError, match="feature schema"):
        follower.following.editions.bundle(2)


def test_a_production_model_that_cannot_be_loaded_leaves_the_old_one_deciding(follower):
    damaged = follower.registry.folder(2) / "calibration.npz"
    damaged.write_bytes(b"")
    promote(follower, 2, State.PRODUCTION)

    assert follower.step(20) == {"production": 1}
    follower.registry.roll_back(2, 0, "", {})
    assert follower.step(20) == {"production": 1}


def mapped(path):
    return str(path) in Path("/proc/self/maps").read_text()


def test_what_is_served_no_more_is_closed(follower):
    snapshot = follower.now.production.snapshot.folder
    add_tables(snapshot, Bundle.load(follower.registry.folder(3)))
    promote(follower, 3, State.CANARY_1)
    assert follower.step() == {"production": 1, "canary": 3}
    assert mapped(snapshot / "models")

    follower.registry.roll_back(3, 0, "", {})
    assert follower.step(2) == {"production": 1}
    gc.collect()

    assert not mapped(snapshot / "models")
    assert set(follower.following.editions._local.models) == {1}
