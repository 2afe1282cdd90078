"""A selection captured once and replayed: one launch for a batch, one copy in and one out.

Only on a CUDA device. What is resident may be written between replays, but not replaced: a new
snapshot has a graph of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.gpu.asks import SLOTS, WIDTH, Asks
from retrieval.gpu.batch import Batch

WARM_UP: Final = 2
VECTOR: Final = WIDTH + 1
"""Where a row's vector begins; before it stand the request and all its slots."""
Work = Callable[[Batch], torch.Tensor]
"""What is done with a batch on the device, such as `Selector.best`: whole numbers, no waiting."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Batches of up to `size` requests of one row each: all slots alike, no tiers."""

    sent: torch.Tensor
    """i32[size, VECTOR + E + 1] pinned"""
    there: torch.Tensor
    back: torch.Tensor
    answer: torch.Tensor
    """As `back`, pinned."""
    graph: torch.cuda.CUDAGraph

    @classmethod
    def of(cls, work: Work, size: int, dimensions: int, device: torch.device) -> Graph:
        """Compile and capture; seconds."""
        there = torch.zeros(size, VECTOR + dimensions + 1, dtype=torch.int32, device=device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                work(batch_there(there))
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            back = work(batch_there(there))
        sent = torch.zeros(there.shape, dtype=torch.int32, pin_memory=True)
        answer = torch.zeros(back.shape, dtype=torch.int32, pin_memory=True)
        return cls(sent, there, back, answer, graph)

    def run(self, asks: Asks) -> NDArray[np.int32]:
        """What the work gives; of rows that nobody asked for too. Valid until the next run."""
        count, whole = len(asks.ask), self.sent.numpy()
        write(whole[:count], asks)
        whole[count:] = 0  # no slots: nothing is found for them
        self.there.copy_(self.sent, non_blocking=True)
        self.graph.replay()
        self.answer.copy_(self.back, non_blocking=True)
        torch.cuda.current_stream(self.there.device).synchronize()
        found: NDArray[np.int32] = self.answer.numpy()
        return found


def write(rows: NDArray[np.int32], asks: Asks) -> None:
    """Requests as rows i32[B, VECTOR + E + 1]."""
    rows[:, :WIDTH] = asks.ask
    rows[:, WIDTH] = (np.int64(1) << asks.ask[:, SLOTS]) - 1
    rows[:, VECTOR:] = asks.vector.view(np.int32)


def batch_there(rows: torch.Tensor) -> Batch:
    """The batch that such rows are."""
    number = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
    return Batch(
        ask=rows[:, :WIDTH].contiguous(),
        vector=rows[:, VECTOR:].contiguous().view(torch.float32),
        request=number,
        mask=rows[:, WIDTH].contiguous(),
        tier=torch.zeros_like(number),
    )
