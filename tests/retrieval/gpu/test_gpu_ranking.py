"""The best few of the nearest, by what a click model says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plain_retrieval as plain
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resident_catalogue import LARGE, asks_of, many_ads, queries_of, selector_of

from retrieval.gpu import reference
from retrieval.gpu.graph import VECTOR, batch_there, write


def score(ads, vector):
    """Anything that is not in the order of retrieval, with ties."""
    return torch.where(ads >= 0, (ads * 7 % 11).float(), 0.0) + vector[:, -1:]


@pytest.mark.parametrize("stages", [reference, LARGE], ids=["torch", "kernels"])
@pytest.mark.parametrize("k", [3, 60])
def test_the_best_by_worth_come_back_best_first(rng, stages, k):
    catalogue = many_ads(rng, 90)
    for line in catalogue:
        for ad in line.ads:
            ad.base, ad.per_click = float(round(ad.base)), False
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = queries_of(rng, retriever, 2)
    base = torch.from_numpy(live.base)
    expected = retriever.retrieve(queries, live, k)

    selector = selector_of(retriever, live, stages)
    asks = asks_of(queries)

    found = selector.rank(asks, k, 8, score, lambda ads, logit: base[ads.clamp(min=0)] + logit)

    for row in range(2):
        part = slice(expected.offset[row], expected.offset[row + 1])
        ad, value = expected.ad[part], expected.value[part]
        logit = (ad * 7 % 11).astype(np.float32)
        order = np.lexsort((ad, -(value + logit)))[:8]
        count = len(order)
        assert found.ad[row, :count].tolist() == ad[order].tolist()
        assert found.logit[row, :count].tolist() == logit[order].tolist()
        assert found.value[row, :count].tolist() == value[order].tolist()
        assert found.worth[row, :count].tolist() == (value + logit)[order].tolist()
        assert found.slots[row, :count].tolist() == expected.slots[part][order].tolist()
        assert (found.ad[row, count:] == -1).all()
        assert (found.slots[row, count:] == 0).all()
    assert found.eligible.tolist() == expected.eligible.tolist()


@settings(deadline=None, max_examples=25)
@given(
    plain.catalogues,
    st.lists(plain.requests, min_size=1, max_size=2),
    st.booleans(),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_tiers_and_unlike_slots_keep_their_share_of_what_comes_back(
    catalogue, requests, tiers, best, chance
):
    """What comes back is what the planner would find if ads were worth what the model says."""
    for line in catalogue:
        for ad in line.ads:
            ad.per_click = False
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    if tiers:
        words = len(live.line_item)
        live = replace(live, first=np.full(words, 5, np.uint64), last=np.full(words, 50, np.uint64))
    queries = [plain.query_of(one, retriever.index) for one in requests]
    money = np.array([chance.choice([1.0, 2.0, 3.0]) for _ in live.base], np.float32)
    every = max(best, len(live.base))
    expected = retriever.retrieve(queries, replace(live, base=money), best)

    found = selector_of(retriever, live, reference).rank(
        asks_of(queries), every, best, score,
        lambda ads, logit: torch.from_numpy(money)[ads.clamp(min=0)] if len(money) else ads.float(),
    )  # fmt: skip

    for row in range(len(requests)):
        ad = expected.ad[expected.offset[row] : expected.offset[row + 1]]
        got = found.ad[row][found.ad[row] >= 0]
        assert sorted(got.tolist()) == sorted(ad.tolist())
        assert found.worth[row, : len(got)].tolist() == sorted(money[ad].tolist(), reverse=True)


def test_rows_of_a_graph_are_the_same_batch(rng):
    """And rows that nobody asked for find nothing."""
    retriever = plain.retriever_of(many_ads(rng, 90))
    live = plain.live_of(many_ads(rng, 90))
    asks = asks_of(queries_of(rng, retriever, 3))
    rows = np.zeros((5, VECTOR + plain.WIDE + 1), np.int32)
    selector = selector_of(retriever, live, reference)

    write(rows[:3], asks)
    found = selector.chosen(batch_there(torch.from_numpy(rows)), 12)

    assert torch.equal(found.ad[:3], selector.nearest(asks, 12).ad)
    assert (found.ad[3:] == -1).all()
