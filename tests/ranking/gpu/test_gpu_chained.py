"""Scores of ads that are on the device already are those of the same ads as pairs."""

from __future__ import annotations

import numpy as np
import torch
from gpu_pages import ADS, CPU, VERSION, encoded
from numpy.testing import assert_array_equal

from adserver.selection.fused import Fused
from ranking.features import REQUEST_FIELDS
from ranking.gpu.tiling import Tiling
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs

K = 20


def test_ads_on_the_device_are_scored_as_pairs_are(gpu_model, gpu_ads, gpu, released_bundle):
    rng = np.random.default_rng(2)
    vector, bias = released_bundle.towers.request(encoded(rng, REQUEST_FIELDS, 3))
    ad = rng.integers(0, ADS, (3, K)).astype(np.int32)
    ad[0, 0], ad[1, 5], ad[2] = ADS - 1, -1, -1
    there = ad >= 0
    offset = np.concatenate(([0], np.cumsum(there.sum(axis=1)))).astype(np.int32)
    pairs = Pairs(VERSION, vector, bias, ad[there], offset)
    fused = Fused(gpu_model, gpu_ads, CPU, Tiling(block=16))

    found = fused(torch.from_numpy(ad), torch.from_numpy(np.column_stack((vector, bias)))).numpy()

    assert_array_equal(found[there], gpu.score(pairs))
    assert np.isnan(found[~there]).all()
    local = LocalScorer(released_bundle)
    local.add(VERSION, gpu_ads)
    assert np.abs(found[there] - local.score(pairs)).max() < 0.05
