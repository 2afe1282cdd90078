"""Looking up rows of tables, for torch: one loop each way in place of a dozen operations.

What is left out at random is a function of the seed, of the row's key and of the column, so that
it is the same in whatever process and order a row is computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from ranking.lookups import kernels


class Dropout(NamedTuple):
    """Which pooled values of which rows are left out."""

    rate: float
    seed: int
    key: NDArray[np.int64]
    """[n] what names each row."""


def none_out(rows: int) -> Dropout:
    """All values stay."""
    return Dropout(0.0, 0, np.zeros(rows, np.int64))


def pooled(table: Tensor, ids: Tensor, start: NDArray[np.int32], left_out: Dropout) -> Tensor:
    """[n, F * E] mean vector of each field's ids i32[n, W], fields beginning at `start` [F + 1]."""
    found: Tensor = _Pooled.apply(table, ids, start, left_out)  # type: ignore[no-untyped-call] # torch
    return found


def summed(table: Tensor, ids: Tensor, columns: int) -> Tensor:
    """[n] sum of the weights [rows, 1] of each row's ids i32[n, W] in the first `columns`."""
    found: Tensor = _Summed.apply(table, ids, columns)  # type: ignore[no-untyped-call] # torch
    return found


class _Pooled(Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, ids: Tensor, start: NDArray[np.int32], out: Dropout
    ) -> Tensor:
        ctx.given, ctx.shape = (ids.numpy(), start, out.rate, out.seed, out.key), table.shape
        pooled = torch.empty(len(ids), (len(start) - 1) * table.shape[1])
        kernels.pool_forward(table.detach().numpy(), *ctx.given, pooled.numpy())
        return pooled

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        found = torch.zeros(ctx.shape)
        kernels.pool_backward(slope.contiguous().numpy(), *ctx.given, found.numpy())
        return found, None, None, None


class _Summed(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, columns: int) -> Tensor:
        ctx.given, ctx.shape = (ids.numpy(), columns), table.shape
        total = torch.empty(len(ids))
        kernels.sum_forward(table.detach().numpy(), *ctx.given, total.numpy())
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        found = torch.zeros(ctx.shape)
        kernels.sum_backward(slope.contiguous().numpy(), *ctx.given, found.numpy())
        return found, None, None
