"""What crosses to the device is checked there: its numbers are used as addresses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plain_retrieval as plain
import pytest
from resident_catalogue import asks_of, many_ads, queries_of

from retrieval.gpu import asks as layout
from retrieval.gpu.asks import Asks, Malformed, TooWide


@pytest.fixture
def asks(rng):
    retriever = plain.retriever_of(many_ads(rng, 40))
    return asks_of(queries_of(rng, retriever, 3))


def test_a_request_is_about_a_kilobyte(asks):
    assert asks.ask[0].nbytes + asks.vector[0].nbytes < 1100


def test_whole_requests_pass(asks):
    asks.check(terms=5, sizes=plain.SIZES, dimensions=plain.WIDE)


@pytest.mark.parametrize(
    ("column", "number"),
    [
        (layout.START, 1),
        (layout.START + 12, layout.MAX_TERMS + 1),
        (layout.START + 5, 3),
        (layout.TERM, 5),
        (layout.TERM + 63, -1),
        (layout.BLOCKED, 9),
        (layout.BLOCKS, layout.MAX_BLOCKED + 1),
        (layout.BLOCKS, -1),
        (layout.PLACEMENT, 5),
        (layout.PLACEMENT, -2),
        (layout.SLOTS, 0),
        (layout.SLOTS, 21),
    ],
)
def test_numbers_that_point_outside_are_refused(asks, column, number):
    asks.ask[1, column] = number

    with pytest.raises(Malformed):
        asks.check(terms=5, sizes=plain.SIZES, dimensions=plain.WIDE)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_vector_that_is_no_number_is_refused(asks, wrong):
    asks.vector[2, 0] = wrong

    with pytest.raises(Malformed):
        asks.check(terms=5, sizes=plain.SIZES, dimensions=plain.WIDE)


def test_a_vector_of_another_model_is_refused(asks):
    with pytest.raises(Malformed):
        asks.check(terms=5, sizes=plain.SIZES, dimensions=plain.WIDE + 1)


def test_more_values_than_there_is_room_for_stay_with_the_planner(rng):
    retriever = plain.retriever_of(many_ads(rng, 40))
    query = queries_of(rng, retriever, 1)[0]
    wide = replace(query, blocked=np.zeros(layout.MAX_BLOCKED + 1, np.int32))

    with pytest.raises(TooWide):
        Asks.of([wide], plain.WIDE)
