from collections import Counter

import numpy as np
import plain_retrieval as plain
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal


@settings(deadline=None, max_examples=300)
@given(plain.catalogues, plain.requests, st.integers(1, 30))
def test_a_request_gets_exactly_the_best_of_the_ads_that_may_be_shown(catalogue, request, k):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    found = retriever.retrieve([query], live, k)

    slots = np.array(plain.open_slots(catalogue, request), np.uint32)
    value = plain.values(retriever.vectors, live, query)
    best = plain.scan_plainly(value, slots, plain.slot_keys(catalogue, request, retriever.index), k)
    assert_array_equal(found.ad, best)
    assert_array_equal(found.value, value[best])
    assert_array_equal(found.slots, slots[best])
    assert found.eligible[0] == np.count_nonzero(slots)


@settings(deadline=None, max_examples=200)
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
