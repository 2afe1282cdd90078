"""The same auctions sold on the click rates of float64, of the CPU's INT8 and of the GPU's.

Ads, requests and bids are drawn at random, so that this needs no simulator and no log. The GPU's
rates are its kernel's on a device, and without one those of the same arithmetic as torch
operations, whose sums are the kernel's to the unit (`tests/ranking/gpu`); replayed pages of the
simulated market are in `bench.on_gpu.replayed`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench.on_gpu import ranked
from bench.on_gpu.baselines import Inputs
from bench.on_gpu.machine import Line, Machine, line, unmeasured
from ranking.gpu import plain, reference
from ranking.gpu.launch import Want
from ranking.gpu.network import Model
from ranking.gpu.onnx_file import constants
from ranking.gpu.resident import Ads, Constants
from ranking.gpu.scorer import GpuScorer, Settings
from ranking.metrics import auc
from ranking.scorer import Pairs

if TYPE_CHECKING:
    from ranking.table import AdTable

AUCTIONS: Final = 10_000
FEW: Final = 500
"""Where there is no device, and this is not what was asked for."""
ADS: Final = 100_000
CONTENDERS: Final = 200
AT_ONCE: Final = 250
TYPICAL_MICROS: Final = 1_000_000
"""Median bid per click."""
SPREAD: Final = 0.7
"""Of the bids' logarithm."""
FP16: Final = "FP16"
FLIPS: Final = 0.01
REVENUE: Final = 0.001
Logits = Callable[[Pairs], NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Sold:
    """Auctions of one slot each, to the highest bid times rate, at the second-highest's price."""

    winner: NDArray[np.int64]
    """[B]"""
    price: NDArray[np.int64]
    """[B] micros a click."""

    @classmethod
    def of(cls, bid: NDArray[np.int64], ppm: NDArray[np.int64]) -> Sold:
        """Of bids and rates [B, K]; equal values go to the first."""
        value = bid * ppm
        winner = value.argmax(axis=1)
        row = np.arange(len(bid))
        others = value.copy()
        others[row, winner] = -1
        return cls(winner, -(-others.max(axis=1) // ppm[row, winner]))

    def revenue(self, ppm: NDArray[np.int64]) -> float:
        """Expected, in micros, where clicks are as likely as `ppm` [B, K] says."""
        return float((self.price * (ppm[np.arange(len(ppm)), self.winner] / 1e6)).sum())


def figures(machine: Machine, seconds: float) -> Iterator[Line]:
    """Of each form against float64, and of the GPU's against the CPU's."""
    return compared(machine, AUCTIONS if machine.cuda and not machine.quick else FEW)


def compared(machine: Machine, auctions: int) -> Iterator[Line]:
    """The forms on `auctions` auctions."""
    rng = np.random.default_rng(6)
    model = Model.load(ranked.RELEASED)
    table = ranked.table(model, rng, ADS)
    forms = _forms(machine, model, table)
    ppm: dict[str, list[NDArray[np.int64]]] = {name: [] for name in forms}
    began = time.monotonic()
    for start in range(0, auctions, AT_ONCE):
        count = min(AT_ONCE, auctions - start)
        pairs = ranked.pages(rng, [CONTENDERS] * count, ADS, len(model.request))
        for name, score in forms.items():
            rates = reference.ppm(model, score(pairs).astype(np.float64))
            ppm[name].append(rates.reshape(count, CONTENDERS))
    whole = {name: np.concatenate(parts) for name, parts in ppm.items()}
    about = {"auctions": auctions, "contenders": CONTENDERS, "gpu": _gpu_is(machine)}
    about["seconds"] = round(time.monotonic() - began, 1)
    yield from _agreement({name: one for name, one in whole.items() if name != FP16}, rng, about)
    yield from _ranking(whole, rng, about)
    if "CPU INT8" not in forms:
        yield unmeasured("winners alike", "share", "the CPU path's packages are not here",
                         forms=["CPU INT8", "GPU INT8"])  # fmt: skip


def _gpu_is(machine: Machine) -> str:
    return "kernel" if machine.cuda else "torch operations on the CPU"


def _forms(machine: Machine, model: Model, table: ranked.Sampled) -> dict[str, Logits]:
    forms: dict[str, Logits] = {"float64": exact(model, table)}
    cpu = _cpu(table)
    if cpu is not None:
        forms["CPU INT8"] = cpu
    if machine.cuda:
        forms[FP16] = fp16(machine, model, table)
    return forms | {"GPU INT8": _gpu(machine, model, table)}


def fp16(machine: Machine, model: Model, table: ranked.Sampled) -> Logits:
    """The honest baseline's rates, which must rank no better than INT8's."""
    known = Constants.of(model, machine.device)
    net = ranked.FloatNet(known, Ads.of(table, model.network.scale, machine.device), torch.float16)

    def score(pairs: Pairs) -> NDArray[np.float32]:
        one = Inputs.of(pairs, machine.device)
        return np.asarray(net(one.owner, one.ad, one.vector).cpu().numpy())

    return score


def exact(model: Model, table: ranked.Sampled) -> Logits:
    """The network as it was trained, in float64, over the same ads' rows."""
    known = constants((ranked.RELEASED / "ctr_ranker_fp32.onnx").read_bytes())
    weight = {name: one.astype(np.float64) for name, one in known.items()}

    def score(pairs: Pairs) -> NDArray[np.float64]:
        owner, u = ranked.owners(pairs), pairs.vector.astype(np.float64)
        own = u @ model.request + model.bias
        x = own[owner] + table.half[pairs.ad] * table.half_scale[pairs.ad, None].astype(np.float64)
        x = np.maximum(x, 0.0)
        for name in ("second", "third"):
            x = np.maximum(x @ weight[f"{name}.weight"] + weight[f"{name}.bias"], 0.0)
        vector = table.vector[pairs.ad] * table.vector_scale[pairs.ad, None].astype(np.float64)
        near = np.einsum("rd,rd->r", u[owner], vector) + pairs.bias[owner] + table.bias[pairs.ad]
        logit: NDArray[np.float64] = (x @ weight["last.weight"] + weight["last.bias"])[:, 0] + near
        return logit

    return score


def _gpu(machine: Machine, model: Model, table: ranked.Sampled) -> Logits:
    if machine.cuda:
        scorer = GpuScorer(model, Settings(machine.device, want=Want()))
        scorer.add(ranked.VERSION, table)
        return scorer.score
    known = Constants.of(model, machine.device)
    ads = Ads.of(table, model.network.scale, machine.device)

    def score(pairs: Pairs) -> NDArray[np.float32]:
        one = Inputs.of(pairs, torch.device("cpu"))
        return np.asarray(plain.score(known, ads, one.owner, one.ad, one.vector).numpy())

    return score


def _cpu(table: ranked.Sampled) -> Logits | None:
    """The CPU path, where its packages are."""
    try:
        from ranking.bundle import Bundle  # noqa: PLC0415 - needs numba
        from ranking.int8 import LocalScorer  # noqa: PLC0415 - and ONNX Runtime
    except ImportError:
        return None
    scorer = LocalScorer(Bundle.load(ranked.RELEASED))
    stand_in: AdTable = table  # type: ignore[assignment] # has the columns that are read
    scorer.add(ranked.VERSION, stand_in)
    return scorer.score


def _agreement(
    ppm: dict[str, NDArray[np.int64]], rng: np.random.Generator, about: dict[str, Any]
) -> Iterator[Line]:
    shape = ppm["float64"].shape
    bid = np.exp(rng.normal(np.log(TYPICAL_MICROS), SPREAD, shape)).astype(np.int64)
    sold = {name: Sold.of(bid, one) for name, one in ppm.items()}
    for before, after in combinations(sold, 2):
        forms = {"forms": [before, after], **about}
        alike = float((sold[before].winner == sold[after].winner).mean())
        yield line("winners alike", alike, "share", passed=alike >= 1 - FLIPS, **forms)
        old, new = (sold[name].revenue(ppm["float64"]) for name in (before, after))
        change = new / old - 1.0
        yield line("change of revenue", change, "share", passed=abs(change) <= REVENUE, **forms)


def _ranking(
    ppm: dict[str, NDArray[np.int64]], rng: np.random.Generator, about: dict[str, Any]
) -> Iterator[Line]:
    """AUC of each form on clicks drawn at float64's rates."""
    click = (rng.random(ppm["float64"].shape) < ppm["float64"] / 1e6).astype(np.uint8).ravel()
    for name, one in ppm.items():
        yield line("AUC", auc(click, one.ravel().astype(np.float64)), "1", forms=[name], **about)
