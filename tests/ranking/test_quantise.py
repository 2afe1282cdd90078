"""The two INT8 graphs: one network, one accuracy, and nothing that its runner cannot take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, numpy_helper

from ranking import reference
from ranking.bundle import S8S8, Bundle
from ranking.dataset import Impressions
from ranking.int8 import session


@pytest.fixture(scope="session")
def symmetric(released: Path) -> bytes:
    return (released / S8S8).read_bytes()


@pytest.fixture(scope="session")
def hidden(checkpoint: Path, table: Impressions) -> np.ndarray:
    """What the first layer gives on impressions that the scales were not chosen by."""
    weights = dict(np.load(checkpoint / "weights.npz"))
    return reference.activations(weights, table, np.arange(0, len(table), 7))


def run(graph: bytes, hidden: np.ndarray) -> np.ndarray:
    return session(graph).run(None, {"hidden": hidden})[0]


def test_both_int8_graphs_agree_with_float(bundle: Bundle, symmetric: bytes, hidden: np.ndarray):
    """Within a hundredth in log-odds everywhere, and a thousandth on average."""
    exact = run(bundle.fp32_graph, hidden)
    steps = np.clip(np.rint(hidden / bundle.first.scale), 0, 255).astype(np.uint8)

    for logit in (run(symmetric, hidden), run(bundle.int8_graph, steps)):
        assert np.abs(logit - exact).max() < 0.01
        assert np.abs(logit - exact).mean() < 0.001
        assert np.corrcoef(logit, exact)[0, 1] > 0.99


def test_the_symmetric_graph_is_what_tensorrt_takes(symmetric: bytes):
    """Signed everywhere, all zeros at 0, float biases, no conversion between product and relu."""
    graph = onnx.load_from_string(symmetric).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makers = {output: node.op_type for node in graph.node for output in node.output}

    zeros = [stored[name] for name in stored if name.endswith("zero_point")]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    assert {stored[name].dtype for name in stored if name.endswith(".bias")} == {
        np.dtype(np.float32)
    }
    for node in graph.node:
        if node.op_type == "Relu":
            assert makers[node.input[0]] == "Gemm"
        if node.op_type == "Gemm":
            assert [makers[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_weights_have_a_scale_a_column_and_activations_one_a_layer(symmetric: bytes):
    graph = onnx.load_from_string(symmetric).graph
    scale = {
        one.name.removesuffix("_scale"): numpy_helper.to_array(one)
        for one in graph.initializer
        if one.name.endswith("_scale")
    }
    columns = {name: one.size for name, one in scale.items() if name.endswith(".weight")}

    assert columns == {"second.weight": 128, "third.weight": 64, "last.weight": 1}
    assert Counter(one.size for name, one in scale.items() if name not in columns) == {1: 3}


def test_a_row_scores_the_same_in_any_batch(symmetric: bytes, hidden: np.ndarray):
    together = run(symmetric, hidden[:500])

    assert_allclose(run(symmetric, hidden[77:78]), together[77:78], atol=1e-5)
