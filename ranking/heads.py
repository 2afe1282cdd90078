"""Interaction networks in torch: from one row of numbers to the log-odds of a click.

Three shapes behind one signature, f32 [R, inputs] → f32 [R], so that they can be compared on the
same data. None knows what its inputs mean: vectors of two towers, or embeddings side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["mlp", "streams", "cross"]
KINDS: tuple[Kind, ...] = ("mlp", "streams", "cross")


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Sizes of a head. Only those of its kind are used."""

    kind: Kind = "mlp"
    layers: tuple[int, ...] = (256, 128, 64)
    """Hidden layers of the network: of the first stream, or beside the crosses."""
    other: tuple[int, ...] = (128,)
    """Hidden layers of the second stream. A shallow one beside a deep one fuses best."""
    parts: int = 8
    """Blocks of the bilinear fusion; both streams' last widths must be multiples of it."""
    crosses: int = 2
    """Cross layers: the highest degree of products between inputs, less one."""
    rank: int = 32
    """Of each cross layer's matrix."""
    dropout: float = 0.0
    gated: bool = False
    """Whether each stream weighs its inputs by what all of them are."""

    def __post_init__(self) -> None:
        if self.kind == "streams" and (self.layers[-1] % self.parts or self.other[-1] % self.parts):
            raise ValueError(
                f"streams end in {self.layers[-1]} and {self.other[-1]} values, "
                f"which {self.parts} parts do not divide"
            )


def head(shape: HeadShape, inputs: int) -> nn.Module:
    """The network of `shape.kind` over `inputs` numbers a row."""
    made: dict[Kind, type[Plain | Streams | Crossed]] = {
        "mlp": Plain,
        "streams": Streams,
        "cross": Crossed,
    }
    return made[shape.kind](shape, inputs)


def layers(inputs: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear and ReLU by turns; the last value of each row is never negative."""
    steps: list[nn.Module] = []
    for before, after in pairwise((inputs, *widths)):
        steps += [nn.Linear(before, after), nn.ReLU()]
        if dropout > 0:
            steps.append(nn.Dropout(dropout))
    return nn.Sequential(*steps)


class Plain(nn.Module):
    """Layers one after the other."""

    def __init__(self, shape: HeadShape, inputs: int) -> None:
        super().__init__()
        self.hidden = layers(inputs, shape.layers, shape.dropout)
        self.last = nn.Linear(shape.layers[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.hidden(x))
        return out[:, 0]


class Streams(nn.Module):
    """Two networks of different depth, fused by products of their outputs (Mao et al. 2023)."""

    def __init__(self, shape: HeadShape, inputs: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            Gate(inputs, max(inputs // 4, 1)) if shape.gated else nn.Identity() for _ in range(2)
        )
        self.one = layers(inputs, shape.layers, shape.dropout)
        self.two = layers(inputs, shape.other, shape.dropout)
        self.fusion = Fusion(shape.layers[-1], shape.other[-1], shape.parts)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fusion(self.one(self.gates[0](x)), self.two(self.gates[1](x)))
        return out


class Gate(nn.Module):
    """Inputs weighed by 0 … 2, each by all of them; at first all by 1."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, inputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.out(torch.relu(self.hidden(x)))) * x


class Fusion(nn.Module):
    """w·x + v·y + Σ over parts xᵀ M y: a bilinear form with one block of M a part."""

    def __init__(self, one: int, two: int, parts: int) -> None:
        super().__init__()
        self.one = nn.Linear(one, 1)
        self.two = nn.Linear(two, 1, bias=False)
        self.block = nn.Parameter(torch.randn(parts, one // parts, two // parts) * 0.01)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        parts = len(self.block)
        left = torch.einsum("rpi,pij->rpj", x.reshape(len(x), parts, -1), self.block)
        product: Tensor = (left * y.reshape(len(y), parts, -1)).sum(dim=(1, 2))
        alone: Tensor = self.one(x) + self.two(y)
        return product + alone[:, 0]


class Crossed(nn.Module):
    """Low-rank cross layers x₀ ⊙ (U Vᵀ x + b) + x beside a network (DCN-V2, Wang et al. 2021)."""

    def __init__(self, shape: HeadShape, inputs: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Linear(inputs, shape.rank, bias=False) for _ in range(shape.crosses)
        )
        self.up = nn.ModuleList(nn.Linear(shape.rank, inputs) for _ in range(shape.crosses))
        self.hidden = layers(inputs, shape.layers, shape.dropout)
        self.last = nn.Linear(shape.layers[-1] + inputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        crossed = x
        for down, up in zip(self.down, self.up, strict=True):
            crossed = x * up(down(crossed)) + crossed
        out: Tensor = self.last(torch.cat([self.hidden(x), crossed], dim=1))
        return out[:, 0]
