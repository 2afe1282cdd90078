"""The interaction network as ONNX: in float, and quantised statically to INT8.

Weights are signed 8 bits with one scale a column. Activations have one scale a layer, set by the
range seen on sample data: unsigned in the graph that CPUs run (U8S8), signed with zero at 0 in the
one for TensorRT and GPU kernels, which know no other (S8S8). Static scales make a row's score
independent of the rows beside it. The log-odds leave the last layer as float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

OPSET = 17
ROWS_A_TIME = 4_096


def float_graph(weights: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """f32 [rows, H] "hidden" → f32 [rows] "logit"."""
    nodes, stored, value = [], [], "hidden"
    for name in ("second", "third", "last"):
        stored += [
            numpy_helper.from_array(
                np.ascontiguousarray(weights[f"{name}.{part}"]), f"{name}.{part}"
            )
            for part in ("weight", "bias")
        ]
        gemm = f"{name}.out"
        nodes.append(
            helper.make_node("Gemm", [value, f"{name}.weight", f"{name}.bias"], [gemm], name)
        )
        value = gemm
        if name != "last":
            nodes.append(helper.make_node("Relu", [gemm], [f"{name}.relu"], f"{name}.relu"))
            value = f"{name}.relu"
    stored.append(numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    nodes.append(helper.make_node("Reshape", [value, "flat"], ["logit"], "flatten"))
    hidden = weights["second.weight"].shape[0]
    graph = helper.make_graph(
        nodes,
        "interaction",
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["rows", hidden])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows"])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    add_pre_process_metadata(model)  # there is nothing to fold: the quantiser need not ask for it
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Sample(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    def __init__(self, hidden: NDArray[np.float32]) -> None:
        self._parts: Iterator[NDArray[np.float32]] = iter(
            np.array_split(hidden, max(1, len(hidden) // ROWS_A_TIME))
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        part = next(self._parts, None)
        return None if part is None else {"hidden": part}


def int8_graph(source: Path, path: Path, hidden: NDArray[np.float32]) -> float:
    """uint8 [rows, H] "hidden" → f32 [rows] "logit"; returns the scale of one step of the input.

    The quantiser works from float to float; its conversion of the input is cut off, since the
    caller's kernel writes uint8 itself, and that of the output, since log-odds stay float.
    """
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "qdq.onnx"
        _quantised(source, whole, hidden, QuantType.QUInt8, op_types_to_quantize=["Gemm", "Relu"])
        model = onnx.load(whole)
    scale = _cut_input(model.graph)
    _cut_output(model.graph)
    _drop_unused(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return scale


def s8s8_graph(source: Path, path: Path, hidden: NDArray[np.float32]) -> None:
    """f32 [rows, H] "hidden" → f32 [rows] "logit", with symmetric signed activations.

    Only what enters a product is quantised, and biases stay float: TensorRT fuses product, bias and
    relu into one INT8 kernel if no conversion stands between them, and takes no INT32 biases.
    """
    _quantised(
        source,
        path,
        hidden,
        QuantType.QInt8,
        op_types_to_quantize=["Gemm"],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": ["Gemm"],
        },
    )
    onnx.checker.check_model(onnx.load(path))


def _quantised(
    source: Path, path: Path, hidden: NDArray[np.float32], activation: QuantType, **rest: Any
) -> None:
    quantize_static(
        str(source),
        str(path),
        _Sample(hidden),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=activation,
        weight_type=QuantType.QInt8,
        **rest,
    )


def _cut_input(graph: Any) -> float:
    """Let the graph begin with the quantised input."""
    (entry,) = [node for node in graph.node if "hidden" in node.input]
    assert entry.op_type == "QuantizeLinear"
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    scale, zero = float(stored[entry.input[1]]), int(stored[entry.input[2]])
    assert zero == 0, "the first layer's output is never negative"
    for node in graph.node:
        node.input[:] = ["hidden" if one == entry.output[0] else one for one in node.input]
    graph.node.remove(entry)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return scale


def _cut_output(graph: Any) -> None:
    """Let the last product leave as float."""
    maker = {output: node for node in graph.node for output in node.output}
    (flatten,) = [node for node in graph.node if node.op_type == "Reshape"]
    while maker[flatten.input[0]].op_type in ("DequantizeLinear", "QuantizeLinear"):
        converter = maker[flatten.input[0]]
        flatten.input[0] = converter.input[0]
        graph.node.remove(converter)


def _drop_unused(graph: Any) -> None:
    """Forget the scales that were cut off."""
    used = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
