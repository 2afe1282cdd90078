"""What waits in the catalogue is published by itself, and what cannot be stops nobody."""

from __future__ import annotations

import asyncio

import pytest
from catalogue_additions import a_document

from adserver.catalogue import additions, operations, schema
from adserver.catalogue.snapshot import Snapshot, current_version
from adserver.catalogue.tables import are_there
from adserver.deadline import Clocks
from adserver.growth import AGAIN_S, Growth
from adserver.releases.states import State
from ranking.bundle import Bundle

EVERY_S = 2


@pytest.fixture
def settings(released):
    return released.system.settings


@pytest.fixture
def engine(settings):
    engine = schema.connect(settings.database)
    yield engine
    engine.dispose()


@pytest.fixture
def growth(settings, clock):
    clocks = Clocks(clock, clock)
    return Growth(settings.database, settings.snapshots, settings.registry, EVERY_S, clocks)


def ads(settings):
    return len(Snapshot.load(settings.snapshots).ads)


def step(growth):
    asyncio.run(growth.step())


def test_new_ads_are_published_and_nothing_else_is(growth, settings, engine):
    before = ads(settings)
    step(growth)
    operations.set_bid(engine, 1, 44_000)
    step(growth)
    assert current_version(settings.snapshots) == 1

    additions.add(engine, a_document())
    step(growth)

    assert current_version(settings.snapshots) == 2
    assert ads(settings) == before + 2
    step(growth)
    assert current_version(settings.snapshots) == 2


def test_what_comes_in_one_rest_is_published_together(growth, settings, engine, clock):
    before = ads(settings)
    for _ in range(3):
        additions.add(engine, a_document())
        step(growth)
    assert current_version(settings.snapshots) == 2

    clock.now += EVERY_S
    step(growth)

    assert current_version(settings.snapshots) == 3
    assert ads(settings) == before + 6


def test_what_cannot_be_published_is_told_once_and_tried_again(
    growth, settings, engine, clock, capsys
):
    with engine.begin() as connection:
        broken = schema.line_item.update().where(schema.line_item.c.id == 5)
        connection.execute(broken.values(targeting={"moon": {}}))
    operations.set_caps(engine, "line_item", 5, [{"max": 1, "window": "1h"}])
    for _ in range(3):
        step(growth)
        clock.now += AGAIN_S
    assert current_version(settings.snapshots) == 1
    said = "".join(capsys.readouterr())
    assert said.count("new ads cannot be published") == 1
    assert "line item 5: targeting" in said

    operations.set_targeting(engine, 5, {})
    step(growth)

    assert current_version(settings.snapshots) == 2


def test_where_it_cannot_grow_it_is_built_whole(growth, settings, engine):
    with engine.begin() as connection:
        gone = schema.ad.c.line_item_id == 5
        connection.execute(schema.ad.delete().where(gone))
        connection.execute(schema.line_item.delete().where(schema.line_item.c.id == 5))
    before = ads(settings)
    operations.set_targeting(engine, 6, {})
    additions.add(engine, a_document())
    with engine.begin() as connection:
        number = operations.next_revision(connection)
        operations.note(connection, number, "+line_item", 5)

    step(growth)

    snapshot = Snapshot.load(settings.snapshots)
    assert 5 not in snapshot.line_items.line_item_id
    assert len(snapshot.ads) < before + 2


def test_a_model_on_trial_has_tables_of_what_grew(growth, settings, engine):
    settings.registry.promote(3, State.SHADOW, 0, "", {})
    additions.add(engine, a_document())

    step(growth)

    model = Bundle.load(settings.registry.folder(3))
    assert are_there(settings.snapshots / "2", model)


def test_a_broken_model_on_trial_keeps_no_ad_away(growth, settings, engine):
    settings.registry.promote(3, State.SHADOW, 0, "", {})
    (settings.registry.folder(3) / "calibration.npz").write_bytes(b"")
    additions.add(engine, a_document())

    step(growth)

    assert current_version(settings.snapshots) == 2
