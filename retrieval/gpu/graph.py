"""A selection captured once and replayed: one launch for a batch, one copy in and one out.

Only on a CUDA device. What is resident may be written between replays, but not replaced: a new
snapshot has a graph of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.gpu.asks import SLOTS, WIDTH, Asks
from retrieval.gpu.batch import Batch
from retrieval.gpu.selector import Nearest, Selector

WARM_UP = 2


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Batches of up to `size` requests, each of one row: all slots alike, no tiers."""

    size: int
    sent: torch.Tensor
    """i32[size, WIDTH + 1 + E + 1] pinned: request, all its slots (bits), vector."""
    there: torch.Tensor
    found: Nearest
    answer: torch.Tensor
    """i32[3, size, k] pinned: ads, keys, slots."""
    graph: torch.cuda.CUDAGraph
    back: torch.Tensor

    @classmethod
    def of(cls, selector: Selector, size: int, k: int) -> Graph:
        """Compile and capture; seconds."""
        resident = selector.resident
        device, floats = resident.device, len(resident.columns.rotation) + 1
        there = torch.zeros(size, WIDTH + 1 + floats, dtype=torch.int32, device=device)
        there[:, SLOTS], there[:, WIDTH] = 1, 1
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                _select(selector, there, k)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = _select(selector, there, k)
            back = torch.stack((found.ad, found.key, found.slots))
        sent = torch.empty(there.shape, dtype=torch.int32, pin_memory=True)
        answer = torch.empty(back.shape, dtype=torch.int32, pin_memory=True)
        return cls(size, sent, there, found, answer, graph, back)

    def run(self, asks: Asks) -> NDArray[np.int32]:
        """i32[3, B, k] ads by row, keys and slots of each request; valid until the next run."""
        count = len(asks.ask)
        whole = self.sent.numpy()
        whole[:count, :WIDTH] = asks.ask
        whole[:count, WIDTH] = (np.int64(1) << asks.ask[:, SLOTS]) - 1
        whole[:count, WIDTH + 1 :] = asks.vector.view(np.int32)
        whole[count:] = 0  # no slots: nothing is found for what nobody asked
        self.there.copy_(self.sent, non_blocking=True)
        self.graph.replay()
        self.answer.copy_(self.back, non_blocking=True)
        torch.cuda.current_stream(self.there.device).synchronize()
        found: NDArray[np.int32] = self.answer.numpy()
        return found[:, :count]


def _select(selector: Selector, there: torch.Tensor, k: int) -> Nearest:
    rows = torch.arange(len(there), dtype=torch.int32, device=there.device)
    batch = Batch(
        ask=there[:, :WIDTH].contiguous(),
        vector=there[:, WIDTH + 1 :].contiguous().view(torch.float32),
        request=rows,
        mask=there[:, WIDTH].contiguous(),
        tier=torch.zeros_like(rows),
    )
    return selector.chosen(batch, k)
