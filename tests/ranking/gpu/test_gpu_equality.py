"""The GPU's kernel, the CPU's INT8 and float64 sell the same pages to the same ads."""

from __future__ import annotations

import numpy as np
from gpu_pages import CPU
from numpy.testing import assert_array_equal

from bench.on_gpu import equality, ranked
from bench.on_gpu.equality import Sold
from ranking.gpu import reference
from ranking.gpu.batch import Size
from ranking.gpu.launch import Want
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.gpu.tiling import Tiling
from ranking.int8 import LocalScorer

AUCTIONS, CONTENDERS = 60, 50


def test_the_kernel_sells_what_the_cpu_sells(gpu_model, released_bundle, rng):
    """Nearly all of what float64 sells, for nearly the same money; a thousandth is asked of ten
    thousand pages, which the bench sells: of so few, one other winner is more than that."""
    table = ranked.table(gpu_model, rng, 2_000)
    pairs = ranked.pages(rng, [CONTENDERS] * AUCTIONS, len(table), 64)
    sizes = (Size(AUCTIONS * CONTENDERS, AUCTIONS),)
    gpu = GpuScorer(gpu_model, Settings(CPU, Tiling(64), sizes, Want(calibrated=True)))
    cpu = LocalScorer(released_bundle)
    for scorer in (gpu, cpu):
        scorer.add(ranked.VERSION, table)
    bid = np.exp(rng.normal(14, 0.7, (AUCTIONS, CONTENDERS))).astype(np.int64)
    shape = bid.shape

    kernel = gpu.rates(pairs)[1].astype(np.int64).reshape(shape)
    int8 = released_bundle.calibration.ppm(cpu.score(pairs)).reshape(shape)
    exact = reference.ppm(gpu_model, equality.exact(gpu_model, table)(pairs)).reshape(shape)

    sold = [Sold.of(bid, ppm) for ppm in (kernel, int8, exact)]
    assert_array_equal(sold[0].winner, sold[1].winner)
    assert (sold[0].winner == sold[2].winner).mean() >= 0.95  # of 60: three at most
    assert abs(sold[0].revenue(exact) / sold[1].revenue(exact) - 1) < 1e-5
    assert abs(sold[0].revenue(exact) / sold[2].revenue(exact) - 1) < 0.02


def test_the_highest_value_pays_what_the_second_would_have():
    bid, ppm = np.array([[100, 300, 90]]), np.array([[3_000, 1_000, 1_000]])

    sold = Sold.of(bid, ppm)

    assert_array_equal(sold.winner, [0])
    assert_array_equal(sold.price, [100])
    assert sold.revenue(ppm) == 100 * 0.003
