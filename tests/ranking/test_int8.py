"""The scorer in this process: close to float, and blind to what else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking import kernels, reference
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.int8 import FloatScorer, LocalScorer
from ranking.scorer import Pairs, RankerError
from ranking.table import AdTable


def test_int8_is_close_to_float(int8: LocalScorer, fp32: FloatScorer, pairs: Pairs):
    """A hundredth in log-odds is one percent of a click rate."""
    gap = np.abs(int8.score(pairs) - fp32.score(pairs))

    assert gap.max() < 0.05
    assert gap.mean() < 0.01


def test_the_split_first_layer_equals_the_unsplit_network(
    fp32: FloatScorer, bundle, checkpoint, table: Impressions, pairs: Pairs
):
    """The float scorer on the released tables against plain products of the checkpoint."""
    weights = dict(np.load(checkpoint / "weights.npz"))
    shown = Impressions.uncounted(
        table.request[:10],
        table.catalogue,
        kernels.owners(pairs.offset),
        pairs.ad,
        np.zeros((len(pairs.ad), 3), np.int32),
        np.zeros(len(pairs.ad), np.uint8),
        np.zeros(0, np.float32),
    )

    plain = reference.score(weights, shown).full - bundle.count(shown.counts)  # added later

    # what is left between them: rowwise int8 embeddings, halves and vectors
    assert_allclose(fp32.score(pairs), plain, atol=0.03)


def test_a_score_does_not_depend_on_the_batch_around_it(
    int8: LocalScorer, bundle: Bundle, table: Impressions, pairs: Pairs
):
    """Bit for bit: alone, in its request, and among others, in any place."""
    together = int8.score(pairs)

    for request in range(10):
        rows = slice(pairs.offset[request], pairs.offset[request + 1])
        vector, bias = bundle.towers.request(table.request[request : request + 1])
        own = Pairs(
            pairs.version,
            vector,
            bias,
            pairs.ad[rows],
            np.array([0, rows.stop - rows.start], np.int32),
        )
        assert_array_equal(int8.score(own), together[rows])
        last = Pairs(pairs.version, vector, bias, pairs.ad[rows][-1:], np.array([0, 1], np.int32))
        assert_array_equal(int8.score(last), together[rows][-1:])


def test_no_pairs_have_no_scores(int8: LocalScorer, pairs: Pairs):
    empty = Pairs(pairs.version, pairs.vector, pairs.bias, pairs.ad[:0], np.zeros(11, np.int32))

    assert int8.score(empty).shape == (0,)


def test_an_unknown_snapshot_is_refused(int8: LocalScorer, pairs: Pairs):
    with pytest.raises(RankerError, match="snapshot 9 is not loaded"):
        int8.score(Pairs(9, pairs.vector, pairs.bias, pairs.ad, pairs.offset))


def test_only_the_two_newest_tables_are_kept(int8: LocalScorer, ads: AdTable):
    int8.add(5, ads)
    int8.add(4, ads)

    assert sorted(int8.tables) == [4, 5]


def test_the_table_of_another_model_is_refused(int8: LocalScorer, ads: AdTable):
    columns = (ads.half, ads.half_scale, ads.vector, ads.vector_scale)
    stranger = AdTable("another", *columns, ads.bias, ads.logistic, ads.topic)

    with pytest.raises(RankerError, match="another model"):
        int8.add(6, stranger)


def test_the_kernel_rounds_as_numpy_does(rng: np.random.Generator):
    half_request = rng.normal(0, 60, (3, 32)).astype(np.float32)
    half_ad = rng.integers(-127, 128, (5, 32)).astype(np.int8)
    scale = rng.random(5).astype(np.float32)
    ad, owner = (
        rng.integers(0, 5, 40).astype(np.int32),
        np.sort(rng.integers(0, 3, 40)).astype(np.int32),
    )
    hidden = np.empty((40, 32), np.uint8)

    kernels.enter_int8(half_request, half_ad, scale, 2.0, ad, owner, hidden)

    exact = half_request[owner] + half_ad[ad] * (scale[ad, None] * 2.0)
    assert_allclose(hidden, np.clip(exact, 0, 255), atol=0.5001)
