"""The ads' vectors, in few bytes, cut so that a scan can stop early.

This module knows rows and inner products. It knows nothing of targeting or of requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.files import mapped
from retrieval.graph import Graph
from retrieval.kernels import FINE, HEAD
from retrieval.settings import RetrievalSettings

COLUMNS = ("rotation", "head", "rest", "fine", "fact", "norm", "per_click")
DEFAULTS = RetrievalSettings()

BLOCK = 65_536  # rows quantised at a time, so that building needs little memory beside the result

ROUNDED_UP = np.float32(1 + 1e-4)  # of lengths that bound: above the error of the last fine digit


@dataclass(frozen=True, slots=True)
class AdVectors:
    """Ads' vectors turned to their principal axes, as int8 coarse steps and int8 fine digits.

    Turned, most of an inner product comes from the leading HEAD dimensions, so that most rows of
    a scan are let go after 16 bytes. Coarse and fine digits together are 16-bit numbers: their
    inner products differ from the float ones by less than 1e-4 of the vectors' lengths.
    Ads that do not pay by click have no vector: zeros.
    """

    rotation: NDArray[np.float32]
    """[D, width] turns a vector to the principal axes; width is D in whole blocks of HEAD."""
    head: NDArray[np.int8]
    """[N, HEAD] coarse steps of the leading dimensions."""
    rest: NDArray[np.int8]
    """[N, width - HEAD] coarse steps of the others."""
    fine: NDArray[np.int8]
    """[N, width] what is left, in 254ths of a step."""
    fact: NDArray[np.float32]
    """[N, 4] size of a step of the head, of the rest; length of the rest, of what is left."""
    norm: NDArray[np.float32]
    """[N] length of the vector, rounded up."""
    per_click: NDArray[np.bool_]
    graph: Graph | None
    """Of catalogues large enough to need one."""

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        per_click: NDArray[np.bool_],
        base: NDArray[np.float32],
        settings: RetrievalSettings = DEFAULTS,
        rotation: NDArray[np.float32] | None = None,
    ) -> AdVectors:
        """Quantise vectors f32[N, D]; rows of ads that do not pay by click are ignored.

        `base` is the value apart from the vector; the graph of a large catalogue orders by both.
        `rotation`: axes to turn to, as of other vectors that these are to lie beside; None: those
        of these. Any are right, their own let a scan stop earliest.
        """
        ads = len(vectors)
        if rotation is None:
            rotation = _principal_axes(vectors[per_click])
        width = rotation.shape[1]
        head = np.zeros((ads, HEAD), np.int8)
        rest = np.zeros((ads, width - HEAD), np.int8)
        fine = np.zeros((ads, width), np.int8)
        fact = np.zeros((ads, 4), np.float32)
        norm = np.zeros(ads, np.float32)
        for start in range(0, ads, BLOCK):
            part = slice(start, start + BLOCK)
            turned = np.where(per_click[part, None], vectors[part], 0) @ rotation
            head[part], fine[part, :HEAD], fact[part, 0], error = _quantise(turned[:, :HEAD])
            rest[part], fine[part, HEAD:], fact[part, 1], other = _quantise(turned[:, HEAD:])
            norm[part] = _length(turned)
            fact[part, 2] = _length(turned[:, HEAD:])
            fact[part, 3] = np.hypot(error, other)
        fact[:, 2:] *= ROUNDED_UP
        norm *= ROUNDED_UP
        graph = None
        if ads >= settings.graph_from:
            graph = Graph.build(vectors, per_click, base, settings)
        return cls(rotation, head, rest, fine, fact, norm, per_click, graph)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        if self.graph:
            self.graph.save(folder)

    @classmethod
    def load(cls, folder: Path) -> AdVectors:
        """Map what `save` wrote; the pages are shared with every other process that maps it."""
        columns = {name: mapped(folder / f"{name}.npy") for name in COLUMNS}
        return cls(**columns, graph=Graph.load(folder, len(columns["rotation"])))

    def floats(self, rows: NDArray[np.integer[Any]] | slice = slice(None)) -> NDArray[np.float32]:
        """The vectors that the digits stand for, in the ads' turned axes: [rows, width]."""
        coarse = np.concatenate([self.head[rows], self.rest[rows]], axis=1).astype(np.float32)
        digits = coarse + self.fine[rows].astype(np.float32) / FINE
        digits[:, :HEAD] *= self.fact[rows, :1]
        digits[:, HEAD:] *= self.fact[rows, 1:2]
        return digits


def _principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[D, width] orthonormal axes, the one with the greatest mean square first; zero-padded."""
    dimensions = vectors.shape[1]
    width = max(2, -(-dimensions // HEAD)) * HEAD
    sample = vectors[:: max(1, len(vectors) // 100_000)].astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    turn = np.zeros((dimensions, width), np.float32)
    turn[:, :dimensions] = axes[:, ::-1]
    return turn


def _quantise(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Coarse steps, fine digits, size of a step, and length of what the steps leave out."""
    step = np.maximum(np.abs(values).max(axis=1, keepdims=True) / np.float32(127), 1e-30)
    exact = values / step
    coarse = np.rint(exact)
    fine = np.clip(np.rint((exact - coarse) * FINE), -127, 127)
    left = _length(fine / FINE * step)
    return coarse.astype(np.int8), fine.astype(np.int8), step[:, 0].astype(np.float32), left


def _length(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length: NDArray[np.float32] = np.linalg.norm(values, axis=1).astype(np.float32)
    return length
