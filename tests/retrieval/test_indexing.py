"""An index that has grown answers as the plain rules say, and as one built from all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import plain_retrieval as plain
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from retrieval.postings import flags
from retrieval.query import Dimension
from retrieval.targeting import TargetingIndex

TEA = plain.LineItem(include={Dimension.KEYWORD: {"tea"}}, placements={"top"})
REFUSES_TEA = plain.LineItem(exclude={Dimension.KEYWORD: {"tea"}}, domains={"tea.example"})


def seen(index, catalogue, request):
    match = index.match(plain.query_of(request, index), plain.live_of(catalogue).line_item)
    return flags(match.words)[: len(catalogue)].tolist(), match.line_slots.tolist()


@st.composite
def changes(draw):
    """Catalogues one after the other: each has the last one's line items, some of them changed."""
    steps = [draw(plain.catalogues)]
    for _ in range(draw(st.integers(1, 3))):
        after = [*steps[-1], *draw(plain.catalogues)]
        old = len(steps[-1])
        changed = draw(st.sets(st.integers(0, max(old - 1, 0)), max_size=old))
        others = draw(plain.catalogues)
        for row, line in zip(sorted(changed), others, strict=False):
            after[row] = line
        steps.append(after)
    return steps


def differing(before, after):
    same = [n for n, line in enumerate(before) if after[n] is line]
    return [n for n in range(len(after)) if n not in same]


@settings(deadline=None, max_examples=150)
@given(changes(), st.lists(plain.requests, min_size=1, max_size=3))
def test_an_index_that_grew_step_by_step_matches_by_the_same_rules(steps, requests):
    index = plain.index_of(steps[0])
    for before, after in pairwise(steps):
        index = plain.grown_index(index, after, differing(before, after))

    built = plain.index_of(steps[-1])
    for request in requests:
        words, slots = seen(index, steps[-1], request)
        assert words == [plain.line_matches(line, request) for line in steps[-1]]
        assert (words, slots) == seen(built, steps[-1], request)


def test_the_index_it_grew_from_is_left_as_it_was(rng):
    catalogue = plain.random_catalogue(rng, 300)
    index, requests = plain.index_of(catalogue), plain.random_requests(rng, 20)
    before = [seen(index, catalogue, request) for request in requests]

    plain.grown_index(index, [TEA, *catalogue[1:], TEA, REFUSES_TEA], [0, 300, 301])

    assert [seen(index, catalogue, request) for request in requests] == before


def test_what_grew_can_be_saved_and_grow_again(rng, tmp_path):
    catalogue = plain.random_catalogue(rng, 200)
    more = [*catalogue, *plain.random_catalogue(rng, 100)]
    most = [*more[:-1], TEA, REFUSES_TEA]
    plain.grown_index(plain.index_of(catalogue), more, [*range(200, 300)]).save(tmp_path)

    index = plain.grown_index(TargetingIndex.load(tmp_path), most, [299, 300])

    built = plain.index_of(most)
    for request in plain.random_requests(rng, 50):
        assert seen(index, most, request) == seen(built, most, request)


def test_a_line_item_that_wants_something_else_is_found_by_it_alone():
    before = [plain.LineItem(include={Dimension.KEYWORD: {"war"}}, placements={"side"})]
    index = plain.grown_index(plain.index_of(before), [TEA], [0])

    def asked(word, placement):
        values = {Dimension.KEYWORD: {word}}
        return seen(index, [TEA], plain.Request(values, [plain.Slot(placement)]))[0]

    assert asked("tea", "top") == [True]
    assert asked("war", "side") == asked("war", "top") == asked("tea", "side") == [False]


def test_sets_stay_what_they_are_however_they_grow():
    few = [plain.LineItem() for _ in range(640)]
    for line in few[:100]:
        line.include = {Dimension.COUNTRY: {"DEU"}}
    grown = [*few, *(plain.LineItem(include={Dimension.COUNTRY: {"FRA"}}) for _ in range(640))]
    index = plain.grown_index(plain.index_of(few), grown, [*range(640, 1280)])

    country = index.vocabulary.dimension[Dimension.COUNTRY]
    rows = {name: index.postings.rows(index.include[term]) for name, term in country.items()}
    assert_array_equal(rows["DEU"], np.arange(100))
    assert_array_equal(rows["FRA"], np.arange(640, 1280))
