"""What the process beside the workers makes of a release, and of one that is broken."""

from __future__ import annotations

import asyncio

import pytest

from adserver.catalogue.tables import are_there
from adserver.housekeeping import Tables
from adserver.releases.states import State
from ranking.bundle import Bundle


@pytest.fixture
def tables(released):
    return Tables(released.system.settings.snapshots, released.editions.registry, again_s=0.0)


def has(released, version):
    bundle = Bundle.load(released.editions.registry.folder(version))
    return are_there(released.system.edition.snapshot.folder, bundle)


def promote(released, version, to):
    released.editions.registry.promote(version, to, 0, "", {})


def test_a_model_on_trial_gets_tables_and_a_candidate_does_not(released, tables):
    asyncio.run(tables.make())
    assert not has(released, 3)

    promote(released, 3, State.SHADOW)
    asyncio.run(tables.make())

    assert has(released, 3)


def test_a_broken_model_keeps_no_other_from_its_tables(released, tables, capsys):
    promote(released, 2, State.PRODUCTION)
    promote(released, 3, State.SHADOW)
    damaged = released.editions.registry.folder(2) / "calibration.npz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])

    for _ in range(3):
        asyncio.run(tables.make())

    assert has(released, 3)
    said = capsys.readouterr()
    assert (said.out + said.err).count("no tables for a model") == 1
    damaged.write_bytes(whole)
    asyncio.run(tables.make())
    assert tables._seen == (released.system.edition.version, tables.registry.stamp())
