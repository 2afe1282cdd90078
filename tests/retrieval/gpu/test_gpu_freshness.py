"""What changes within a second reaches the device in small writes; a new snapshot takes over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plain_retrieval as plain
from resident_catalogue import (
    asks_of,
    assert_agrees,
    many_ads,
    queries_of,
    resident_of,
    selector_of,
)

from retrieval.gpu import reference
from retrieval.gpu.selector import Selector


def test_pauses_bids_and_budgets_are_followed(rng):
    catalogue = many_ads(rng, 700)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = queries_of(rng, retriever, 2)
    selector = selector_of(retriever, live, reference)
    before = selector.nearest(asks_of(queries), 50).ad

    for _ in range(3):
        live = changed(rng, live)
        selector.resident.follow(live)

        assert_agrees(retriever, live, selector, queries, 50)
    assert not before.equal(selector.nearest(asks_of(queries), 50).ad)


def changed(rng, live):
    """A few ads paused or resumed, a few bids moved, a few line items out of budget."""
    ad, base = live.ad.copy(), live.base.copy()
    ad[rng.integers(0, len(ad), 9)] ^= 1
    base[rng.integers(0, len(ad), 9)] += 1
    spent = np.packbits(rng.random(64 * len(live.line_item)) < 0.95, bitorder="little")
    return replace(live, ad=ad, base=base, line_item=live.line_item & spent.view(np.uint64))


def test_only_what_changed_is_written(rng):
    catalogue = many_ads(rng, 300)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    resident = resident_of(retriever, live)
    ad, base = live.ad.copy(), live.base.copy()
    ad[[0, 299]], base[7] = 0, 5.0

    assert resident.follow(replace(live, ad=ad, base=base)) == 3
    assert resident.follow(replace(live, ad=ad, base=base)) == 0


def test_house_ads_come_and_go(rng):
    catalogue = many_ads(rng, 300)
    retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
    queries = queries_of(rng, retriever, 2)
    selector = selector_of(retriever, live, reference)
    house = replace(live, last=live.line_item & np.uint64(0x0F0F))

    for now in (house, live):
        selector.resident.follow(now)

        assert_agrees(retriever, now, selector, queries, 60)


def test_two_snapshots_are_resident_at_once_and_each_answers_for_itself(rng):
    selectors = []
    for ads in (300, 400):
        catalogue = many_ads(rng, ads)
        retriever, live = plain.retriever_of(catalogue), plain.live_of(catalogue)
        selectors.append((retriever, live, Selector(resident_of(retriever, live))))

    for retriever, live, selector in (*selectors, selectors[0]):
        assert_agrees(retriever, live, selector, queries_of(rng, retriever, 2), 30)
