"""One snapshot and one click model, resident on a device and ready to select from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from adserver.catalogue.snapshot import Snapshot
from ranking.bundle import Bundle
from ranking.calibration import Calibration
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs, Refused
from ranking.table import AdTable, table_folder
from retrieval.gpu import reference
from retrieval.gpu.asks import Asks
from retrieval.gpu.columns import Columns
from retrieval.gpu.resident import Resident
from retrieval.gpu.selector import Ranked, Score, Selector, Stages
from retrieval.kinds import Kinds
from retrieval.targeting import TargetingIndex
from retrieval.vectors import AdVectors

CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What answers the requests of one snapshot and model."""

    resident: Resident
    selector: Selector
    score: Score
    own: torch.Tensor
    """f32[N] the ads' own log-odds, which their `base` holds."""
    probability: torch.Tensor
    """f32[K] of the calibration."""
    calibration: Calibration

    @classmethod
    def open(cls, folder: Path, bundle: Bundle, device: torch.device = CPU) -> Loaded:
        """Map a snapshot's folder and copy to the device what stays there; nothing runs yet.

        OSError or ValueError where the model's tables are not there.
        """
        ranker = table_folder(folder, bundle.tables_sha256)
        snapshot, table = Snapshot.open(folder, verify=False), AdTable.load(ranker)
        vectors = AdVectors.load(ranker.parent / "vectors")
        index, ads = TargetingIndex.load(folder / "targeting"), snapshot.ads
        kinds = Kinds.of(ads.size, ads.attributes, ads.secure, vectors.per_click)
        columns = Columns.of(index, vectors, kinds, snapshot.line_items.ad_start)
        resident = Resident(columns, device=device)
        score = _scoring(bundle, snapshot.manifest.version, table, device)
        return cls(
            resident,
            Selector(resident, stages_for(device)),
            score,
            torch.from_numpy(np.array(table.bias)).to(device),
            torch.from_numpy(bundle.calibration.probability).float().to(device),
            bundle.calibration,
        )

    def check(self, asks: Asks) -> None:
        """Malformed unless they are requests of this snapshot and model; Refused before anybody
        has said which line items run: an empty answer would be believed."""
        columns = self.resident.columns
        if not self.resident.runs:
            raise Refused("which line items run has not been said yet")
        asks.check(len(columns.include), columns.sizes, len(columns.rotation))

    def rank(self, asks: Asks, candidates: int, best: int) -> Ranked:
        """The best few of each request's candidates."""
        return self.selector.rank(asks, candidates, best, self.score, self._worth)

    def _worth(self, ads: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
        """Bid times calibrated click rate, as logs; a slot's share is not known here."""
        row, tensors = ads.clamp(min=0).long(), self.resident.tensors
        base = tensors.base[row]
        money = base - self.own[row] + self._rate(logit).log()
        return torch.where(tensors.click[row] != 0, money, base)

    def _rate(self, logit: torch.Tensor) -> torch.Tensor:
        """As `Calibration`: linear between its knots."""
        last = len(self.probability) - 1
        place = ((logit - self.calibration.first) / self.calibration.step).clamp(0, last)
        knot = place.floor().clamp(max=last - 1).long()
        low, high = self.probability[knot], self.probability[knot + 1]
        return low + (place - knot) * (high - low)


def _scoring(bundle: Bundle, version: int, table: AdTable, device: torch.device) -> Score:
    """The fused kernel on a GPU, ONNX Runtime elsewhere; both INT8, with the same scores."""
    if device.type == "cpu":
        scorer = LocalScorer(bundle)
        scorer.add(version, table)
        return partial(_by_columns, scorer, version)
    from adserver.selection.fused import Fused  # noqa: PLC0415 - the language is there with a GPU
    from ranking.gpu.network import Model  # noqa: PLC0415

    return Fused(Model.of(bundle), table, device)


def _by_columns(
    scorer: LocalScorer, version: int, ads: torch.Tensor, vector: torch.Tensor
) -> torch.Tensor:
    """By a scorer that takes pairs."""
    ad, request = ads.numpy(), vector.numpy()
    there = ad >= 0
    offset = np.zeros(len(ad) + 1, np.int32)
    np.cumsum(there.sum(axis=1), out=offset[1:])
    own, bias = np.ascontiguousarray(request[:, :-1]), np.ascontiguousarray(request[:, -1])
    logit = np.zeros(ad.shape, np.float32)
    logit[there] = scorer.score(Pairs(version, own, bias, ad[there], offset))
    return torch.from_numpy(logit)


def stages_for(device: torch.device) -> Stages:
    """Kernels on a GPU, plain torch elsewhere."""
    if device.type == "cpu":
        return reference
    from retrieval.gpu.launch import Kernels  # noqa: PLC0415 - the language is there with a GPU

    return Kernels()
