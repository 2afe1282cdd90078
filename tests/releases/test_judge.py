"""A judge over a real registry and store, on a clock that is moved by hand."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from model_variants import exported, repository_at
from typer.testing import CliRunner

from adserver.cli import app
from adserver.releases.collecting import add, statistics
from adserver.releases.judge import CORRELATION, Judge, gated_correlation
from adserver.releases.limits import Limits
from adserver.releases.registry import Registry
from adserver.releases.states import SHARE_PPM, State
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from bench.trial import FAULTS, GOOD, Behaviour, past, shadow_at
from ranking import gate
from ranking.challenge import told

START_MS = 1_790_000_000_000
QUICK = Limits(
    shadow_s=20, canary1_s=60, canary10_s=60, requests=100, clicks=0, watch_s=120, settle_s=30
)


class Place:
    """A store, a registry with a second version in it, and workers that judge."""

    def __init__(self, folder, limits=QUICK, promotes=True, workers=1):
        self.store, self.now_ms = MemoryStore(), START_MS
        self.registry = Registry(repository_at(folder / "models"))
        self.registry.register(exported(folder / "run"), self.now_ms)
        self.judges = [
            Judge(self.registry, self.store, worker, limits, promotes) for worker in range(workers)
        ]

    def promote(self, to):
        self.registry.promote(2, to, self.now_ms, "asked for", {})

    @property
    def state(self):
        return self.registry.read().states[2]

    def pass_by(self, seconds, behaviour=GOOD, seed=1, per_s=500.0):
        """Seconds of traffic, judged twice a second, until the state changes."""
        state, rng = self.state, np.random.default_rng(seed)
        share = SHARE_PPM.get(state, 10**6 if state is State.PRODUCTION else 0) / 1e6
        ours = past(rng, behaviour, share * per_s, seconds)
        theirs = past(rng, GOOD, (1 - share) * per_s, seconds)
        for second in range(seconds):
            phase = self.registry.read().phase
            self._replace(phase, {1: theirs.at(second), 2: ours.at(second)})
            if state is State.SHADOW:
                add(self.store, phase, 0, {2: shadow_at(rng, 50, 0.1)})
            for _ in range(2):
                self.now_ms += 500
                for judge in self.judges:
                    judge.sit(self.now_ms)
            if self.state is not state:
                return second + 1
        return seconds

    def copy_to(self, data):
        """What is counted, where a server's commands look for it."""
        store = DiskStore(data / "state", 1 << 20)
        for key, value in self.store.scan(b"trial/"):
            store.update([key], lambda _, value=value: ([value], None))
        store.close()

    def _replace(self, phase, stats):
        known = statistics(self.store, phase, phase).get(2)
        scored = known.scored if known else stats[2].scored
        for key, _ in self.store.scan(b"trial/2/"):
            if key[8:12] == phase.to_bytes(4, "big"):
                self.store.update([key], lambda _: ([None], None))
        add(self.store, phase, 0, {**stats, 2: msgspec.structs.replace(stats[2], scored=scored)})


def test_a_good_model_goes_all_the_way_up_by_itself_and_stays(tmp_path):
    place = Place(tmp_path)
    place.promote(State.SHADOW)

    took = [place.pass_by(200, seed=seed) for seed in range(3)]
    seen = [move.to for move in place.registry.read().moves if move.version == 2]
    place.pass_by(200, seed=9)

    assert seen == list(State)[:-1]
    assert took[0] >= 20
    assert (took[1], took[2]) >= (60, 60)
    assert place.state is State.PRODUCTION
    numbers = place.registry.read().moves[-1].numbers
    assert numbers["requests"] > 2_000
    assert numbers["p99_ms"] < 40
    assert json.dumps(numbers)


@pytest.mark.parametrize("fault", ["calibration x 3", "slow scorer"])
@pytest.mark.parametrize("to", [State.CANARY_1, State.CANARY_10, State.PRODUCTION])
def test_a_broken_model_is_retired_within_a_minute_wherever_it_is(tmp_path, fault, to):
    place = Place(tmp_path, replace(QUICK, canary1_s=600, canary10_s=600))
    place.promote(State.SHADOW)
    place.pass_by(15)
    place.promote(State.CANARY_10)
    if to is State.PRODUCTION:
        place.pass_by(60)
    if to is not State.CANARY_10:
        place.now_ms += 1000
        place = place if to is State.PRODUCTION else _at_canary1(tmp_path / "again")
    if to is State.PRODUCTION:
        place.promote(to)

    took = place.pass_by(60, FAULTS[fault])

    released = place.registry.read()
    assert took <= 50
    assert released.states == {1: State.PRODUCTION, 2: State.RETIRED}
    (retired,) = (one for one in released.moves if (one.version, one.to) == (2, State.RETIRED))
    assert retired.reason.startswith("automatic: its ")
    assert retired.numbers["requests"] >= 100


def _at_canary1(folder):
    place = Place(folder, replace(QUICK, canary1_s=600))
    place.promote(State.CANARY_1)
    return place


def test_without_automatic_promotion_a_good_model_waits_and_a_bad_one_still_goes(tmp_path):
    place = Place(tmp_path, promotes=False)
    place.promote(State.CANARY_10)

    assert place.pass_by(100) == 100
    assert place.state is State.CANARY_10

    assert place.pass_by(60, Behaviour(degraded=0.5)) < 10
    assert place.state is State.RETIRED


def test_one_worker_judges_and_another_takes_its_turn_when_it_dies(tmp_path):
    place = Place(tmp_path, promotes=False, workers=2)
    place.promote(State.CANARY_1)
    place.pass_by(5)
    assert [bool(judge.rulings) for judge in place.judges] == [True, False]

    dead = place.judges.pop(0)
    place.pass_by(12)

    assert place.judges[0].rulings
    dead.sit(place.now_ms)
    assert not dead.rulings


def test_a_record_that_cannot_be_written_is_told_of_once(tmp_path, monkeypatch):
    place = Place(tmp_path)
    place.promote(State.CANARY_1)
    told = []
    monkeypatch.setattr("adserver.releases.judge.log.error", lambda *_, why: told.append(why))
    monkeypatch.setattr("adserver.releases.registry.layout.replace_durably", _fails)

    place.pass_by(20, Behaviour(errors=1.0))

    assert place.state is State.CANARY_1
    assert len(told) == 1
    assert "read-only" in told[0]


def _fails(*_):
    raise OSError("read-only file system")


def test_the_correlation_that_a_shadow_must_show_is_that_of_the_same_two_models():
    report = gate.Report("candidate", (gate.Check(CORRELATION, 0.7),))
    manifest = {"challenge": told(report, SimpleNamespace(version=4))}

    assert f'"{CORRELATION}"' in inspect.getsource(gate.candidate)
    assert gated_correlation(manifest, 4) == 0.7
    assert gated_correlation(manifest, 3) is None
    assert gated_correlation({"challenge": {"skipped": "nobody there"}}, 4) is None
    assert gated_correlation({}, 0) is None


def test_who_watches_sees_the_trial_beside_production_and_the_limits(tmp_path):
    place = Place(tmp_path / "place", promotes=False)
    place.promote(State.CANARY_10)
    place.pass_by(30)
    data = tmp_path / "data"
    place.copy_to(data)
    environment = {"MODEL_REPOSITORY": str(place.registry.repository), "ADSERVER_DATA": str(data)}

    told = _models(environment, "watch", "--once", "--format", "json")
    shown = _models(environment, "watch", "--once")
    (newest, oldest) = json.loads(_models(environment, "list", "--format", "json"))

    (one,) = json.loads(told)
    figures = {row["what"]: row for row in one["figures"]}
    assert (one["version"], one["state"], one["call"]) == (2, "canary10", "keep")
    assert figures["requests"]["trial"] == pytest.approx(1500, rel=0.2)
    assert figures["requests"]["production"] > 10_000
    assert figures["p99 ms"]["limit"] == "40"
    assert "version 2, canary10" in shown
    assert (newest["version"], newest["requests"]) == (2, figures["requests"]["trial"])
    assert oldest["ctr"] == pytest.approx(0.012, rel=0.9)


def _models(environment, *arguments):
    result = CliRunner().invoke(app, ["models", *arguments], env=environment)
    assert result.exit_code == 0, result.output
    return result.output
