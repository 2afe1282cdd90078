"""A network over embeddings and numbers, of at most 200 000 dense parameters.

Two streams fused by products of their outputs, or cross layers beside a network: the shapes of
`ranking.heads`. What is rare is damped by Adagrad, and training stops where the validation rows
are predicted best; several networks that began differently are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ranking.heads import HeadShape, head
from ranking.metrics import losses
from ranking.tabular.inputs import Inputs
from ranking.tabular.logistic import probability

MOST_DENSE = 200_000
AT_ONCE = 1 << 14
"""Rows scored together."""
Heard = Callable[[str, float], None]
Floats = NDArray[np.float64]


def _unheard(stage: str, share: float) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True, slots=True)
class NetSettings:
    """How the network is built and trained."""

    kind: str = "streams"
    dim: int = 8
    """Numbers of an embedding."""
    dropout: float = 0.2
    """Of embeddings and hidden layers."""
    rate: float = 1e-3
    table_rate: float = 0.03
    decay: float = 1e-4
    """Weight decay of the layers."""
    epochs: int = 20
    """Passes at most; so many are made where validation does not stop it."""
    steps: int = 50
    """Of a pass, about: the batch grows with the rows, from 64 to 4096."""
    patience: int = 6
    """Looks at the validation rows without getting better that end it."""
    looks: int = 4
    """At the validation rows in a pass."""
    seeds: int = 3
    """Networks averaged, where there are fewer than `many` rows."""
    many: int = 300_000
    threads: int = 1
    """Two wait for each other at every step."""


class Net(nn.Module):
    """[R] log-odds of rows of embeddings and numbers."""

    def __init__(self, data: Inputs, settings: NetSettings) -> None:
        super().__init__()
        self.bags, self.dropout = data.bags, settings.dropout
        self.table = nn.Embedding(data.rows, settings.dim, padding_idx=0, sparse=True)
        nn.init.normal_(self.table.weight, std=0.01)
        with torch.no_grad():
            self.table.weight[0] = 0.0
        inside = sum(bag.stop - bag.start for bag in data.bags)
        self.embedded = data.embedded
        self.fields = data.embedded - inside
        inputs = (self.fields + len(data.bags)) * settings.dim + data.number.shape[1]
        self.head = head(_shape(inputs, settings), inputs)

    def forward(self, first: Tensor, second: Tensor | None, number: Tensor) -> Tensor:
        first = first[:, : self.embedded]
        vector = self.table(first)
        if second is not None:
            vector = vector + self.table(second[:, : self.embedded])
        wide = [vector[:, : self.fields].flatten(1)]
        for bag in self.bags:
            held = (first[:, bag] != 0).sum(1, keepdim=True).clamp(min=1)
            wide.append(vector[:, bag].sum(1) / held)
        x = torch.cat([*wide, number], dim=1)
        out: Tensor = self.head(functional.dropout(x, self.dropout, self.training))
        return out


def _shape(inputs: int, settings: NetSettings) -> HeadShape:
    """The widest that MOST_DENSE allows; each candidate is half as wide as the one before."""
    for width in (256, 128, 64, 32, 16):
        layers, other = (width, width // 2), (max(16, width // 2),)
        shape = HeadShape("streams", layers, other, parts=8, dropout=settings.dropout)
        if settings.kind == "cross":
            shape = replace(shape, kind="cross", rank=16)
        if dense(head(shape, inputs)) <= MOST_DENSE:
            return shape
    raise ValueError(f"{inputs} inputs are too many for {MOST_DENSE} parameters")


def dense(module: nn.Module) -> int:
    """Parameters of the layers."""
    return sum(one.numel() for one in module.parameters())


@dataclass(frozen=True, slots=True)
class Based:
    """Rows, and the log-odds [R] that a network is to add to."""

    inputs: Inputs
    base: Floats


@dataclass(frozen=True, slots=True)
class Networks:
    """Trained networks, whose log-odds are averaged: what they add to given ones."""

    nets: tuple[Net, ...]
    looks: int
    """Parts of a pass, `settings.looks` to a pass, that they were trained for; the median."""

    @property
    def dense(self) -> int:
        """Parameters of the layers of each."""
        return dense(self.nets[0].head)

    def log_odds(self, data: Inputs) -> Floats:
        """[R]"""
        return np.asarray(np.mean([_log_odds(net, data) for net in self.nets], axis=0))


def settled(
    train: Based, validation: Based, settings: NetSettings, seed: int, heard: Heard = _unheard
) -> Networks:
    """Each trained until the validation rows are no longer predicted better."""
    made = []
    for number in range(_seeds(train, settings)):
        made.append(_stopped(_Training(train, settings, seed + number), validation, heard))
    return Networks(tuple(net for net, _ in made), int(np.median([looks for _, looks in made])))


def fit(
    data: Based, looks: int, settings: NetSettings, seed: int, heard: Heard = _unheard
) -> Networks:
    """Each trained for so many parts of a pass."""
    nets = []
    for number in range(_seeds(data, settings)):
        training = _Training(data, settings, seed + number)
        for look in range(looks):
            training.advance()
            heard("network, all before the test", (look + 1) / looks)
        nets.append(training.net)
    return Networks(tuple(nets), looks)


def _seeds(data: Based, settings: NetSettings) -> int:
    return settings.seeds if len(data.base) < settings.many else 1


class _Training:
    """One network and where it is in its passes over the rows."""

    def __init__(self, data: Based, settings: NetSettings, seed: int) -> None:
        torch.manual_seed(seed)
        torch.set_num_threads(settings.threads)
        self.data, self.settings = data, settings
        self.net = Net(data.inputs, settings)
        layers = self.net.head.parameters()
        self.optimisers = (
            torch.optim.AdamW(layers, lr=settings.rate, weight_decay=settings.decay),
            torch.optim.Adagrad([self.net.table.weight], lr=settings.table_rate),
        )
        self.batch = int(np.clip(len(data.base) // settings.steps, 64, 4_096))
        self._rng = np.random.default_rng(seed)
        self._order = np.zeros(0, np.int64)

    def advance(self) -> None:
        """Train on the next part of a pass."""
        if not len(self._order):
            self._order = self._rng.permutation(len(self.data.base))
        rows = -(-len(self.data.base) // self.settings.looks)
        part, self._order = self._order[:rows], self._order[rows:]
        self.net.train()
        for begin in range(0, len(part), self.batch):
            self._step(np.sort(part[begin : begin + self.batch]))

    def _step(self, at: NDArray[np.int64]) -> None:
        batch = self.data.inputs.part(at)
        click = torch.from_numpy(batch.click.astype(np.float32))
        base = torch.from_numpy(self.data.base[at].astype(np.float32))
        added = self.net(*_tensors(batch))
        loss = functional.binary_cross_entropy_with_logits(base + added, click)
        # torch warns if not told whether to check sparse gradients
        with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            for optimiser in self.optimisers:
                optimiser.step()
                optimiser.zero_grad()


def _stopped(training: _Training, validation: Based, heard: Heard) -> tuple[Net, int]:
    """The network as it predicted the validation rows best, and after how many looks."""
    settings = training.settings
    most = settings.epochs * settings.looks
    click = validation.inputs.click
    best, least, kept = 0, np.inf, training.net.state_dict()
    for look in range(1, most + 1):
        training.advance()
        p = probability(validation.base + _log_odds(training.net, validation.inputs))
        loss = float(losses(click, p).mean())
        if loss < least:
            best, least = look, loss
            kept = {name: one.clone() for name, one in training.net.state_dict().items()}
        heard("network", look / most)
        if look - best >= settings.patience:
            break
    heard("network", 1.0)
    training.net.load_state_dict(kept)
    return training.net, best


def _log_odds(net: Net, data: Inputs) -> Floats:
    net.eval()
    out = np.empty(len(data))
    with torch.no_grad():
        for begin in range(0, len(data), AT_ONCE):
            at = slice(begin, begin + AT_ONCE)
            out[at] = net(*_tensors(data.part(at))).numpy()
    return out


def _tensors(data: Inputs) -> tuple[Tensor, Tensor | None, Tensor]:
    second = None if data.second is None else torch.from_numpy(data.second)
    return torch.from_numpy(data.first), second, torch.from_numpy(data.number)
