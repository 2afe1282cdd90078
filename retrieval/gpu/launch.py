"""The stages of a selection by the kernels: on a GPU, or interpreted without one.

Every stage takes and gives the same tensors as its twin in `reference`. No floats are fused: a
product added with one rounding instead of two would not be the planner's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
import triton

from retrieval.gpu import kernels
from retrieval.gpu.asks import WIDTH
from retrieval.gpu.batch import Batch
from retrieval.gpu.pages import WORDS
from retrieval.gpu.resident import Tensors

EXACT: Final[dict[str, Any]] = {"enable_fp_fusion": False}


@dataclass(frozen=True, slots=True)
class Blocks:
    """How much one program takes at a time; powers of two. `bench/gpu.py` tries several."""

    words: int = 256
    admitted: int = 1024
    chosen: int = 4096
    choosers: int = 16
    """Warps that choose a row's best: one program a row, which waits for memory all the time."""
    rows: int = 16
    """Of one matrix product; sixteen at least."""
    ads: int = 128
    warps: int = 4


@dataclass(frozen=True, slots=True)
class Kernels:
    """The stages, with blocks of some size."""

    blocks: Blocks = Blocks()

    def match(self, tensors: Tensors, batch: Batch) -> torch.Tensor:
        words = tensors.unrestricted.numel()
        out = torch.empty(len(batch.ask), words, dtype=torch.int32, device=batch.ask.device)
        parts = tensors.page, tensors.chunk, tensors.include, tensors.exclude
        live = tensors.open, tensors.unrestricted, tensors.running
        grid = len(batch.ask), triton.cdiv(words, self.blocks.words)
        kernels.match[grid](
            batch.ask, WIDTH, *parts, *live, out, words // WORDS, BLOCK=self.blocks.words
        )
        return out

    def fit(self, tensors: Tensors, batch: Batch) -> torch.Tensor:
        kinds = tensors.kind_size.numel()
        out = torch.empty(len(batch.ask), kinds + 1, dtype=torch.int32, device=batch.ask.device)
        parts = tensors.kind_size, tensors.kind_attributes, tensors.kind_secure
        grid = len(batch.ask), triton.cdiv(kinds + 1, self.blocks.words)
        kernels.fit[grid](batch.ask, WIDTH, *parts, out, kinds, BLOCK=self.blocks.words)
        return out

    def admit(
        self,
        tensors: Tensors,
        batch: Batch,
        words: torch.Tensor,
        kinds: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, room, device = len(batch.request), tensors.kind.numel(), batch.ask.device
        bits = torch.empty(rows, room // 32, dtype=torch.int32, device=device)
        count = torch.zeros(rows, dtype=torch.int32, device=device)
        kernels.admit[rows, room // self.blocks.admitted](
            *(batch.ask, WIDTH, batch.request, batch.mask, batch.tier),
            *(words, kinds, kinds.shape[1] - 1, tensors.turn, *_placed(tensors)),
            *(bits, count, room, words.shape[1] // WORDS),
            BLOCK=self.blocks.admitted,
        )
        return bits, count

    def weigh(
        self, tensors: Tensors, batch: Batch, bits: torch.Tensor, tile: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, room, device = len(batch.request), tensors.kind.numel(), batch.ask.device
        digits, step = turned(tensors, batch.vector)
        keys = torch.empty(rows, room, dtype=torch.int32, device=device)
        best = torch.empty(rows, room // tile, dtype=torch.int32, device=device)
        dimensions = batch.vector.shape[1] - 1
        kernels.weigh[triton.cdiv(rows, self.blocks.rows) * (room // self.blocks.ads),](
            *(tensors.coarse, tensors.fine, tensors.fact, tensors.base, tensors.click),
            *(bits, batch.request, batch.vector, dimensions, digits, step),
            *(keys, best, rows, room),
            D=tensors.coarse.shape[1],
            BR=self.blocks.rows,
            BN=self.blocks.ads,
            TILE=tile,
            num_warps=self.blocks.warps,
            **EXACT,
        )
        return keys, best

    def select(self, keys: torch.Tensor, best: torch.Tensor, k: int) -> torch.Tensor:
        """Of the k best tiles: an ad outside them has k better ones in others, one in each."""
        rows, room = keys.shape
        tiles = self.best_of(best, k)
        out = torch.empty(rows, k, dtype=torch.int32, device=keys.device)
        tile = room // best.shape[1]
        kernels.select[rows,](
            *(keys, room, tiles, k, k * tile, out, k),
            TILE=tile,
            BLOCK=self.blocks.chosen,
            num_warps=self.blocks.choosers,
        )
        return out

    def best_of(self, keys: torch.Tensor, k: int) -> torch.Tensor:
        rows, width = keys.shape
        out = torch.empty(rows, k, dtype=torch.int32, device=keys.device)
        kernels.select[rows,](
            *(keys, width, keys, 0, width, out, k),
            TILE=0,
            BLOCK=self.blocks.chosen,
            num_warps=self.blocks.choosers,
        )
        return out

    def slots_of(
        self,
        tensors: Tensors,
        batch: Batch,
        words: torch.Tensor,
        kinds: torch.Tensor,
        ads: torch.Tensor,
    ) -> torch.Tensor:
        asks, n = ads.shape
        out = torch.empty_like(ads)
        kernels.slots_of[asks, triton.cdiv(n, self.blocks.chosen)](
            *(batch.ask, WIDTH, words, kinds, kinds.shape[1] - 1, *_placed(tensors)),
            *(ads, out, n, words.shape[1] // WORDS),
            BLOCK=self.blocks.chosen,
        )
        return out


def turned(tensors: Tensors, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """i8[B, 4, D] the requests' vectors in bytes, as `kernels.turn` lays them, and f32[B] steps."""
    asks, width = len(vector), tensors.rotation.shape[1]
    digits = torch.empty(asks, 4, width, dtype=torch.int8, device=vector.device)
    step = torch.empty(asks, device=vector.device)
    dimensions = vector.shape[1] - 1
    kernels.turn[asks,](vector, dimensions, tensors.rotation, digits, step, D=width, **EXACT)
    return digits, step


def _placed(tensors: Tensors) -> tuple[torch.Tensor, ...]:
    return (
        *(tensors.page, tensors.chunk, tensors.include),
        *(tensors.unrestricted, tensors.line_of, tensors.kind),
    )
