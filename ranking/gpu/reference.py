"""The same scores in float64 and whole numbers by numpy: what the kernels are judged against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.gpu.network import HIGHEST, Layer, Model
from ranking.gpu.record import Columns
from ranking.scorer import Pairs

Doubles = NDArray[np.float64]


def score(model: Model, table: Columns, pairs: Pairs) -> Doubles:
    """[R] log-odds: activations in whole steps as released, everything else in float64."""
    owner = np.repeat(np.arange(len(pairs.offset) - 1), np.diff(pairs.offset))
    u = pairs.vector.astype(np.float64)
    own = u @ model.request.astype(np.float64) + model.bias
    half = table.half[pairs.ad].astype(np.float64) * table.half_scale[pairs.ad, None]
    entering = (own[owner] + half) / model.network.scale
    vector = table.vector[pairs.ad].astype(np.float64) * table.vector_scale[pairs.ad, None]
    near = np.einsum("rd,rd->r", u[owner], vector) + pairs.bias[owner] + table.bias[pairs.ad]
    total: Doubles = near + network(model, entering)
    return total


def network(model: Model, entering: Doubles) -> Doubles:
    """[R] log-odds of what enters the network [R, H], in steps."""
    net = model.network
    code = _codes(entering + net.lowest, net.lowest)
    for layer in (net.second, net.third):
        code = _codes(_layer(code, layer) + net.lowest, net.lowest)
    logit: Doubles = _layer(code, net.last)[:, 0]
    return logit


def _layer(code: NDArray[np.int64], layer: Layer) -> Doubles:
    total = (code @ layer.weight.astype(np.int64) + layer.correction).astype(np.float64)
    out: Doubles = total * layer.multiplier.astype(np.float64)
    return out


def _codes(x: Doubles, lowest: int) -> NDArray[np.int64]:
    return np.rint(np.clip(x, lowest, HIGHEST)).astype(np.int64)


def ppm(model: Model, odds: Doubles) -> NDArray[np.int64]:
    """[R] click rates of log-odds in whole millionths, 1 to 999 999."""
    knots = model.first + model.step * np.arange(len(model.probability))
    rate = np.interp(odds, knots, model.probability)
    millionths: NDArray[np.int64] = (rate * 1e6 + 0.5).astype(np.int64)
    return np.clip(millionths, 1, 999_999)
