"""The selector against the planner: every id, every value to the bit, by both kinds of stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plain_retrieval as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resident_catalogue import (
    LARGE,
    asks_of,
    assert_agrees,
    assert_in_order,
    many_ads,
    queries_of,
    selector_of,
)

from retrieval.gpu import asks as layout
from retrieval.gpu import kernels, reference
from retrieval.gpu.launch import Kernels
from retrieval.query import DIMENSIONS, Dimension

BOTH = pytest.mark.parametrize("stages", [reference, LARGE], ids=["torch", "kernels"])
firsts, lasts = st.sampled_from([None, 0b101]), st.sampled_from([None, 0b110010])


@settings(deadline=None, max_examples=25)
@given(
    plain.catalogues,
    st.lists(plain.requests, min_size=1, max_size=3),
    firsts,
    lasts,
    st.integers(1, 40),
)
def test_any_catalogue_and_requests_agree_in_every_place(catalogue, requests, first, last, k):
    agree(catalogue, requests, (first, last), k, reference)


def test_everything_that_a_request_can_say_agrees_by_kernels(rng):
    """Refused values, advertisers, categories and attributes, placements, tiers, unlike slots."""
    catalogue = [varied(rng, line) for line in many_ads(rng, 700)]
    few, whole = plain.Slot("top", {0, 1}, blocked_attributes=1), plain.Slot("side", secure=True)
    requests = [
        replace(
            plain.random_requests(rng, 1)[0],
            slots=slots,
            blocked_categories={"IAB1"},
            blocked_domains={"www.shop.example"},
            bias=-2.0,
        )
        for slots in ([few, whole], [few])
    ]

    agree(catalogue, requests, (None, 0b110010), 30, LARGE)


def varied(rng, line):
    some = {
        name: set(rng.choice(names, rng.integers(0, 2)).tolist())
        for name, names in (("categories", plain.CATEGORIES), ("domains", plain.DOMAINS))
    }
    refused = {Dimension.COUNTRY: {str(rng.choice(plain.WORDS))}} if rng.random() < 0.2 else {}
    return replace(line, **some, exclude=refused)


def agree(catalogue, requests, tiers, k, stages):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    live = replace(live, first=bits(tiers[0], live), last=bits(tiers[1], live))
    queries = [plain.query_of(one, retriever.index) for one in requests]
    selector = selector_of(retriever, live, stages)

    assert_agrees(retriever, live, selector, queries, k)
    if stages is reference:
        assert_in_order(retriever, live, selector, queries, k)


def bits(pattern, live):
    """A tier of a few line items of every 64."""
    return None if pattern is None else np.full(len(live.line_item), pattern, np.uint64)


@BOTH
@pytest.mark.parametrize("ads", [1, 15, 16, 17, 1025])
def test_catalogues_of_odd_sizes_agree_on_every_ad(rng, stages, ads):
    catalogue = many_ads(rng, ads)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)

    assert_agrees(
        retriever,
        live,
        selector_of(retriever, live, stages),
        queries_of(rng, retriever, 2),
        min(ads, 100),
    )


@BOTH
def test_thousands_of_ads_agree_at_thousands_of_candidates(rng, stages):
    catalogue = many_ads(rng, 4095)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)

    assert_agrees(
        retriever, live, selector_of(retriever, live, stages), queries_of(rng, retriever, 2), 2048
    )


def test_the_blocks_of_a_gpu_agree_too(rng):
    catalogue = many_ads(rng, 250)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)

    assert_agrees(
        retriever,
        live,
        selector_of(retriever, live, Kernels(replace(LARGE.blocks, ads=128))),
        queries_of(rng, retriever, 17),
        20,
    )


@BOTH
def test_ties_go_to_the_lower_row_even_across_tiles(stages):
    catalogue = [plain.LineItem(ads=[plain.Ad() for _ in range(7)]) for _ in range(30)]
    catalogue[20].ads[3].base = 1.0
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = [plain.query_of(plain.Request(), retriever.index)]

    found = selector_of(retriever, live, stages).nearest(asks_of(queries), 40)

    assert found.ad[0].tolist() == [*range(39), 20 * 7 + 3]


@BOTH
def test_nobody_eligible_is_an_empty_answer(rng, stages):
    catalogue = [replace(line, live=False) for line in many_ads(rng, 20)]
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = queries_of(rng, retriever, 1)

    found = selector_of(retriever, live, stages).nearest(asks_of(queries), 16)

    assert found.ad.tolist() == [[-1] * 16]
    assert found.slots.tolist() == [[0] * 16]
    assert found.eligible.tolist() == [0]


@BOTH
def test_the_first_and_the_last_ad_of_a_catalogue_are_found(stages):
    ads = [plain.Ad(alive=row in (0, 1024, 2047)) for row in range(2048)]
    catalogue = [plain.LineItem(ads=ads)]
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = [plain.query_of(plain.Request(), retriever.index)]

    found = selector_of(retriever, live, stages).nearest(asks_of(queries), 4)

    assert found.ad.tolist() == [[0, 1024, 2047, -1]]


@BOTH
def test_an_ad_worth_nothing_comes_last_but_comes(stages):
    catalogue = [plain.LineItem(ads=[plain.Ad(base=-np.inf), plain.Ad(base=-3.0)])]
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = [plain.query_of(plain.Request(), retriever.index)]

    found = selector_of(retriever, live, stages).nearest(asks_of(queries), 2)

    assert found.ad.tolist() == [[0, 1]]


def test_kernels_read_requests_where_they_are_written():
    names = (
        "START",
        "TERM",
        "BLOCKED",
        "BLOCKS",
        "PLACEMENT",
        "SLOTS",
        "ATTRIBUTE",
        "SECURE",
        "SIZE",
    )

    assert [getattr(kernels, name).value for name in names] == [
        getattr(layout, name) for name in names
    ]
    assert kernels.DIMENSIONS.value == DIMENSIONS
