"""How a batch is laid out for the device: nothing is lost, nothing is mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ranking.gpu.batch import Layout, Size, parts, tiles
from ranking.gpu.tiling import USUAL, Tiling, tilings
from ranking.scorer import Pairs

COUNTS = st.lists(st.integers(0, 50), max_size=12)


def numbered(counts: list[int]) -> Pairs:
    """Every pair and every request can be told apart."""
    offset = np.cumsum([0, *counts]).astype(np.int32)
    request = np.arange(len(counts), dtype=np.float32)
    vector = np.repeat(request[:, None], 4, axis=1)
    return Pairs(1, vector, request + 0.5, np.arange(offset[-1], dtype=np.int32), offset)


@given(counts=COUNTS, block=st.sampled_from([1, 16, 64]))
def test_every_pair_is_in_one_tile_of_its_own_request(counts, block):
    pairs = numbered(counts)

    request, first = tiles(pairs.offset, block)

    found = [
        (int(owner), row)
        for owner, start in zip(request, first, strict=True)
        for row in range(start, min(start + block, pairs.offset[owner + 1]))
    ]
    assert found == [
        (owner, row)
        for owner, count in enumerate(counts)
        for row in range(pairs.offset[owner], pairs.offset[owner] + count)
    ]


@given(counts=COUNTS, rows=st.integers(1, 40), requests=st.integers(1, 5))
def test_a_batch_in_pieces_is_the_same_batch(counts, rows, requests):
    pairs, size = numbered(counts), Size(rows, requests)

    cut = list(parts(pairs, size))

    assert all(size.holds(piece) for _, piece in cut)
    assert_array_equal(np.concatenate([np.zeros(0), *(piece.ad for _, piece in cut)]), pairs.ad)
    assert [place.start for place, _ in cut] == [int(piece.ad[0]) for _, piece in cut]
    owner = np.repeat(np.arange(len(counts)), counts)
    found = [np.repeat(piece.vector[:, 0], np.diff(piece.offset)) for _, piece in cut]
    assert_array_equal(np.concatenate([np.zeros(0), *found]), owner)


@given(counts=COUNTS)
def test_what_is_written_can_be_read_where_the_layout_says(counts):
    pairs, layout = numbered(counts), Layout(Size(700, 12), 16, 4)
    buffer = np.full(layout.words(with_added=True), -7, np.int32)
    added = pairs.ad.astype(np.float32) / 3

    layout.write(buffer, pairs, 99, added)

    place = layout.places
    tile_count, requests, rows, ads = buffer[place["header"]]
    assert (requests, rows, ads) == (len(counts), len(pairs.ad), 99)
    assert tile_count <= layout.tiles
    assert_array_equal(buffer[place["ad"]][:rows], pairs.ad)
    assert_array_equal(buffer[place["offset"]][: requests + 1], pairs.offset)
    assert_array_equal(buffer[place["added"]].view(np.float32)[:rows], added)
    vector = buffer[place["vector"]].view(np.float32)[: requests * 5].reshape(-1, 5)
    assert_array_equal(vector, np.column_stack((pairs.vector, pairs.bias)))


def test_columns_begin_where_memory_is_read_from():
    places = Layout(Size(1_000, 7), 64, 64).places

    assert all(place.start % 32 == 0 for place in places.values())
    ends = [0, *(place.stop for place in places.values())]
    assert all(place.start >= end for place, end in zip(places.values(), ends, strict=False))


def test_a_batch_that_does_not_fit_is_a_mistake():
    layout = Layout(Size(10, 2), 16, 4)
    buffer = np.zeros(layout.words(with_added=False), np.int32)

    with pytest.raises(ValueError, match="do not fit"):
        layout.write(buffer, numbered([11]), 1)


def test_a_tiling_is_a_word():
    assert all(Tiling.read(str(one)) == one for one in tilings())
    assert next(tilings()) == USUAL
    for wrong in ("", "128", "100-8-1-1", "128-0-1-1", "128-8-2-1", "a-b-c-d"):
        with pytest.raises(ValueError, match=r"."):
            Tiling.read(wrong)
