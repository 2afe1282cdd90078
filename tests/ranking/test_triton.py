"""What travels to Triton, without Triton."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tritonclient.grpc import service_pb2

from ranking.remote import MEANING
from ranking.scorer import Broken, Pairs, RankerError
from ranking.triton import Rows, received


def pairs_of(counts: list[int]) -> Pairs:
    offset = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    request = np.arange(len(counts), dtype=np.float32)
    return Pairs(
        version=1,
        vector=np.repeat(request[:, None], 4, axis=1),
        bias=request + 0.5,
        ad=np.arange(offset[-1], dtype=np.int32),
        offset=offset,
    )


@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=9), width=st.integers(1, 8))
def test_every_pair_has_its_place_in_a_row_of_its_own_request(counts, width):
    pairs = pairs_of(counts)
    owner = np.repeat(np.arange(len(counts)), counts)

    rows = Rows.of(pairs, width)

    assert_array_equal(rows.ad.ravel()[rows.position], pairs.ad)
    assert (rows.ad >= 0).sum() == len(pairs.ad)
    assert_array_equal(rows.request[rows.position // width, 0], owner)
    assert_array_equal(rows.request[rows.position // width, -1], owner + np.float32(0.5))


def test_full_requests_of_the_usual_width_take_one_row_each():
    assert Rows.of(pairs_of([200, 200, 200]), 200).ad.shape == (3, 200)


def test_every_grpc_status_means_something_to_the_ranker():
    assert set(MEANING) == set(grpc.StatusCode)
    assert all(issubclass(meaning, RankerError) for meaning in MEANING.values())


@pytest.mark.parametrize(
    "content",
    [[], [b"\0" * 4], [b"\0" * 8, b"\0" * 8], [np.array([0, np.nan], np.float32).tobytes()]],
    ids=["nothing", "too short", "two tensors", "not a number"],
)
def test_an_answer_that_is_none_is_broken(content):
    answer = service_pb2.ModelInferResponse(raw_output_contents=content)

    with pytest.raises(Broken):
        received(answer, 2)
