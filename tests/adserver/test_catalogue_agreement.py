"""The server's exact targeting and the simulator's plain one find the same line items."""

import numpy as np
import pytest
from catalogue_sample import ADS, NOW, fresh_place

from adserver.catalogue.overlay import packed
from adserver.catalogue.snapshot import Snapshot
from retrieval.query import DIMENSIONS, Dimension, Query
from retrieval.targeting import TargetingIndex
from simulator.catalogue import catalogue
from simulator.targeting import fitting
from simulator.visits import visits
from simulator.world import World

WORLD = World(1)
VOCABULARY = {
    Dimension.COUNTRY: "country",
    Dimension.REGION: "region",
    Dimension.DEVICE: "device",
    Dimension.OS: "os",
    Dimension.BROWSER: "browser",
    Dimension.LANGUAGE: "language",
    Dimension.DOMAIN: "domain",
    Dimension.CATEGORY: "category",
    Dimension.KEYWORD: "keyword",
    Dimension.SEGMENT: "segment",
    Dimension.KEY_VALUE: "key_value",
}


def values(sample, i, dimension):
    if dimension == Dimension.HOUR_OF_WEEK:
        return [str(sample.weekday[i] * 24 + sample.hour[i])]
    name = VOCABULARY[dimension]
    held = [v for v in np.atleast_1d(getattr(sample, name)[i]).tolist() if v >= 0]
    if dimension == Dimension.CATEGORY:
        held += [int(WORLD.category_parent[v]) for v in held]
    return [getattr(WORLD, name).name[v] for v in dict.fromkeys(held)]


def query(index, sample, i):
    """The visit as a query that only targeting looks at."""
    terms = [index.terms(dimension, values(sample, i, dimension)) for dimension in Dimension]
    start = np.cumsum([0, *(len(part) for part in terms)])
    assert len(start) == DIMENSIONS + 1
    keys = [WORLD.placement[p].key for p in sample.placement[i] if p >= 0]
    none = np.zeros(0, np.float32)
    return Query(
        term=np.array([term for part in terms for term in part], np.int32),
        term_start=start.astype(np.int32),
        blocked=np.zeros(0, np.int32),
        slot_placement=np.array([index.placement(key) for key in keys], np.int32),
        slots_by_size=np.zeros(0, np.uint32),
        blocked_attribute=np.zeros(len(keys), np.uint32),
        secure=np.uint32(0),
        vector=none,
        bias=0.0,
    )


@pytest.fixture
def index(tmp_path):
    place = fresh_place(tmp_path)
    return TargetingIndex.load(Snapshot.load(place.snapshots).folder / "targeting")


def test_both_definitions_of_targeting_agree_on_every_visit(index):
    market = catalogue(WORLD, ADS, now=NOW)
    sample = visits(WORLD, np.random.default_rng(1), 300)
    everything = packed(np.ones(index.line_items, bool))

    found = 0
    for i in range(len(sample)):
        words = index.match(query(index, sample, i), everything).words
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: index.line_items]
        expected = fitting(WORLD, market.terms, sample, i)
        assert np.array_equal(bits.astype(bool), expected), i
        found += int(expected.sum())

    assert found > 1_000
