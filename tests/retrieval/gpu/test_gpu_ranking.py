"""The best few of the nearest, by what a click model says of them."""

from __future__ import annotations

import numpy as np
import plain_retrieval as plain
import pytest
import torch

pytest.importorskip("triton")

from resident_catalogue import LARGE, asks_of, many_ads, queries_of, selector_of

from retrieval.gpu import reference


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
