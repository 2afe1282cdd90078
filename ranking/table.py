"""What a scorer keeps of every ad of one snapshot, computed once when the snapshot is built.

Rows are the snapshot's ad rows. This module knows no request and no database.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranking.bundle import Bundle
from ranking.features import AD_FIELDS, encoded_topic
from ranking.kernels import dense, quantise_rows

CHUNK = 16_384
"""Ads computed at a time: bounds the float copies at a few tens of MB."""
COLUMNS = ("half", "half_scale", "vector", "vector_scale", "bias", "logistic", "topic")


def table_folder(snapshot: Path, model: str) -> Path:
    """Where a snapshot keeps its ads' table for the model with this `Bundle.tables_sha256`.

    That of the model it was built with lies in `ranker`, those of others beside it; it may not be
    there yet. OSError or ValueError where this is no snapshot.
    """
    own = snapshot / "ranker"
    if model_of(own) == model:
        return own
    return snapshot / "models" / model[:16] / "ranker"


def model_of(folder: Path) -> str:
    """`AdTable.model` of the table in this folder."""
    return str(json.loads((folder / "table.json").read_text())["model"])


def describe(folder: Path, model: str, ads: int) -> None:
    """Say what the columns in this folder are."""
    (folder / "table.json").write_text(json.dumps({"model": model, "ads": ads}))


@dataclass(frozen=True, slots=True)
class AdTable:
    """N ads through one model's ad tower."""

    model: str
    """Bundle.tables_sha256 of the model it was built with; no other may score with it."""
    half: NDArray[np.int8]
    """[N, H] the ad's half of the interaction network's first layer."""
    half_scale: NDArray[np.float32]
    vector: NDArray[np.int8]
    """[N, D] ad tower output."""
    vector_scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    """[N] the ad's own log-odds."""
    logistic: NDArray[np.float32]
    """[N] the ad's part of the fallback model's log-odds."""
    topic: NDArray[np.int16]

    @classmethod
    def build(
        cls,
        bundle: Bundle,
        ids: NDArray[np.int32],
        progress: Callable[[int], None] = lambda ads: None,
    ) -> AdTable:
        """Of encoded ads i32[N, W]; `progress` hears how many more are done."""
        table = cls._empty(bundle, len(ids))
        none = np.zeros(table.half.shape[1], np.float32)
        for start in range(0, len(ids), CHUNK):
            part = slice(start, min(start + CHUNK, len(ids)))
            vector, bias = bundle.towers.ad(ids[part])
            half = dense(vector, bundle.first.ad, none, False)
            table.half_scale[part] = quantise_rows(half, table.half[part])
            table.vector_scale[part] = quantise_rows(vector, table.vector[part])
            table.bias[part] = bias
            table.logistic[part] = bundle.logistic.ad[ids[part]].sum(axis=1)
            progress(part.stop - part.start)
        table.topic[:] = encoded_topic(AD_FIELDS, ids)
        return table

    @classmethod
    def _empty(cls, bundle: Bundle, ads: int) -> AdTable:
        dim, hidden = bundle.first.ad.shape
        return cls(
            model=bundle.tables_sha256,
            half=np.empty((ads, hidden), np.int8),
            half_scale=np.empty(ads, np.float32),
            vector=np.empty((ads, dim), np.int8),
            vector_scale=np.empty(ads, np.float32),
            bias=np.empty(ads, np.float32),
            logistic=np.empty(ads, np.float32),
            topic=np.empty(ads, np.int16),
        )

    def __len__(self) -> int:
        return len(self.bias)

    def vectors(self, part: slice = slice(None)) -> NDArray[np.float32]:
        """The ad tower's vectors f32[n, D], each number within half of its row's scale."""
        return self.vector[part].astype(np.float32) * self.vector_scale[part, None]

    def save(self, folder: Path) -> None:
        """As one .npy per column, so that every worker can map the same pages."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        describe(folder, self.model, len(self))

    @classmethod
    def load(cls, folder: Path) -> AdTable:
        """Memory-mapped, read only."""
        columns = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in COLUMNS)
        return cls(model_of(folder), *columns)
