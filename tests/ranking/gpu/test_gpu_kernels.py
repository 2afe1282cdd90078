"""The fused kernel, run by the language's interpreter, against float64 and against the CPU path."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_pages import CPU, RELEASED, SMALL, VERSION, pages
from numpy.testing import assert_allclose, assert_array_equal

from ranking.gpu import reference
from ranking.gpu.batch import Size
from ranking.gpu.launch import Want
from ranking.gpu.network import Model
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.gpu.tiling import Tiling
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs

FLIP = 0.02
"""Log-odds that a page may differ by where a float's last bit rounded an activation otherwise."""


def assert_close(found, exact):
    """Equal but for the last bits; one activation in a thousand rows may be a step away."""
    gap = np.abs(found - exact)
    assert np.quantile(gap, 0.99) < 1e-5
    assert gap.max() < FLIP


@pytest.mark.parametrize("rows", [1, 15, 16, 17])
def test_a_page_of_any_length_gets_the_scores_of_float64(
    gpu: GpuScorer, gpu_model, gpu_ads, released_bundle, rng, rows
):
    """Around a tile of 16."""
    pairs = pages(rng, released_bundle, [rows])

    assert_close(gpu.score(pairs), reference.score(gpu_model, gpu_ads, pairs))


def test_thousands_of_candidates_get_the_scores_of_float64(
    gpu_model, gpu_ads, released_bundle, rng
):
    pairs = pages(rng, released_bundle, [4_095])
    scorer = GpuScorer(gpu_model, Settings(CPU, Tiling(block=256), (Size(4_096, 1),)))
    scorer.add(VERSION, gpu_ads)

    assert_close(scorer.score(pairs), reference.score(gpu_model, gpu_ads, pairs))


def test_the_cpu_path_gives_the_same_scores(gpu, gpu_ads, released_bundle, rng):
    """Its arithmetic to the last unit of every sum, on the released model."""
    pairs = pages(rng, released_bundle, [40, 0, 1, 60, 16])
    cpu = LocalScorer(released_bundle)
    cpu.add(VERSION, gpu_ads)

    assert_close(gpu.score(pairs), cpu.score(pairs))


def test_weights_of_any_kind_are_multiplied_right(gpu_model: Model, gpu_ads, released_bundle, rng):
    """Random ones, extreme ones among them: the sums reach what they can reach."""
    model = with_random_weights(gpu_model, rng)
    pairs = pages(rng, released_bundle, [20, 33])
    scorer = GpuScorer(model, SMALL)
    scorer.add(VERSION, gpu_ads)

    exact = reference.score(model, gpu_ads, pairs)

    assert_allclose(scorer.score(pairs), exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())


def with_random_weights(model: Model, rng: np.random.Generator) -> Model:
    from dataclasses import replace

    def other(layer):
        weight = rng.choice([-127, 127, 3, 0], layer.weight.shape).astype(np.int8)
        fixed = layer.correction.astype(np.int64) + model.network.lowest * (
            layer.weight.astype(np.int64).sum(axis=0) - weight.astype(np.int64).sum(axis=0)
        )
        return replace(layer, weight=weight, correction=fixed.astype(np.int32))

    net = model.network
    layers = {name: other(getattr(net, name)) for name in ("second", "third", "last")}
    return replace(model, network=replace(net, **layers))


def test_the_symmetric_export_fits_the_same_kernel(gpu_ads, released_bundle, rng):
    model = Model.load(RELEASED, "ctr_ranker_s8s8.onnx")
    pairs = pages(rng, released_bundle, [20, 3])
    scorer = GpuScorer(model, SMALL)
    scorer.add(VERSION, gpu_ads)

    assert_close(scorer.score(pairs), reference.score(model, gpu_ads, pairs))


def test_no_candidates_have_no_scores(gpu, released_bundle, rng):
    assert gpu.score(pages(rng, released_bundle, [0, 0])).shape == (0,)
    assert gpu.score(pages(rng, released_bundle, [])).shape == (0,)


def test_requests_without_candidates_cost_their_neighbours_nothing(
    gpu, gpu_model, gpu_ads, released_bundle, rng
):
    pairs = pages(rng, released_bundle, [0, 5, 0, 0, 18, 0])

    assert_close(gpu.score(pairs), reference.score(gpu_model, gpu_ads, pairs))


def test_a_score_does_not_depend_on_the_batch_around_it(gpu, released_bundle, rng):
    pairs = pages(rng, released_bundle, [7, 20, 3])

    together = gpu.score(pairs)

    for request, (start, stop) in enumerate(zip(pairs.offset, pairs.offset[1:], strict=False)):
        own = slice(request, request + 1)
        offset = np.array([0, stop - start], np.int32)
        alone = Pairs(VERSION, pairs.vector[own], pairs.bias[own], pairs.ad[start:stop], offset)
        assert_array_equal(gpu.score(alone), together[start:stop])


def test_an_id_outside_the_table_gets_no_number_and_reads_no_memory(gpu, released_bundle, rng):
    pairs = pages(rng, released_bundle, [6])
    pairs.ad[1:4] = -1, 300, 2_000_000_000

    assert_array_equal(np.isnan(gpu.score(pairs)), [0, 1, 1, 1, 0, 0])


def test_click_rates_are_the_auctions_to_the_millionth(gpu_model, gpu_ads, released_bundle, rng):
    """With the slot's share and the counts added before the map, far beyond its ends too."""
    want = Settings(CPU, Tiling(block=64), (Size(256, 4),), Want(calibrated=True, added=True))
    scorer = GpuScorer(gpu_model, want)
    scorer.add(VERSION, gpu_ads)
    pairs = pages(rng, released_bundle, [100, 28])
    added = rng.normal(0, 6, 128).astype(np.float32)

    logit, ppm = scorer.rates(pairs, added)

    assert_array_equal(ppm, released_bundle.calibration.ppm(logit + added))
    assert_array_equal(reference.ppm(gpu_model, (logit + added).astype(np.float64)), ppm)
    assert ppm.min() < 100
    assert ppm.max() > 100_000
