"""The search for one ad in a ring: every auction that it came to, and none that it did not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from auction_records import AT_MS, Market, append, ring_of
from hypothesis import given
from hypothesis import strategies as st

from adserver.auctions.ring import Ring
from adserver.auctions.scan import evenly, pages_of, shares, sightings


def plain_search(batches, ad):
    """(decision number, code) of each page that has the ad, said plainly."""
    return [
        (int(page.notes.number[0]), int(page.slate.rejected[row]))
        for batch in batches
        for page in batch.pages()
        for row in np.flatnonzero(page.notes.ad_id == ad).tolist()
    ]


@pytest.mark.parametrize("capacity", [1 << 20, 1 << 16])
def test_every_sighting_of_an_ad_in_the_ring_is_found(tmp_path, capacity):
    market, ring = Market(1), ring_of(tmp_path, capacity)
    batches = [market.batch(3) for _ in range(80)]
    for batch in batches:
        append(ring, batch)
    reader = Ring.open(tmp_path, 3)
    kept = batches[-len(reader.entries()) :]

    for ad in range(1000, 1042):
        found = sightings(reader, ad, 0)
        pages = list(pages_of(found, found.record, found.row))

        told = [(int(page.notes.number[0]), int(page.slate.rejected[row])) for page, row in pages]
        assert told == plain_search(kept, ad)
        assert found.code.tolist() == [code for _, code in told]
        assert all(page.notes.ad_id[row] == ad for page, row in pages)
        assert found.decisions == sum(len(batch) for batch in kept)


def test_only_the_window_is_searched(tmp_path):
    market, ring = Market(2), ring_of(tmp_path)
    batches = [market.batch(2) for _ in range(10)]
    for batch in batches:
        append(ring, batch)

    found = sightings(Ring.open(tmp_path, 3), 1005, AT_MS + 70)

    assert found.decisions == 6
    assert len(found.code) == len(plain_search(batches[7:], 1005))
    assert sightings(Ring.open(tmp_path, 3), 1005, AT_MS + 1000).decisions == 0


def test_numbers_that_only_look_like_the_ad_are_no_sightings(tmp_path):
    """Times, decision numbers and bids are searched as well, and told apart by where they stand."""
    market, ring = Market(3), ring_of(tmp_path)
    batch = market.batch(4)
    append(ring, batch)
    reader = Ring.open(tmp_path, 3)

    for number in [AT_MS, int(batch.notes.number[0]), 5, *batch.bids.bid_micros.tolist()]:
        expected = plain_search([batch], number)
        assert len(sightings(reader, number, 0).code) == len(expected)


def test_an_empty_ring_has_nothing_to_find(tmp_path):
    ring_of(tmp_path)

    found = sightings(Ring.open(tmp_path, 3), 1001, 0)

    assert (found.decisions, len(found.code)) == (0, 0)


def test_what_is_overwritten_during_the_search_is_left_out_with_its_decisions(tmp_path):
    market, ring = Market(4), ring_of(tmp_path, 1 << 16)
    for _ in range(40):
        append(ring, market.batch(3))
    reader = Ring.open(tmp_path, 3)
    busy = Ring(3, reader.raw, reader._control, reader._index)
    entries = reader.entries()
    for _ in range(5):
        append(ring, market.batch(3))
    stale = type("Stale", (), {
        "raw": busy.raw, "entries": lambda self: entries, "still_there": busy.still_there,
    })()  # fmt: skip

    found = sightings(stale, 1005, 0)

    left = entries[busy.still_there(entries["position"])]
    assert len(left) < len(entries)
    assert found.decisions == int(left["pages"].sum())


@given(st.integers(0, 500), st.integers(1, 60))
def test_an_even_choice_is_in_range_and_each_once(count, most):
    chosen = evenly(count, most).tolist()

    assert len(chosen) == len(set(chosen)) == min(count, most)
    assert all(0 <= number < count for number in chosen)


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 10**9))
def test_shares_sum_exactly_and_are_within_one_of_the_proportion(counts, total):
    parts = shares(counts, total)

    if not sum(counts):
        assert not any(parts)
        return
    assert sum(parts) == total
    for part, count in zip(parts, counts, strict=True):
        assert abs(part - total * count / sum(counts)) < 1 + 1e-6
    assert Counter(parts).total() == len(counts)
