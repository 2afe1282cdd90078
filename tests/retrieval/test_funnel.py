"""Why one ad is not shown: the same reason under which the count of all ads has it."""

from __future__ import annotations

from collections import Counter

import plain_retrieval as plain
from hypothesis import given, settings

from retrieval.funnel import first_misfit


@settings(deadline=None, max_examples=100)
@given(plain.catalogues, plain.requests)
def test_each_ad_fails_first_what_the_plain_rules_say(catalogue, request):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    found = [
        first_misfit(retriever.index, retriever.kinds, query, live, int(ad), line_item)
        for line_item, (low, high) in enumerate(
            zip(retriever.ad_start[:-1], retriever.ad_start[1:], strict=True)
        )
        for ad in range(low, high)
    ]

    assert found == [plain.first_misfit(line, ad, request) for line in catalogue for ad in line.ads]
    counts = Counter(found)
    counts.pop(None, 0)
    assert retriever.funnel(query, live) == counts


@settings(deadline=None, max_examples=30)
@given(plain.catalogues, plain.requests)
def test_an_index_for_another_thread_matches_alike_and_shares_no_scratch(catalogue, request):
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    query = plain.query_of(request, retriever.index)

    other = retriever.index.for_another_thread()

    assert other.match(query, live.line_item).words.tolist() == (
        retriever.index.match(query, live.line_item).words.tolist()
    )
    assert other.scratch.words is not retriever.index.scratch.words
