"""A released graph as whole numbers, read without ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from gpu_pages import CPU, RELEASED, pages
from numpy.testing import assert_allclose, assert_array_equal
from onnx import helper, numpy_helper

from ranking.gpu import plain, reference
from ranking.gpu.network import Model, Network
from ranking.gpu.onnx_file import constants
from ranking.gpu.resident import Ads, Constants
from ranking.int8 import session

GRAPHS = ("ctr_ranker.onnx", "ctr_ranker_s8s8.onnx", "ctr_ranker_fp32.onnx")


@pytest.mark.parametrize("graph", GRAPHS)
def test_constants_are_what_onnx_reads(graph):
    path = RELEASED / graph

    found = constants(path.read_bytes())

    expected = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert_array_equal(found[name], value)


def test_constants_that_are_not_raw_bytes_are_read_too():
    floats = helper.make_tensor("f", onnx.TensorProto.FLOAT, [2, 1], [1.5, -2.0])
    longs = helper.make_tensor("l", onnx.TensorProto.INT64, [3], [-1, 0, 1 << 40])
    ints = helper.make_tensor("i", onnx.TensorProto.INT8, [2], [-128, 127])
    graph = helper.make_graph([], "g", [], [], [floats, longs, ints])

    found = constants(helper.make_model(graph).SerializeToString())

    assert_array_equal(found["f"], np.array([[1.5], [-2.0]], np.float32))
    assert_array_equal(found["l"], [-1, 0, 1 << 40])
    assert_array_equal(found["i"], np.array([-128, 127], np.int8))


def test_what_is_no_model_is_refused():
    whole = (RELEASED / GRAPHS[0]).read_bytes()

    for wrong in (whole[:-1], b"\xff" * 9, b"\x07"):
        with pytest.raises(ValueError, match="ONNX model"):
            constants(wrong)


def test_the_network_is_what_onnx_runtime_computes(gpu_model: Model, rng):
    """All activations at random, so that every sum is somewhere else."""
    entering = rng.integers(0, 256, (2_000, 256))

    found = reference.network(gpu_model, entering.astype(np.float64))

    released = session((RELEASED / GRAPHS[0]).read_bytes())
    (expected,) = released.run(None, {"hidden": entering.astype(np.uint8)})
    assert np.quantile(np.abs(found - expected), 0.99) < 1e-5
    assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("graph", GRAPHS[:2])
def test_floats_hold_every_sum_that_the_codes_can_reach(graph):
    """What `plain` and the kernel's last layer rely on."""
    net = Network.of((RELEASED / graph).read_bytes())

    for layer in (net.second, net.third, net.last):
        most = np.abs(layer.weight.astype(np.int64)).sum(axis=0) * 128
        assert (most + np.abs(layer.correction.astype(np.int64))).max() < 1 << 24


def test_torch_operations_give_the_same_scores(gpu_model, gpu_ads, released_bundle, rng):
    pairs = pages(rng, released_bundle, [0, 300, 20])
    constant = Constants.of(gpu_model, CPU)
    ads = Ads.of(gpu_ads, gpu_model.network.scale, CPU)
    owner = torch.from_numpy(np.repeat(np.arange(3), np.diff(pairs.offset)))
    vector = torch.from_numpy(np.column_stack((pairs.vector, pairs.bias)))

    found = plain.score(constant, ads, owner, torch.from_numpy(pairs.ad).long(), vector)

    gap = np.abs(found.numpy() - reference.score(gpu_model, gpu_ads, pairs))
    assert np.quantile(gap, 0.99) < 1e-5
    assert gap.max() < 0.02
