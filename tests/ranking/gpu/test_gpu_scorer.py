"""The scorer's tables: swapped under requests, refused, written row by row."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from gpu_pages import ADS, SMALL, VERSION, encoded, pages
from numpy.testing import assert_array_equal

from ranking.features import AD_FIELDS
from ranking.features import width as width_of
from ranking.gpu.batch import Size
from ranking.gpu.record import records, width
from ranking.gpu.resident import Ads
from ranking.gpu.scorer import GpuScorer
from ranking.scorer import Refused
from ranking.table import AdTable


def test_a_batch_larger_than_any_buffer_is_scored_in_pieces(
    gpu_model, gpu_ads, released_bundle, rng
):
    """Cut inside a request, and between requests."""
    gpu = GpuScorer(gpu_model, replace(SMALL, sizes=(Size(64, 8),)))
    gpu.add(VERSION, gpu_ads)
    pairs = pages(rng, released_bundle, [30, 70, 30])

    whole = gpu.score(pairs)

    assert len(whole) == 130
    tail = pages(rng, released_bundle, [30])
    tail = replace(tail, vector=pairs.vector[2:], bias=pairs.bias[2:], ad=pairs.ad[-30:])
    assert_array_equal(gpu.score(tail), whole[-30:])


def test_a_swap_costs_no_request(gpu: GpuScorer, gpu_ads, released_bundle, rng):
    """Requests go on, on the snapshot they began with, while another comes in beside it."""
    pairs = pages(rng, released_bundle, [20])
    before = gpu.score(pairs)
    other = AdTable.build(released_bundle, encoded(np.random.default_rng(5), AD_FIELDS, ADS))
    coming = threading.Thread(target=gpu.add, args=(VERSION + 1, other))

    coming.start()
    during = []
    while coming.is_alive() or len(during) < 3:
        during.append(gpu.score(pairs))
    coming.join()

    assert all((one == before).all() for one in during)
    assert_array_equal(gpu.score(pairs), before)
    after = gpu.score(replace(pairs, version=VERSION + 1))
    assert (after != before).mean() > 0.5  # many of these ads are of none that the model knows


def test_only_the_two_newest_snapshots_are_kept(gpu: GpuScorer, gpu_ads, released_bundle, rng):
    gpu.add(VERSION + 2, gpu_ads)
    gpu.add(VERSION + 1, gpu_ads)

    assert gpu.versions == [VERSION + 1, VERSION + 2]
    with pytest.raises(Refused, match=f"snapshot {VERSION} is not loaded"):
        gpu.score(pages(rng, released_bundle, [3]))


def test_the_table_of_another_model_is_not_taken(gpu: GpuScorer, gpu_ads: AdTable):
    with pytest.raises(Refused, match="another model"):
        gpu.add(VERSION + 1, replace(gpu_ads, model="a stranger"))


def test_an_empty_table_answers_no_candidates(gpu: GpuScorer, released_bundle, rng):
    none = AdTable.build(released_bundle, np.zeros((0, width_of(AD_FIELDS)), np.int32))
    gpu.add(VERSION + 1, none)

    empty = replace(pages(rng, released_bundle, [0]), version=VERSION + 1)
    one = replace(pages(rng, released_bundle, [1]), version=VERSION + 1)

    assert gpu.score(empty).shape == (0,)
    assert np.isnan(gpu.score(one)).all()


def test_new_ads_are_written_over_old_ones(gpu_model, gpu_ads: AdTable):
    """A record holds all that is known of an ad."""
    scale = gpu_model.network.scale
    ads = Ads.of(gpu_ads, scale, SMALL.device)
    made = records(gpu_ads, scale, slice(7, 9))

    ads.write(np.array([0, ADS - 1]), made)

    assert_array_equal(ads.code[0], made[0])
    assert_array_equal(ads.code[ADS - 1], made[1])
    assert_array_equal(ads.code[8], made[1])


def test_a_record_is_whole_sectors():
    assert width(256, 64) == 352
    assert width(256, 64) % 32 == 0
