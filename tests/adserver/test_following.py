"""What a worker serves after each change of the models' states, and what it then lets go."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest
from arm_place import Place, three_models
from catalogue_sample import NOW

from adserver import metrics
from adserver.catalogue.tables import add_tables
from adserver.deadline import Clocks
from adserver.following import TABLES_WITHIN_S, Following, Serving
from adserver.releases.states import State
from ranking.bundle import Bundle, BundleError


class Follower:
    """Follows the repository of a place; every step is half a second."""

    def __init__(self, place, clock):
        self.registry = place.editions.registry
        settings = place.system.settings
        clocks = Clocks(lambda: NOW, clock)
        self.following = Following(place.editions, settings.snapshots, clocks)
        self.now, self.clock = Serving(place.system.edition), clock

    async def _steps(self, steps):
        for _ in range(steps):
            self.clock.advance(0.5)
            self.now = await self.following.step(self.now)

    def step(self, steps=1):
        asyncio.run(self._steps(steps))
        return self.serves()

    def serves(self):
        beside = {arm: one.bundle.version for arm, one in self.now.beside.editions().items()}
        return {"production": self.now.production.bundle.version, **beside}


@pytest.fixture
def follower(tmp_path, clock):
    place = Place(tmp_path / "data", clock, three_models(tmp_path))
    yield Follower(place, clock)
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


def test_production_goes_on_until_the_tables_of_a_release_are_there(follower):
    promote(follower, 3, State.CANARY_10)

    assert follower.step(3) == {"production": 1}
    snapshot = follower.now.production.snapshot.folder
    add_tables(snapshot, Bundle.load(follower.registry.folder(3)))

    assert follower.step() == {"production": 1, "canary": 3}


def failures_of(version):
    labels = {"model": str(version)}
    return metrics.REGISTRY.get_sample_value("adserver_editions_failed_total", labels) or 0.0


def test_tables_that_do_not_come_count_as_a_failure_after_their_time(follower):
    promote(follower, 3, State.CANARY_10)
    before = failures_of(3)

    follower.step(int(TABLES_WITHIN_S / 0.5) + 1)
    assert failures_of(3) == before
    follower.step(1)

    assert failures_of(3) == before + 1


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
