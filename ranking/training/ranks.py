"""Several processes that train one model: each takes a part of every batch.

They begin alike, draw alike, and add up their gradients at each step, so they stay alike. Tables
hold only the rows that the data uses (ranking.live): their gradients are added up whole, beside
those of the layers, in one message a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which process of how many this is."""

    rank: int = 0
    count: int = 1

    @classmethod
    def joined(cls, environment: Mapping[str, str]) -> Ranks:
        """What `torchrun` started, over gloo; alone if it did not."""
        count = int(environment.get("WORLD_SIZE", "1"))
        if count == 1:
            return ALONE
        if not distributed.is_initialized():
            distributed.init_process_group("gloo")
        return cls(distributed.get_rank(), count)

    @property
    def first(self) -> bool:
        """The one that writes and tells of progress."""
        return self.rank == 0

    def add_up(self, parameters: Sequence[Tensor]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.count == 1:
            return
        for one in parameters:
            if one.grad is None:
                one.grad = torch.zeros_like(one)
        gradients = [one.grad for one in parameters if one.grad is not None]
        whole = torch.cat([one.reshape(-1) for one in gradients])
        distributed.all_reduce(whole)
        parts = torch.split(whole, [one.numel() for one in gradients])
        for one, part in zip(gradients, parts, strict=True):
            one.copy_(part.view_as(one))

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()
