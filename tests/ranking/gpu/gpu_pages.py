"""Encoded ads and requests at random, and pages of pairs of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ranking.bundle import Bundle
from ranking.features import REQUEST_FIELDS, Field, first_rows
from ranking.gpu.batch import Size
from ranking.gpu.scorer import Settings
from ranking.gpu.tiling import Tiling
from ranking.scorer import Pairs

RELEASED = Path(__file__).parents[3] / "model_repository/ctr_ranker/1"
ADS = 300
VERSION = 3
CPU = torch.device("cpu")
SMALL = Settings(CPU, Tiling(block=16), (Size(64, 8), Size(1_024, 64)))
"""Tiles of 16 pairs, and two sizes of buffers."""


def encoded(rng: np.random.Generator, fields: tuple[Field, ...], count: int) -> NDArray[np.int32]:
    begin = first_rows(fields)
    columns = [
        begin[field.name] + rng.integers(0, field.rows, (count, field.width)) for field in fields
    ]
    return np.concatenate(columns, axis=1).astype(np.int32)


def pages(rng: np.random.Generator, bundle: Bundle, counts: list[int], ads: int = ADS) -> Pairs:
    """Requests with that many pairs each, among them the table's first and last ad."""
    vector, bias = bundle.towers.request(encoded(rng, REQUEST_FIELDS, len(counts)))
    offset = np.cumsum([0, *counts]).astype(np.int32)
    ad = rng.integers(0, ads, offset[-1]).astype(np.int32)
    ad[:1], ad[-1:] = 0, ads - 1
    return Pairs(VERSION, vector, bias, ad, offset)
