"""What lies in the device's memory between requests: a model's constants, a snapshot's ads.

Both are whole before anybody sees them, and nobody changes them under a reader's hands but
`Ads.write`, which replaces whole records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranking.gpu.network import Model
from ranking.gpu.record import Columns, chunks, width


@dataclass(frozen=True, slots=True)
class Constants:
    """A model as tensors, laid out as `ranking.gpu.kernels` reads them."""

    model: Model
    request: Tensor
    """f32 [D, H]"""
    bias: Tensor
    """f32 [H]"""
    weight2: Tensor
    """i8 [S, H], transposed"""
    weight3: Tensor
    """i8 [T, S], transposed"""
    correction: Tensor
    """i32 [S + T]"""
    multiplier: Tensor
    """f32 [S + T]"""
    last: Tensor
    """f32 [T + 2]: the last layer's weights, then its correction and its multiplier."""
    curve: Tensor
    """f64 [2 + K]: first knot, step, rates."""

    @classmethod
    def of(cls, model: Model, device: torch.device) -> Constants:
        """Copied to the device."""
        net = model.network
        layers = (net.second, net.third)

        def there(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        return cls(
            model,
            there(model.request),
            there(model.bias),
            there(net.second.weight.T),
            there(net.third.weight.T),
            there(np.concatenate([layer.correction for layer in layers])),
            there(np.concatenate([layer.multiplier for layer in layers])),
            there(
                np.concatenate(
                    (net.last.weight[:, 0], net.last.correction, net.last.multiplier)
                ).astype(np.float32)
            ),
            there(np.concatenate(([model.first, model.step], model.probability))),
        )

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.request.shape[0]

    @property
    def hidden(self) -> int:
        return self.request.shape[1]


@dataclass(frozen=True, slots=True)
class Ads:
    """A snapshot's ads as records."""

    code: Tensor
    """i8 [capacity, width]"""
    count: int

    @classmethod
    def of(cls, table: Columns, scale: float, device: torch.device) -> Ads:
        """All of them; 352 bytes an ad at the usual sizes. The copy is over when this returns."""
        wide = width(table.half.shape[1], table.vector.shape[1])
        # one record at least: rows that ask for no ad read the first
        code = torch.zeros((max(len(table), 1), wide), dtype=torch.int8, device=device)
        for start, part in chunks(table, scale):
            code[start : start + len(part)].copy_(torch.from_numpy(part))
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        return cls(code, len(table))

    @property
    def number(self) -> Tensor:
        """f32 [capacity, width / 4] the same memory."""
        return self.code.view(torch.float32)

    def write(self, row: NDArray[np.int64], made: NDArray[np.int8]) -> None:
        """Replace the records of these rows, as `ranking.gpu.record.records` makes them."""
        place = torch.from_numpy(row).to(self.code.device)
        self.code.index_copy_(0, place, torch.from_numpy(made).to(self.code.device))
