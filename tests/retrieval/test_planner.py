from collections import Counter
from dataclasses import replace

import numpy as np
import plain_retrieval as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from retrieval.costs import Costs
from retrieval.planner import Plan
from retrieval.query import Live
from retrieval.settings import RetrievalSettings

ALWAYS_SEARCH = Costs(ads=1, line_items=1, scan_s=1.0, scan_ad_s=1.0, search_s=0.0, search_ad_s=0.0)
NEVER_SEARCH = replace(ALWAYS_SEARCH, search_s=np.inf)


def assert_exact(catalogue, request, found, retriever, live, k):
    query = plain.query_of(request, retriever.index)
    slots = np.array(plain.open_slots(catalogue, request), np.uint32)
    value = plain.values(retriever.vectors, live, query)
    best = plain.scan_plainly(value, slots, plain.slot_keys(catalogue, request), k)
    assert_array_equal(found.ad, best)
    assert_array_equal(found.value, value[best])
    assert_array_equal(found.slots, slots[best])
    assert found.eligible[0] == np.count_nonzero(slots)


@settings(deadline=None, max_examples=150)
@given(plain.catalogues, plain.requests, st.integers(1, 30))
def test_a_request_gets_exactly_the_best_of_the_ads_that_may_be_shown(catalogue, request, k):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    found = retriever.retrieve([query], live, k)

    assert_exact(catalogue, request, found, retriever, live, k)


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(plain.slots, min_size=1, max_size=3),
    st.sampled_from([0.0, 100.0]),
)
def test_letting_ads_go_early_loses_none_of_the_best_of_many(seed, slots, offset):
    """Enough ads for floors to rise, line items to be passed over and several chunks to fill."""
    rng = np.random.default_rng(seed)
    catalogue, direction = awkward_catalogue(rng, offset)
    request = plain.Request(slots=slots, vector=tuple(direction), bias=float(rng.normal(-1)))
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    found = retriever.retrieve([query], live, 25)

    assert_exact(catalogue, request, found, retriever, live, 25)


def awkward_catalogue(rng, offset):
    """Ads whose bounds have no room, and the request that finds them so.

    Without `offset` the request lies in dimensions that are not tried first; some line items' ads
    point just there, so that no length overstates their value. A common `offset` across the
    request makes the steps of all vectors coarse: their rounding then decides between neighbours.
    """
    loud = np.where(np.arange(plain.WIDE) < 16, 3.0, 0.3)
    direction = rng.standard_normal(plain.WIDE) * np.where((loud > 1) & (not offset), 0.1, 1.0)
    across = rng.standard_normal(plain.WIDE)
    across -= direction * (across @ direction) / (direction @ direction)
    catalogue = plain.random_catalogue(rng, 1000)
    for line in catalogue:
        along = rng.normal() if rng.random() < 0.05 else 0.0
        for ad in line.ads:
            own = along * direction if along else loud * np.array(ad.vector)
            ad.vector = tuple(offset * across / np.linalg.norm(across) + own)
    return catalogue, direction


@settings(deadline=None, max_examples=100)
@given(plain.catalogues, plain.requests)
def test_every_ad_is_either_eligible_or_counted_under_the_first_rule_it_fails(catalogue, request):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    funnel = retriever.funnel(query, live)

    expected = Counter(
        plain.first_misfit(line, ad, request) for line in catalogue for ad in line.ads
    )
    eligible = expected.pop(None, 0)
    assert funnel == expected
    assert retriever.retrieve([query], live, 10).eligible[0] == eligible


@settings(deadline=None, max_examples=50)
@given(plain.catalogues, st.lists(plain.requests, min_size=2, max_size=4))
def test_a_request_is_answered_the_same_alone_and_in_a_batch(catalogue, requests):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = [plain.query_of(request, retriever.index) for request in requests]

    together = retriever.retrieve(queries, live, 10)

    for n, query in enumerate(queries):
        alone = retriever.retrieve([query], live, 10)
        part = slice(together.offset[n], together.offset[n + 1])
        assert_array_equal(together.ad[part], alone.ad)
        assert_array_equal(together.value[part], alone.value)
        assert_array_equal(together.slots[part], alone.slots)
        assert (together.eligible[n], together.plan[n]) == (alone.eligible[0], alone.plan[0])


def test_a_replaced_base_or_pause_shows_in_the_next_answer(rng):
    catalogue = plain.open_to_all(plain.random_catalogue(rng, 100))
    request = plain.Request(vector=(0.1,) * plain.WIDE)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)
    retriever.retrieve([query], live, 5)

    raised = live.base.copy()
    raised[-1] = 50
    assert retriever.retrieve([query], Live(live.line_item, live.ad, raised), 5).ad[0] == 499

    paused = live.ad.copy()
    paused[-1] = 0
    after = retriever.retrieve([query], Live(live.line_item, paused, raised), 5)
    assert 499 not in after.ad
    assert after.eligible[0] == np.count_nonzero(paused)


def test_no_slot_is_starved_by_dearer_ads_of_another_size():
    cheap = [plain.LineItem([plain.Ad(size=0, base=1.0)]) for _ in range(20)]
    dear = [plain.LineItem([plain.Ad(size=1, base=9.0)]) for _ in range(20)]
    catalogue = cheap + dear
    request = plain.Request(slots=[plain.Slot(sizes={0}), plain.Slot(sizes={1})])
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)

    found = retriever.retrieve([plain.query_of(request, retriever.index)], live, 11)

    assert np.count_nonzero(found.slots == 1) == 5
    assert np.count_nonzero(found.slots == 2) == 6


def test_who_is_sold_first_is_found_however_little_it_bids_and_who_is_sold_last_never_displaces():
    bids = [5.0, 9.0, 7.0, 0.1, 0.2, 0.3, 99.0]
    catalogue = [plain.LineItem([plain.Ad(size=0, base=bid)]) for bid in bids]
    request = plain.Request(slots=[plain.Slot(sizes={0})])
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    first, last = np.array([0b0111000], np.uint64), np.array([0b1000000], np.uint64)
    ordered = replace(live, first=first, last=last)
    query = plain.query_of(request, retriever.index)

    four = retriever.retrieve([query], ordered, 4)
    all_ = retriever.retrieve([query], ordered, 7)

    assert four.ad.tolist() == [5, 4, 1, 2]  # half the room for those before all others
    assert all_.ad.tolist() == [5, 4, 3, 1, 2, 0, 6]
    assert four.eligible.tolist() == all_.eligible.tolist() == [7]


def test_nothing_eligible_is_an_empty_answer_that_says_so():
    catalogue = [plain.LineItem(live=False)]
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)

    found = retriever.retrieve([plain.query_of(plain.Request(), retriever.index)], live, 10)

    assert len(found.ad) == 0
    assert found.eligible.tolist() == [0]
    assert found.plan.tolist() == [Plan.NOTHING]


@pytest.fixture(scope="module")
def searched():
    """A catalogue with a graph, and requests that may see nearly all of it."""
    rng = np.random.default_rng(5)
    catalogue = plain.random_catalogue(rng, 1000)
    settings = RetrievalSettings(graph_from=1, build_threads=1)
    requests = [
        plain.Request(vector=tuple(rng.standard_normal(plain.WIDE)), bias=-1.0) for _ in range(10)
    ]
    return catalogue, plain.retriever_of(catalogue, settings), requests


def test_the_graph_finds_nearly_all_of_what_the_scan_finds_and_nothing_paused(searched):
    catalogue, retriever, requests = searched
    live = plain.live_of(catalogue)
    live = replace(live, ad=(np.arange(len(live.ad)) % 3 > 0).astype(np.uint8))
    queries = [plain.query_of(request, retriever.index) for request in requests]

    retriever.costs = NEVER_SEARCH
    exact = retriever.retrieve(queries, live, 100)
    retriever.costs = ALWAYS_SEARCH
    near = retriever.retrieve(queries, live, 100)

    assert set(exact.plan) == {Plan.SCAN}
    assert set(near.plan) == {Plan.GRAPH}
    assert_array_equal(near.eligible, exact.eligible)
    assert live.ad[near.ad].all()
    assert plain.recall(near, exact) >= 0.98


def test_a_search_that_finds_too_few_ends_in_a_scan(searched):
    catalogue, retriever, requests = searched
    live = plain.live_of(catalogue)
    best = retriever.retrieve([plain.query_of(requests[0], retriever.index)], live, 3000).ad
    worst_alone = np.zeros(len(live.ad), np.uint8)
    worst_alone[best[-100:]] = 1
    live = replace(live, ad=worst_alone)
    retriever.costs = ALWAYS_SEARCH
    retriever.settings = replace(retriever.settings, over_fetch=0.1)

    found = retriever.retrieve([plain.query_of(requests[0], retriever.index)], live, 100)

    assert found.plan[0] == Plan.SCAN
    assert sorted(found.ad) == sorted(best[-100:])


def test_slots_that_take_different_ads_are_never_left_to_the_graph(searched):
    catalogue, retriever, _ = searched
    request = plain.Request(
        slots=[plain.Slot(sizes={0}), plain.Slot(sizes={1})], vector=(0.0,) * plain.WIDE
    )
    retriever.costs = ALWAYS_SEARCH

    found = retriever.retrieve(
        [plain.query_of(request, retriever.index)], plain.live_of(catalogue), 50
    )

    assert found.plan[0] == Plan.SCAN


def test_settings_name_everything_that_is_wrong_with_them():
    assert list(RetrievalSettings().problems()) == []

    wrong = RetrievalSettings(candidates=1, ef=0, over_fetch=0.5, graph_links=0, build_threads=-1)

    assert len(list(wrong.problems())) == 5
