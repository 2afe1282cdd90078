"""Counts of a batch's pairs: the kernels against the plain heads, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking.counting import kernels
from ranking.counting.board import AdKeys, Board, Counted, Places
from ranking.counts import COUNTS, EACH, HIDDEN, PLACES, CountHead, place_cell
from ranking.features import TOPICS

ADS = 300


def floats(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.fixture
def counted(rng):
    """Three requests of 1, 3 and 2 slots; one without pairs; ids past the tables among them."""
    offset = np.array([0, 40, 40, 97], np.int32)
    slots = np.array([1, 3, 2], np.int32)
    topic = floats(rng, 3, TOPICS, EACH)
    places = Places(rng.integers(0, 1 << 32, (3, 3)).astype(np.uint64), slots, topic)
    ads = AdKeys(
        rng.integers(0, 400, ADS),
        rng.integers(0, 60, ADS).astype(np.int32),
        rng.integers(0, TOPICS, ADS).astype(np.int16),
    )
    board = Board(floats(rng, 256, EACH), floats(rng, 50, EACH), floats(rng, PLACES, EACH))
    return Counted(offset, rng.integers(0, ADS, 97).astype(np.int32), places, ads, board)


def every_pair(counted):
    """Request, pair and slot of all that are asked."""
    found = [
        (b, r, s)
        for b, count in enumerate(counted.places.slots.tolist())
        for r in range(counted.offset[b], counted.offset[b + 1])
        for s in range(count)
    ]
    return tuple(np.array(one) for one in zip(*found, strict=True))


def test_counts_of_a_pair_are_its_four_cells(counted):
    request, pair, slot = every_pair(counted)

    found = counted.counts(request, pair, slot)

    board, ads = counted.board, counted.ads
    for n, (b, r, s) in enumerate(zip(request, pair, slot, strict=True)):
        row = counted.row[r]
        ad, owner, about = int(ads.ad[row]), int(ads.advertiser[row]), int(ads.topic[row])
        none = np.zeros(EACH, np.float32)
        expected = np.concatenate([
            board.ad[ad] if ad < len(board.ad) else none,
            board.advertiser[owner] if owner < len(board.advertiser) else none,
            board.place[place_cell(ad, int(counted.places.place[b, s]))],
            counted.places.topic[b, about],
        ])  # fmt: skip
        assert_array_equal(found[n], expected)


def test_the_head_adds_to_each_pair_what_it_gives_for_its_counts(counted, rng):
    w1, b1, w2 = floats(rng, COUNTS, HIDDEN), floats(rng, HIDDEN), floats(rng, HIDDEN)
    head = CountHead(w1, b1, w2)
    logit, bias = floats(rng, 97), floats(rng, 3, 3)
    request, pair, slot = every_pair(counted)

    total = counted.with_head(logit, bias, head)

    expected = logit[pair] + bias[request, slot] + head(counted.counts(request, pair, slot))
    assert_allclose(total[pair, slot], expected, rtol=1e-4, atol=1e-4)


def test_the_fallback_adds_its_weights(counted, rng):
    weight, logit, bias = floats(rng, COUNTS), floats(rng, 97), floats(rng, 3, 3)
    request, pair, slot = every_pair(counted)

    total = counted.with_weights(logit, bias, weight)

    expected = logit[pair] + bias[request, slot] + counted.counts(request, pair, slot) @ weight
    assert_allclose(total[pair, slot], expected, rtol=1e-4, atol=1e-4)


def test_past_a_requests_last_slot_nothing_is_added(counted, rng):
    head = CountHead(floats(rng, COUNTS, HIDDEN), floats(rng, HIDDEN), floats(rng, HIDDEN))
    logit, bias = floats(rng, 97), floats(rng, 3, 3)

    total = counted.with_head(logit, bias, head)

    assert_array_equal(total[:40, 1:], np.repeat(logit[:40, None], 2, axis=1))
    assert_array_equal(total[40:, 2], logit[40:])


def test_a_pairs_odds_do_not_depend_on_its_company(counted, rng):
    head = CountHead(floats(rng, COUNTS, HIDDEN), floats(rng, HIDDEN), floats(rng, HIDDEN))
    logit, bias = floats(rng, 97), floats(rng, 3, 3)
    places = Places(counted.places.place[2:], counted.places.slots[2:], counted.places.topic[2:])
    ends = np.array([0, 1], np.int32)
    alone = Counted(ends, counted.row[96:], places, counted.ads, counted.board)

    assert_array_equal(
        alone.with_head(logit[96:], bias[2:], head), counted.with_head(logit, bias, head)[96:]
    )


def test_no_pairs_are_no_odds(counted, rng):
    places = Places(counted.places.place[:1], counted.places.slots[:1], counted.places.topic[:1])
    none = Counted(np.zeros(2, np.int32), np.zeros(0, np.int32), places, counted.ads, Board())
    head = CountHead(floats(rng, COUNTS, HIDDEN), floats(rng, HIDDEN), floats(rng, HIDDEN))

    assert none.with_head(floats(rng, 0), floats(rng, 1, 3), head).shape == (0, 3)


def test_kernel_and_definition_hash_to_the_same_cell(rng):
    for ad in rng.integers(0, 1 << 40, 200).tolist():
        for place in rng.integers(0, 1 << 32, 5).tolist():
            assert kernels.place_cell(ad, np.uint64(place)) == place_cell(ad, place)
