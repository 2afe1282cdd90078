"""The click model's fused kernel on the selector's own tensors: nothing goes by the host."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from ranking.gpu.batch import Layout, Size
from ranking.gpu.launch import Launch, Want
from ranking.gpu.network import Model
from ranking.gpu.record import Columns
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.tiling import USUAL, Tiling
from ranking.scorer import Pairs

REQUESTS: Final = (1, 4, 16, 64)
"""Sizes of batches that have buffers; the next larger one is taken."""


class Fused:
    """Log-odds of ads i32[B, k] (-1: NaN) and vectors f32[B, D + 1], B up to 64, as a `Score`."""

    def __init__(
        self, model: Model, table: Columns, device: torch.device, tiling: Tiling = USUAL
    ) -> None:
        self._model = Constants.of(model, device)
        self._ads = Ads.of(table, model.network.scale, device)
        self._tiling = tiling
        self._launches: dict[tuple[int, int], Launch] = {}

    def __call__(self, ads: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        count, k = ads.shape
        requests = next(size for size in REQUESTS if size >= count)
        if (requests, k) not in self._launches:
            self._launches[requests, k] = self._launch(requests, k)
        logit = self._launches[requests, k].score_there(ads, vector)
        return logit

    def _launch(self, requests: int, k: int) -> Launch:
        layout = Layout(Size(requests * k, requests), self._tiling.block, self._model.dim)
        launch = Launch(self._model, self._ads, layout, self._tiling, Want())
        none = np.zeros((requests, self._model.dim), np.float32)
        ends = np.arange(0, requests * k + 1, k, dtype=np.int32)
        launch.hold(Pairs(0, none, none[:, 0], np.full(requests * k, -1, np.int32), ends))
        return launch
