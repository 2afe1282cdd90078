"""What the process beside the workers makes of a release, and of one that is broken."""

from __future__ import annotations

import asyncio

import pytest
from arm_place import Place, three_models

from adserver.catalogue.tables import are_there
from adserver.housekeeping import Tables
from adserver.releases.states import State
from ranking.bundle import Bundle


@pytest.fixture
def place(tmp_path, clock):
    place = Place(tmp_path / "data", clock, three_models(tmp_path))
    yield place
    place.system.close()


@pytest.fixture
def tables(place):
    return Tables(place.system.settings.snapshots, place.editions.registry, again_s=0.0)


def has(place, version):
    bundle = Bundle.load(place.editions.registry.folder(version))
    return are_there(place.system.edition.snapshot.folder, bundle)


def promote(place, version, to):
    place.editions.registry.promote(version, to, 0, "", {})


def test_a_model_on_trial_gets_tables_and_a_candidate_does_not(place, tables):
    asyncio.run(tables.make())
    assert not has(place, 3)

    promote(place, 3, State.SHADOW)
    asyncio.run(tables.make())

    assert has(place, 3)


def test_a_broken_model_keeps_no_other_from_its_tables(place, tables, capsys):
    promote(place, 2, State.PRODUCTION)
    promote(place, 3, State.SHADOW)
    damaged = place.editions.registry.folder(2) / "calibration.npz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])

    for _ in range(3):
        asyncio.run(tables.make())

    assert has(place, 3)
    said = capsys.readouterr()
    assert (said.out + said.err).count("no tables for a model") == 1
    damaged.write_bytes(whole)
    asyncio.run(tables.make())
    assert tables._seen == (place.system.edition.version, tables.registry.stamp())
