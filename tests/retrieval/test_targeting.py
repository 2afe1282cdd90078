from dataclasses import replace

import numpy as np
import plain_retrieval as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from retrieval import indexing
from retrieval.postings import SPARSE_PER_WORD, Postings, bitmap, flags
from retrieval.query import Dimension
from retrieval.targeting import TargetingIndex

ROW = np.zeros(1, np.int32)


def matched(catalogue, request):
    index, live = plain.index_of(catalogue), plain.live_of(catalogue)
    match = index.match(plain.query_of(request, index), live.line_item)
    return flags(match.words)[: len(catalogue)].tolist()


@settings(deadline=None, max_examples=150)
@given(plain.catalogues, st.lists(plain.requests, min_size=1, max_size=3))
def test_a_line_item_matches_when_every_rule_of_its_targeting_holds(catalogue, requests):
    index, live = plain.index_of(catalogue), plain.live_of(catalogue)

    for request in requests:
        match = index.match(plain.query_of(request, index), live.line_item)

        assert_array_equal(
            flags(match.words)[: len(catalogue)],
            [plain.line_matches(line, request) for line in catalogue],
        )
        for line, slots in zip(catalogue, match.line_slots, strict=True):
            assert slots == (plain.line_slots(line, request) if line.placements else 0)


def test_values_of_one_dimension_are_alternatives_and_dimensions_are_not():
    line = plain.LineItem(include={Dimension.COUNTRY: {"DEU", "FRA"}, Dimension.DEVICE: {"tv"}})

    def seen(**values):
        request = plain.Request(values={Dimension[d]: v for d, v in values.items()})
        return matched([line], request) == [True]

    assert seen(COUNTRY={"FRA"}, DEVICE={"tv"})
    assert not seen(COUNTRY={"FRA"}, DEVICE={"phone"})
    assert not seen(COUNTRY={"FRA"})
    assert not seen(DEVICE={"tv"})


def test_one_refused_value_outweighs_every_wanted_one():
    line = plain.LineItem(
        include={Dimension.KEYWORD: {"tea"}}, exclude={Dimension.KEYWORD: {"war"}}
    )

    assert matched([line], plain.Request(values={Dimension.KEYWORD: {"tea"}})) == [True]
    assert matched([line], plain.Request(values={Dimension.KEYWORD: {"tea", "war"}})) == [False]


@pytest.mark.parametrize(
    ("own", "blocked", "refused"),
    [
        ("IAB25-3", "IAB25", True),
        ("IAB25-3", "IAB25-3", True),
        ("IAB25-3", "IAB25-4", False),
        ("IAB25", "IAB25-3", False),
        ("IAB25-3", "IAB2", False),
    ],
)
def test_blocking_a_category_blocks_its_children(own, blocked, refused):
    line = plain.LineItem(categories={own})

    assert matched([line], plain.Request(blocked_categories={blocked})) == [not refused]


@pytest.mark.parametrize(
    ("own", "blocked", "refused"),
    [
        ("tea.example", "tea.example", True),
        ("shop.tea.example", "tea.example", True),
        ("tea.example", "www.tea.example", True),
        ("shop.tea.example", "www.tea.example", False),
        ("green-tea.example", "tea.example", False),
        ("tea.example", "example", False),
        ("tea.co.example", "war.co.example", False),
    ],
)
def test_blocking_a_domain_blocks_the_advertiser_and_not_its_neighbours(own, blocked, refused):
    line = plain.LineItem(domains={own})

    assert matched([line], plain.Request(blocked_domains={blocked})) == [not refused]


def test_unknown_values_have_no_term_and_match_nobody_but_the_open():
    tied = plain.LineItem(include={Dimension.REGION: {"US-CA"}})
    index = plain.index_of([tied, plain.LineItem()])

    assert index.terms(Dimension.REGION, ["US-TX", "US-CA"]) == index.terms(
        Dimension.REGION, ["US-CA"]
    )
    assert index.placement("nowhere") == -1
    assert index.blocked(["IAB26"], ["nobody.example"]) == []
    request = plain.Request(values={Dimension.REGION: {"US-TX"}})
    assert matched([tied, plain.LineItem()], request) == [False, True]


def test_a_saved_index_answers_as_the_one_that_was_built(tmp_path, rng):
    catalogue = plain.random_catalogue(rng, 300)
    built = plain.index_of(catalogue)

    built.save(tmp_path / "targeting")
    loaded = TargetingIndex.load(tmp_path / "targeting")

    live = plain.live_of(catalogue)
    for request in plain.random_requests(rng, 20):
        query = plain.query_of(request, built)
        again = plain.query_of(request, loaded)
        assert_array_equal(query.term, again.term)
        words = built.match(query, live.line_item).words.copy()
        assert_array_equal(words, loaded.match(again, live.line_item).words)
        assert words.any()


def test_an_index_without_any_targeting_can_be_saved(tmp_path):
    indexing.build(3, (), (), (), ()).save(tmp_path)

    index = TargetingIndex.load(tmp_path)

    query = plain.query_of(plain.Request(), index)
    live = np.array([0b101], np.uint64)
    assert index.match(query, live).words.tolist() == [0b101]


def test_wide_sets_are_bitmaps_and_narrow_ones_are_lists():
    most = int(SPARSE_PER_WORD * 100)
    nobody = Postings.none().edited(64 * 100, np.empty(0, np.int32), {})
    sets = [np.arange(count, dtype=np.int32) for count in (most, most + 1, most + 1)]

    postings = nobody.with_sets(sets, lists={2})

    assert (postings.dense_row[:3] >= 0).tolist() == [False, True, False]
    assert [postings.rows(n).tolist() for n in range(3)] == [rows.tolist() for rows in sets]


def test_a_bitmap_holds_just_its_rows():
    assert bitmap(np.array([0, 63, 64], np.int32), 65).tolist() == [1 << 63 | 1, 1]


def test_the_request_before_leaves_no_slots_behind():
    catalogue = [plain.LineItem(placements={"top"}), plain.LineItem(placements={"side"})]
    index, live = plain.index_of(catalogue), plain.live_of(catalogue)
    top = plain.Request(slots=[plain.Slot("top"), plain.Slot("top")])
    side = replace(top, slots=[plain.Slot("nowhere"), plain.Slot("side")])

    index.match(plain.query_of(top, index), live.line_item)
    match = index.match(plain.query_of(side, index), live.line_item)

    assert match.line_slots.tolist() == [0, 0b10]
    assert match.words.tolist() == [0b10]
