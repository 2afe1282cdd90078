"""The click model in float, as plain matrix products: what every faster form is judged against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.counts import CountHead
from ranking.dataset import Impressions
from ranking.towers import Towers

Array = NDArray[np.float32]
CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-odds of each impression, the shares of slot and counts included."""

    full: Array
    dot: Array
    """Without the network: of the towers, by which retrieval chooses, the slot and the counts."""


def score(weights: Mapping[str, Array], table: Impressions) -> Scores:
    """Both scores f32[R], from unquantised weights."""
    towers, counted = Towers.of(weights), CountHead.of(weights)
    u, u_bias = towers.request(table.request)
    a, a_bias = towers.ad(table.catalogue)
    full, dot = np.empty(len(table), np.float32), np.empty(len(table), np.float32)
    for part in _chunks(len(table)):
        of, ad = table.of[part], table.ad[part]
        near = np.einsum("rd,rd->r", u[of], a[ad]) + u_bias[of] + a_bias[ad]
        dot[part] = near + towers.slot_bias(table.slot[part]) + counted(table.counts[part])
        full[part] = dot[part] + network(weights, first_layer(weights, u[of], a[ad]))
    return Scores(full, dot)


def sigmoid(logit: Array) -> NDArray[np.float64]:
    """Click rates of log-odds."""
    return 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))


def first_layer(weights: Mapping[str, Array], u: Array, a: Array) -> Array:
    """[R, H] relu(u @ request + a @ ad + bias) of vectors paired row by row."""
    hidden = u @ weights["first.request"] + a @ weights["first.ad"] + weights["first.bias"]
    return np.maximum(hidden, 0.0)


def activations(weights: Mapping[str, Array], table: Impressions, row: NDArray[np.int64]) -> Array:
    """[n, H] the first layer's output on the chosen impressions."""
    towers = Towers.of(weights)
    u, _ = towers.request(table.request[table.of[row]])
    a, _ = towers.ad(table.catalogue[table.ad[row]])
    return first_layer(weights, u, a)


def network(weights: Mapping[str, Array], hidden: Array) -> Array:
    """[R] the network behind its first layer."""
    for name in ("second", "third"):
        hidden = np.maximum(hidden @ weights[f"{name}.weight"] + weights[f"{name}.bias"], 0.0)
    out: Array = (hidden @ weights["last.weight"] + weights["last.bias"])[:, 0]
    return out


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))
