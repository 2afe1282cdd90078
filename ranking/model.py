"""The click model in torch, for training only; serving reads its arrays through numpy.

Towers meet in a dot product, which retrieval searches by, and in a small network, which scores
what retrieval found. The network's first layer is linear in each side, so serving splits it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ranking.counts import COUNTS, HIDDEN
from ranking.features import AD_FIELDS, REQUEST_FIELDS, SLOT_FIELDS, Field, bag_starts, rows
from ranking.live import Live
from ranking.lookups import functions as lookups
from ranking.towers import embedded

Drawn = tuple[int, NDArray[np.int64]]
"""Seed of what is left out at random, and a key for each row."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the layers; the defaults are about 155 000 dense parameters."""

    embedding: int = 16
    tower: int = 128
    vector: int = 64
    first: int = 256
    second: int = 128
    third: int = 64

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[np.float32]]) -> Shape:
        """That of a trained model's `arrays`."""
        tower, vector = weights["ad.w1"].shape[1], weights["ad.w2"].shape[1] - 1
        behind = (weights[f"{name}.weight"].shape for name in ("second", "third"))
        (first, second), (_, third) = behind
        return cls(weights["ad.embedding"].shape[1], tower, vector, first, second, third)


def _table(count: int, dim: int, spread: float) -> nn.Parameter:
    """Row 0, "none", is zero and stays so: nothing trains it."""
    weight = torch.randn(count, dim) * spread
    weight[0] = 0.0
    return nn.Parameter(weight)


class Tower(nn.Module):
    """Torch twin of ranking.towers.Tower, over the live rows' new numbers."""

    def __init__(self, fields: Sequence[Field], shape: Shape, live: Live, dropout: float) -> None:
        super().__init__()
        self.fields, self.live = fields, live
        count = embedded(fields)
        self.start = bag_starts(fields)[: count + 1]
        self.embedding = _table(len(live), shape.embedding, 0.05)
        self.wide = _table(len(live), 1, 0.0)
        self.hidden = nn.Linear(count * shape.embedding, shape.tower)
        self.dropout = dropout
        self.out = nn.Linear(shape.tower + count * shape.embedding, shape.vector + 1)

    def forward(self, ids: Tensor, drawn: Drawn | None = None) -> tuple[Tensor, Tensor]:
        """Vectors [n, D] and biases [n]; with `drawn`, some pooled values are left out."""
        left_out = lookups.Dropout(self.dropout, *drawn) if drawn else lookups.none_out(len(ids))
        pooled = lookups.pooled(self.embedding, ids, self.start, left_out)
        wide = lookups.summed(self.wide, ids, self.start[-1])
        hidden = functional.relu(self.hidden(pooled))
        out = self.out(torch.cat([hidden, pooled], dim=1))
        return out[:, :-1], out[:, -1] + wide


class Sides(NamedTuple):
    """Requests and ads in one space."""

    request: Tensor
    """[Q, D]"""
    request_bias: Tensor
    ad: Tensor
    """[A, D]"""
    ad_bias: Tensor


class ClickModel(nn.Module):
    """Log-odds of a click: the full score, and the dot product alone that stands in for it."""

    def __init__(self, shape: Shape, request: Live, ad: Live, dropout: float = 0.0) -> None:
        super().__init__()
        self.request = Tower(REQUEST_FIELDS, shape, request, dropout)
        self.ad = Tower(AD_FIELDS, shape, ad, dropout)
        self.slot = _table(rows(SLOT_FIELDS), 1, 0.0)
        self.count_hidden = nn.Linear(COUNTS, HIDDEN)
        self.count_out = nn.Parameter(torch.zeros(HIDDEN))
        self.first_request = nn.Linear(shape.vector, shape.first)
        self.first_ad = nn.Linear(shape.vector, shape.first, bias=False)
        self.second = nn.Linear(shape.first, shape.second)
        self.third = nn.Linear(shape.second, shape.third)
        self.last = nn.Linear(shape.third, 1)

    def tables(self) -> Iterator[nn.Parameter]:
        """What is looked up, not multiplied with."""
        for tower in (self.request, self.ad):
            yield tower.embedding
            yield tower.wide
        yield self.slot

    def forward(
        self,
        request: Tensor,
        of: Tensor,
        ad: Tensor,
        which: Tensor,
        slot: Tensor,
        counts: Tensor,
        drawn: tuple[Drawn, Drawn] | tuple[None, None] = (None, None),
    ) -> tuple[Tensor, Tensor]:
        """Of encoded requests [Q, W] and ads [A, W], `of` and `which` of them each row has [R];
        slots and counts [R, …]. `drawn` says what is left out in training.
        """
        return self.scores(self.sides(request, ad, drawn), of, which, slot, counts)

    def sides(
        self,
        request: Tensor,
        ad: Tensor,
        drawn: tuple[Drawn, Drawn] | tuple[None, None] = (None, None),
    ) -> Sides:
        """What both towers make of requests and ads."""
        return Sides(*self.request(request, drawn[0]), *self.ad(ad, drawn[1]))

    def scores(
        self, sides: Sides, of: Tensor, which: Tensor, slot: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, of what the towers made."""
        u, u_bias, a, a_bias = sides
        dot = (_rows(u, of) * _rows(a, which)).sum(dim=1)
        dot = dot + _rows(u_bias, of) + _rows(a_bias, which)
        dot = dot + lookups.summed(self.slot, slot, slot.shape[1])
        dot = dot + functional.relu(self.count_hidden(counts)) @ self.count_out
        return dot + self.network(sides, of, which), dot

    def network(self, sides: Sides, of: Tensor, which: Tensor) -> Tensor:
        """[R] log-odds beside the dot product."""
        first = _rows(self.first_request(sides.request), of) + _rows(self.first_ad(sides.ad), which)
        hidden = functional.relu(first)
        hidden = functional.relu(self.third(functional.relu(self.second(hidden))))
        out: Tensor = self.last(hidden)[:, 0]
        return out


def _rows(of: Tensor, which: Tensor) -> Tensor:
    """The same as of[which], with a gradient that takes a fifth of the time."""
    return of.index_select(0, which)


def dense_parameters(model: ClickModel) -> int:
    """Parameters outside the embedding tables: what is computed with for every request or pair."""
    tables = {id(table) for table in model.tables()}
    return sum(one.numel() for one in model.parameters() if id(one) not in tables)


def arrays(model: ClickModel) -> dict[str, NDArray[np.float32]]:
    """The weights by the names that serving knows, matrices as [inputs, outputs].

    Rows that are not live, and counted ids, are zero.
    """
    found = {name: np.array(one.detach().numpy(), order="C") for name, one in _named(model).items()}
    for side, tower in (("request", model.request), ("ad", model.ad)):
        embedding, wide = (one.detach().numpy() for one in (tower.embedding, tower.wide[:, 0]))
        found[f"{side}.embedding"] = tower.live.spread(embedding, tower.live.table)
        found[f"{side}.wide"] = tower.live.spread(wide, rows(tower.fields))
    return found


def restore(model: ClickModel, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Continue from the `arrays` of a former model; its live rows that it never saw stay as made.

    ValueError names a layer of another shape.
    """
    with torch.no_grad():
        for name, one in _named(model).items():
            if weights[name].shape != tuple(one.shape):
                raise ValueError(f"{name} is {weights[name].shape}, here it is {tuple(one.shape)}")
            one.copy_(torch.from_numpy(weights[name]))
        for side, tower in (("request", model.request), ("ad", model.ad)):
            row = tower.live.row
            vector = torch.from_numpy(weights[f"{side}.embedding"][row])
            known = vector.any(dim=1)
            tower.embedding[known] = vector[known]
            tower.wide[:, 0] = torch.from_numpy(weights[f"{side}.wide"][row])


def _named(model: ClickModel) -> dict[str, Tensor]:
    """All but the tables of the towers, as serving names and lays them out; views, not copies."""
    named = {"slot.wide": model.slot[:, 0]}
    for side, tower in (("request", model.request), ("ad", model.ad)):
        named |= {
            f"{side}.w1": tower.hidden.weight.T,
            f"{side}.b1": tower.hidden.bias,
            f"{side}.w2": tower.out.weight.T,
            f"{side}.b2": tower.out.bias,
        }
    named |= {
        "count.w1": model.count_hidden.weight.T,
        "count.b1": model.count_hidden.bias,
        "count.w2": model.count_out,
        "first.request": model.first_request.weight.T,
        "first.ad": model.first_ad.weight.T,
        "first.bias": model.first_request.bias,
    }
    for name, layer in (("second", model.second), ("third", model.third), ("last", model.last)):
        named |= {f"{name}.weight": layer.weight.T, f"{name}.bias": layer.bias}
    return named
