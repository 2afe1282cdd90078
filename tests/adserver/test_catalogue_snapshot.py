"""From database to snapshot: whole, checked, and swapped without hurting who reads it."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from catalogue_sample import ADS, BUNDLE, NOW, Place, fresh_place
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from adserver.catalogue import operations, schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.publishing import KEPT
from adserver.catalogue.sample import create_sample
from adserver.catalogue.snapshot import Snapshot, SnapshotError, current_version
from adserver.catalogue.targeting import index_values, parse
from adserver.errors import ConfigError
from retrieval.targeting import TargetingIndex
from retrieval.vectors import AdVectors


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(table).order_by(table.c.id)).all()


def test_every_column_says_what_the_database_says(place, engine):
    snapshot = Snapshot.load(place.snapshots)
    ads, items = snapshot.ads, snapshot.line_items
    owner = {row.id: row for row in rows(engine, schema.line_item)}
    campaign = {row.id: row for row in rows(engine, schema.campaign)}
    by_id = {row.id: row for row in rows(engine, schema.ad)}

    assert sorted(ads.ad_id.tolist()) == sorted(by_id)
    for row in range(ADS):
        ad = by_id[int(ads.ad_id[row])]
        line_item = owner[ad.line_item_id]
        assert items.line_item_id[ads.line_item[row]] == line_item.id
        assert ads.campaign[row] == line_item.campaign_id
        assert ads.advertiser[row] == campaign[line_item.campaign_id].advertiser_id
        assert ads.bid_micros[row] == line_item.bid_micros
        assert ads.per_click[row] == (line_item.pricing == "cpc")
        assert snapshot.sizes[ads.size[row]] == (ad.width, ad.height)
        assert ads.secure[row] == ad.secure
        assert ads.attributes[row] == sum(1 << (a - 1) for a in ad.attributes)


def test_line_items_and_campaigns_keep_flights_and_budgets(place, engine):
    snapshot = Snapshot.load(place.snapshots)

    for row, item in enumerate(rows(engine, schema.line_item)):
        assert snapshot.line_items.start_s[row] == item.start_s
        assert snapshot.line_items.end_s[row] == (np.inf if item.end_s is None else item.end_s)
    budgets = [row.daily_budget_micros for row in rows(engine, schema.campaign)]
    assert snapshot.campaigns.daily_budget_micros.tolist() == budgets


def test_the_ads_of_a_line_item_are_neighbours(place):
    snapshot = Snapshot.load(place.snapshots)
    start = snapshot.line_items.ad_start

    assert start[0] == 0
    assert start[-1] == ADS
    counts = np.diff(start)
    expected = np.repeat(np.arange(len(snapshot.line_items)), counts)
    assert np.array_equal(snapshot.ads.line_item, expected)


def test_the_index_knows_the_targeting_of_the_database(place, engine):
    snapshot = Snapshot.load(place.snapshots)
    index = TargetingIndex.load(snapshot.folder / "targeting")

    assert index.line_items == len(snapshot.line_items)
    for item in rows(engine, schema.line_item)[:100]:
        for dimension, value, _ in index_values(parse(item.targeting)):
            assert index.terms(dimension, [value]), (dimension, value)


def test_vectors_and_model_table_have_a_row_for_each_ad(place):
    folder = Snapshot.load(place.snapshots).folder

    assert len(AdVectors.load(folder / "vectors").head) == ADS
    assert len(np.load(folder / "ranker" / "bias.npy")) == ADS


def test_a_creative_is_what_the_page_needs(place, engine):
    snapshot = Snapshot.load(place.snapshots)
    ad = rows(engine, schema.ad)[10]
    row = int(np.flatnonzero(snapshot.ads.ad_id == ad.id)[0])
    owner = operations.show(engine, "advertiser", int(snapshot.ads.advertiser[row]))

    creative = snapshot.creative(row)

    assert (creative.ad_id, creative.title, creative.landing_url) == (
        ad.id,
        ad.title,
        ad.landing_url,
    )
    assert (creative.advertiser, creative.adomain) == (owner["name"], owner["domain"])
    assert (creative.width, creative.height) == (ad.width, ad.height)
    assert f"width:{ad.width}px" in creative.markup
    assert ad.title in creative.markup
    assert re.findall(r"{.*?}", creative.markup) == ["{click}"]


def test_a_title_cannot_put_elements_on_the_page(place, engine):
    with engine.begin() as connection:
        connection.execute(schema.ad.update().values(title='<script>alert("1")</script>'))
    place.build()

    markup = Snapshot.load(place.snapshots).creative(0).markup

    assert "<script" not in markup
    assert "&lt;script&gt;alert(&quot;1&quot;)" in markup


def test_an_ad_may_bring_its_own_markup(place, engine):
    own = '<a href="{click}">tea</a>'
    with engine.begin() as connection:
        connection.execute(schema.ad.update().values(template_id=None, params=None, markup=own))
    place.build()

    assert Snapshot.load(place.snapshots).creative(3).markup == own


@pytest.mark.parametrize("name", ["ads/bid_micros.npy", "creatives.bin", "placements.json"])
def test_an_altered_file_is_refused_by_name(place, name):
    file = place.snapshots / "1" / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    with pytest.raises(SnapshotError, match=f"{name}: sha256"):
        Snapshot.load(place.snapshots)


def test_a_shortened_file_is_refused_even_without_reading_it(place):
    file = place.snapshots / "1" / "ads" / "ad_id.npy"
    file.write_bytes(file.read_bytes()[:-8])

    with pytest.raises(SnapshotError, match=r"ads/ad_id.npy: \d+ bytes"):
        Snapshot.load(place.snapshots, verify=False)


def test_a_missing_file_is_named(place):
    (place.snapshots / "1" / "names.json").unlink()

    with pytest.raises(SnapshotError, match=r"names\.json is gone"):
        Snapshot.load(place.snapshots)


def test_no_snapshot_says_how_to_make_one(tmp_path):
    with pytest.raises(SnapshotError, match="adserver catalog build"):
        Snapshot.load(tmp_path)


def test_the_manifest_names_every_file(place):
    folder = place.snapshots / "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}

    assert set(manifest["files"]) == there - {"manifest.json"}
    assert manifest["counts"]["ads"] == ADS
    assert manifest["created"] == NOW


def test_a_reader_keeps_the_snapshot_it_began_with(place, engine):
    old = Snapshot.load(place.snapshots)
    bids, creative = old.ads.bid_micros.tolist(), old.creative(5)
    operations.set_bid(engine, int(old.line_items.line_item_id[0]), 77_000)

    versions = [place.build() for _ in range(KEPT)]

    assert current_version(place.snapshots) == versions[-1] != old.version
    assert not old.folder.exists()
    assert old.ads.bid_micros.tolist() == bids
    assert old.creative(5) == creative
    new = Snapshot.load(place.snapshots)
    assert new.version == versions[-1]
    assert new.ads.bid_micros[0] == 77_000


def test_only_the_newest_snapshots_are_kept(place):
    for _ in range(KEPT + 1):
        place.build()

    kept = sorted(int(one.name) for one in place.snapshots.iterdir() if one.name.isdigit())
    assert kept == [3, 4, 5]
    assert current_version(place.snapshots) == 5


def test_an_unfinished_build_is_never_seen_and_goes_with_the_next(place):
    shutil.copytree(place.snapshots / "1", place.snapshots / ".building-2")

    assert place.build() == 2
    assert not list(place.snapshots.glob(".building-*"))


def test_equal_databases_give_equal_files(place, tmp_path_factory):
    other = fresh_place(tmp_path_factory.mktemp("other"))
    place.build()
    other.build()

    first, second = Snapshot.load(place.snapshots), Snapshot.load(other.snapshots)

    assert first.manifest.files == second.manifest.files


def test_malformed_targeting_is_named_and_nothing_is_published(place, engine):
    for row_id, targeting in ((3, {"country": {"include": ["DE"]}}), (4, {"weather": {}})):
        with engine.begin() as connection:
            changed = schema.line_item.update().where(schema.line_item.c.id == row_id)
            connection.execute(changed.values(targeting=targeting))

    with pytest.raises(ConfigError) as caught:
        place.build()

    assert len(caught.value.mistakes) == 2
    assert "line item 3: targeting.country.include[0]: 'DE'" in caught.value.mistakes[0]
    assert "line item 4: targeting" in caught.value.mistakes[1]
    assert "weather" in caught.value.mistakes[1]
    assert current_version(place.snapshots) == 1


def test_an_empty_catalogue_has_an_empty_snapshot(tmp_path):
    place = Place(tmp_path)
    engine = place.engine()
    schema.create_tables(engine)
    engine.dispose()

    place.build()

    snapshot = Snapshot.load(place.snapshots)
    assert len(snapshot.ads) == 0
    assert snapshot.manifest.counts["line_items"] == 0


def test_a_line_item_without_ads_has_an_empty_range(place, engine):
    with engine.begin() as connection:
        connection.execute(schema.ad.delete().where(schema.ad.c.line_item_id == 2))
    place.build()

    snapshot = Snapshot.load(place.snapshots)
    start = snapshot.line_items.ad_start
    assert start[1] == start[2]
    assert start[-1] == len(snapshot.ads)


def test_a_sample_never_mixes_with_another_catalogue(place):
    with pytest.raises(ConfigError, match="holds a catalogue already"):
        create_sample(place.url, 10, NOW)


def test_equal_seeds_give_equal_samples(tmp_path_factory):
    places = [Place(tmp_path_factory.mktemp("sample")) for _ in range(2)]
    found = []
    for place in places:
        create_sample(place.url, 50, NOW)
        engine = place.engine()
        found.append([rows(engine, table) for table in schema.LEVELS.values()])
        engine.dispose()

    assert found[0] == found[1]


def test_progress_reaches_the_end_of_every_step(place):
    last = {}

    def heard(step, done, total):
        last[step] = (done, total)

    build_snapshot(place.url, place.snapshots, BUNDLE, NOW, heard)

    assert last["read ads"] == (ADS, ADS)
    assert all(done == total for done, total in last.values())


def test_snapshot_columns_cannot_be_written(place):
    ads = Snapshot.load(place.snapshots).ads

    for field in dataclasses.fields(ads):
        with pytest.raises(ValueError, match="read-only"):
            getattr(ads, field.name)[0] = 0


def test_the_schema_is_one_that_postgresql_knows_too():
    for table in schema.metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))

        assert "SERIAL" in statement or table.name in {"revision", "change", "rate"}
