"""A released model as whole-number arithmetic: what every form of the GPU path computes with.

Read from the same files that the CPU serves, so that both give the same scores up to the rounding
of floats. Imports nothing that compiles or infers: a machine with a GPU has numpy and torch.

The tensor cores multiply signed bytes by signed bytes, and the released network's activations are
unsigned: an activation q travels as q - 128. What that takes from a product, 128 times the sum of
the column's weights, is a constant of the column and comes back with its bias: the sums are the
CPU's, to the last unit. The symmetric export (S8S8), whose activations use half as many steps,
fits in the same form with nothing to shift.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ranking.gpu.onnx_file import constants
from ranking.manifest import MANIFEST, tables_of

if TYPE_CHECKING:
    from ranking.bundle import Bundle

Floats = NDArray[np.float32]
UNSIGNED: Final = -128
"""What an activation of 0 is carried as where activations are unsigned bytes."""
SIGNED: Final = 0
HIGHEST: Final = 127


@dataclass(frozen=True, slots=True)
class Layer:
    """K inputs to N outputs: (codes @ weight + correction) * multiplier, in steps of the output."""

    weight: NDArray[np.int8]
    """[K, N]"""
    correction: NDArray[np.int32]
    """[N] the bias, and what the shift of the codes took away."""
    multiplier: Floats
    """[N] output steps per unit of the sums; of the last layer, log-odds per unit."""

    @classmethod
    def of(cls, name: str, leaving: float, known: dict[str, NDArray[Any]], lowest: int) -> Layer:
        """From a quantised graph's constants; `leaving` is one step of what comes out."""
        weight = known[f"{name}.weight_quantized"]
        entering = known[ENTERING[name]].astype(np.float32)
        unit = (entering * known[f"{name}.weight_scale"].astype(np.float32)).astype(np.float32)
        bias = known.get(f"{name}.bias_quantized")
        if bias is None:
            bias = np.rint(known[f"{name}.bias"].astype(np.float64) / unit.astype(np.float64))
        correction = bias.astype(np.int64) - lowest * weight.astype(np.int64).sum(axis=0)
        return cls(
            weight, correction.astype(np.int32), (unit / np.float32(leaving)).astype(np.float32)
        )


ENTERING: Final = {
    "second": "hidden_scale",
    "third": "second.relu_scale",
    "last": "third.relu_scale",
}
"""The scale of what enters each layer, by its name in the graph."""


@dataclass(frozen=True, slots=True)
class Network:
    """The layers behind the first: codes i8[R, H] to log-odds f32[R]."""

    second: Layer
    third: Layer
    last: Layer
    scale: float
    """One step of what enters."""
    lowest: int
    """UNSIGNED or SIGNED: the code of an activation of 0, and the lowest there is."""

    @classmethod
    def of(cls, graph: bytes) -> Network:
        """Of a released graph, U8S8 or S8S8; ValueError or KeyError where it is no such graph."""
        known = constants(graph)
        unsigned = known["second.relu_zero_point"].dtype == np.uint8
        lowest = UNSIGNED if unsigned else SIGNED
        return cls(
            Layer.of("second", float(known["second.relu_scale"]), known, lowest),
            Layer.of("third", float(known["third.relu_scale"]), known, lowest),
            Layer.of("last", 1.0, known, lowest),
            float(known["hidden_scale"]),
            lowest,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """One released version: first layer, network, calibration map."""

    version: int
    tables: str
    """Which ad tables fit: `Bundle.tables_sha256`."""
    request: Floats
    """[D, H] of the split first layer."""
    bias: Floats
    ad: Floats
    """[D, H]"""
    network: Network
    first: float
    """Log-odds of the first knot of the calibration map."""
    step: float
    probability: NDArray[np.float64]
    """[K] at the knots."""

    @classmethod
    def of(cls, bundle: Bundle) -> Model:
        """Of a bundle that is loaded already."""
        network = Network.of(bundle.int8_graph)
        first, curve = bundle.first, bundle.calibration
        return cls(
            bundle.version,
            bundle.tables_sha256,
            first.request,
            first.bias,
            first.ad,
            network,
            curve.first,
            curve.step,
            curve.probability,
        )

    @classmethod
    def load(cls, folder: Path, graph: str = "ctr_ranker.onnx") -> Model:
        """Of a version's folder, as `Bundle.load` but without its checks: for benches."""
        manifest = json.loads((folder / MANIFEST).read_text())
        towers, curve = np.load(folder / "towers.npz"), np.load(folder / "calibration.npz")
        return cls(
            int(manifest["version"]),
            tables_of(manifest),
            towers["first.request"],
            towers["first.bias"],
            towers["first.ad"],
            Network.of((folder / graph).read_bytes()),
            float(curve["first"]),
            float(curve["step"]),
            curve["probability"],
        )
