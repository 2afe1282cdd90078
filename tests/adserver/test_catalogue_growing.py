"""A snapshot that has grown is the one that a whole build gives."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from catalogue_additions import Steps, a_document, a_line_item, an_ad
from catalogue_sample import BUNDLE, NOW
from model_variants import exported
from numpy.testing import assert_array_equal
from sqlalchemy import update

from adserver.catalogue import additions, operations, schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.growing import CannotGrow, grow_snapshot
from adserver.catalogue.snapshot import Snapshot, current_version
from adserver.catalogue.tables import are_there, verify_tables
from ranking.bundle import Bundle
from ranking.table import COLUMNS as TABLE
from ranking.table import AdTable
from retrieval.targeting import TargetingIndex
from retrieval.vectors import AdVectors


def grow(place, *models):
    return grow_snapshot(place.url, place.snapshots, models or [BUNDLE], NOW + 1)


def rebuilt(place, folder):
    """The same database, built as a whole elsewhere."""
    build_snapshot(place.url, folder, BUNDLE, NOW + 1)
    return Snapshot.load(folder)


def postings(snapshot):
    """By what it stands for: each set's rows, the empty ones left out."""
    index = TargetingIndex.load(snapshot.folder / "targeting")
    words = index.vocabulary
    names = {"category": words.category, "domain": words.domain}
    names |= {"under_domain": words.under_domain, "placement": words.placement}
    names |= dict(enumerate(words.dimension))
    found = {
        (kind, value, side): index.postings.rows(sets[term]).tolist()
        for kind, known in names.items()
        for value, term in known.items()
        for side, sets in (("include", index.include), ("exclude", index.exclude))
    }
    kept = {key: rows for key, rows in found.items() if rows}
    return kept, index.open.tolist(), index.unrestricted.tolist()


def labels(snapshot):
    names = json.loads((snapshot.folder / "labels.json").read_text())
    bits = {bits: {name for n, name in enumerate(names) if bits >> n & 1}
            for bits in set(snapshot.ads.labels.tolist())}  # fmt: skip
    return [bits[one] for one in snapshot.ads.labels.tolist()]


def assert_alike(grown, built):
    for name in ("ads", "line_items", "campaigns", "advertisers"):
        for one in fields(getattr(built, name)):
            if (name, one.name) not in {("ads", "size"), ("ads", "labels")}:
                ours, theirs = (getattr(getattr(s, name), one.name) for s in (grown, built))
                assert_array_equal(ours, theirs, err_msg=f"{name}.{one.name}")
                assert ours.dtype == theirs.dtype
    for name in ("encoded", "market", "names", "placements", "templates"):
        assert_array_equal(getattr(grown, name), getattr(built, name), err_msg=name)
    sizes = [[snapshot.sizes[size] for size in snapshot.ads.size] for snapshot in (grown, built)]
    assert sizes[0] == sizes[1]
    assert labels(grown) == labels(built)
    assert grown.caps.stated() == built.caps.stated()
    rows = range(len(built.ads))
    assert [grown.creative(row) for row in rows] == [built.creative(row) for row in rows]
    assert postings(grown) == postings(built)
    assert grown.manifest.counts == built.manifest.counts
    assert grown.manifest.revision == built.manifest.revision
    assert_same_tables(grown.folder, built.folder)


def assert_same_tables(grown, built):
    ours, theirs = (AdTable.load(folder / "ranker") for folder in (grown, built))
    assert ours.model == theirs.model
    for name in TABLE:
        assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    turned = [AdVectors.load(folder / "vectors") for folder in (grown, built)]
    floats = [vectors.floats() @ vectors.rotation.T for vectors in turned]
    np.testing.assert_allclose(*floats, atol=1e-4)
    np.testing.assert_allclose(turned[0].norm, turned[1].norm, rtol=1e-3)
    assert_array_equal(turned[0].per_click, turned[1].per_click)


@pytest.mark.parametrize("seed", range(4))
def test_a_grown_snapshot_is_what_a_whole_build_gives(place, engine, tmp_path, seed):
    steps = Steps(engine, np.random.default_rng(seed))
    for _ in range(3):
        steps.some(8)
        steps.add_below()
        assert grow(place) == current_version(place.snapshots)

    grown = Snapshot.load(place.snapshots)

    assert grown.version == 4
    assert_alike(grown, rebuilt(place, tmp_path / "whole"))


def test_what_serves_at_once_is_no_reason_to_grow(place, engine):
    operations.pause(engine, "ad", 1)
    operations.set_bid(engine, 2, 55_000)
    operations.set_budget(engine, "campaign", 1, 5)

    assert grow(place) is None
    assert current_version(place.snapshots) == 1


def test_it_grows_by_one_ad_and_by_a_line_item_without_any(place, engine, tmp_path):
    inside = {"id": 1, "campaigns": [{"id": 1, "line_items": [{"id": 1, "ads": [an_ad()]}]}]}
    for document in ({"advertisers": [inside]}, a_document(a_line_item())):
        additions.add(engine, document)
        assert grow(place)

    assert_alike(Snapshot.load(place.snapshots), rebuilt(place, tmp_path / "whole"))


def test_tables_of_a_model_on_trial_grow_too(place, engine, tmp_path):
    other = exported(tmp_path / "other", shift=0.05)
    model = Bundle.load(other)
    build_snapshot(place.url, place.snapshots, BUNDLE, NOW, others=[other])
    additions.add(engine, a_document())

    grow(place, BUNDLE, other)

    grown = Snapshot.load(place.snapshots)
    build_snapshot(place.url, tmp_path / "whole", BUNDLE, NOW, others=[other])
    whole = Snapshot.load(tmp_path / "whole")
    assert_same_tables(*(verify_tables(one.folder, model) for one in (grown, whole)))
    assert not [name for name in grown.manifest.files if name.startswith("models")]


def test_a_model_that_had_no_tables_gets_them(place, engine, tmp_path):
    other = exported(tmp_path / "other", shift=0.05)
    additions.add(engine, a_document())

    grow(place, BUNDLE, other)

    assert are_there(Snapshot.load(place.snapshots).folder, Bundle.load(other))


def test_a_model_that_takes_over_owns_the_next_snapshot(place, engine, tmp_path):
    other = exported(tmp_path / "other", shift=0.05)
    build_snapshot(place.url, place.snapshots, BUNDLE, NOW, others=[other])
    additions.add(engine, a_document())

    grow(place, other)

    snapshot = Snapshot.load(place.snapshots)
    assert snapshot.manifest.model.sha256 == Bundle.load(other).tables_sha256
    assert len(AdTable.load(snapshot.folder / "ranker")) == len(snapshot.ads)


def deleted(engine, _place):
    with engine.begin() as connection:
        connection.execute(schema.ad.delete().where(schema.ad.c.line_item_id == 7))
        connection.execute(schema.line_item.delete().where(schema.line_item.c.id == 7))


def renamed(engine, _place):
    with engine.begin() as connection:
        connection.execute(update(schema.advertiser).values(domain="other.example"))
    operations.set_caps(engine, "advertiser", 3, [{"max": 1, "window": "day"}])


def unnoted(engine, _place):
    """A campaign of a new advertiser, by hand, and a line item in it by the command."""
    owner = {"name": "x", "domain": "x.example"}
    with engine.begin() as connection:
        (number,) = connection.execute(schema.advertiser.insert(), owner).inserted_primary_key
        campaign = {"advertiser_id": number, "name": "x", "daily_budget_micros": 1}
        (inside,) = connection.execute(schema.campaign.insert(), campaign).inserted_primary_key
    parts = [{"id": inside, "line_items": [a_line_item(an_ad())]}]
    additions.add(engine, {"advertisers": [{"id": number, "campaigns": parts}]})


def of_an_earlier_version(_engine, place):
    (place.snapshots / "1" / "labels.json").unlink()


def with_a_graph(_engine, place):
    (place.snapshots / "1" / "vectors" / "graph.bin").touch()


@pytest.mark.parametrize(
    ("happened", "why"),
    [
        (deleted, "line items are gone"),
        (renamed, "another domain"),
        (unnoted, "was not noted"),
        (of_an_earlier_version, "earlier version"),
        (with_a_graph, "graph"),
    ],
)
def test_it_says_why_a_whole_build_is_needed_and_publishes_nothing(place, engine, happened, why):
    operations.set_targeting(engine, 7, {"country": {"include": ["FRA"]}})
    if happened is of_an_earlier_version:
        manifest = place.snapshots / "1" / "manifest.json"
        said = json.loads(manifest.read_text())
        del said["files"]["labels.json"]
        manifest.write_text(json.dumps(said))
    happened(engine, place)

    with pytest.raises(CannotGrow, match=why):
        grow(place)

    assert current_version(place.snapshots) == 1
    assert place.build() == 2


def test_a_row_that_belongs_between_others_needs_a_whole_build(place, engine):
    ids = additions.add(engine, a_document())
    additions.add(engine, a_document())
    grow(place)
    between = ids["line_item"][0]
    with engine.begin() as connection:
        moved = update(schema.line_item).where(schema.line_item.c.id == between + 1)
        connection.execute(schema.ad.delete().where(schema.ad.c.line_item_id == between + 1))
        connection.execute(moved.values(id=between + 10))
    place.build()
    with engine.begin() as connection:
        back = update(schema.line_item).where(schema.line_item.c.id == between + 10)
        connection.execute(back.values(id=between + 5))
    operations.set_targeting(engine, between + 5, {})

    with pytest.raises(CannotGrow, match="lower"):
        grow(place)
