"""Trains the fallback model on the same impressions, as an understudy that adds to what is known.

Beside a click model it takes over the slots' weights and the counted ids, since serving adds the
slot's share to either, and learns the rest anew. Alone it learns the slots too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ranking.counts import COUNTS
from ranking.dataset import Impressions, batches
from ranking.features import AD_FIELDS, REQUEST_FIELDS, TOPICS, encoded_topic
from ranking.logistic import LogisticWeights
from ranking.towers import embedding_rows
from ranking.training.progress import Progress
from ranking.training.settings import TrainSettings
from ranking.training.stream import fake_negative

BATCH = 16_384
RATE = 5e-3
STEPS = 150
"""So many steps at least: few impressions are read more than once, and in smaller steps."""


class _Logistic(nn.Module):
    """Weights of trained values; row 0 has none and is never trained."""

    def __init__(self, click_rate: float, slots: NDArray[np.float32], alone: bool) -> None:
        super().__init__()
        self.intercept = nn.Parameter(torch.tensor(float(np.log(click_rate / (1 - click_rate)))))
        self.request = nn.Parameter(torch.zeros(embedding_rows(REQUEST_FIELDS), 1))
        self.ad = nn.Parameter(torch.zeros(embedding_rows(AD_FIELDS), 1))
        self.cross = nn.Parameter(torch.zeros(TOPICS, TOPICS))
        self.count = nn.Parameter(torch.zeros(COUNTS))
        self.slot = nn.Parameter(torch.from_numpy(slots.copy())[:, None], requires_grad=alone)

    def forward(
        self, request: Tensor, of: Tensor, ad: Tensor, slot: Tensor, counts: Tensor
    ) -> Tensor:
        page = torch.from_numpy(encoded_topic(REQUEST_FIELDS, request.numpy()))
        topic = torch.from_numpy(encoded_topic(AD_FIELDS, ad.numpy()))
        own, ads = _summed(self.request, request), _summed(self.ad, ad)
        pair = self.cross[page[of], topic] + _summed(self.slot, slot) + counts @ self.count
        return self.intercept + own[of] + ads + pair

    def restore(self, former: LogisticWeights) -> None:
        with torch.no_grad():
            self.intercept.fill_(former.intercept)
            for name in ("request", "ad"):
                one = getattr(self, name)
                one[:, 0] = torch.from_numpy(getattr(former, name)[: len(one)])
            self.cross.copy_(torch.from_numpy(former.cross))
            self.count.copy_(torch.from_numpy(former.count))


def _summed(weight: Tensor, ids: Tensor) -> Tensor:
    """Sum of the weights of each row's ids, those beyond the table left out."""
    trained = torch.where(ids < len(weight), ids, 0)
    return functional.embedding_bag(trained, weight, mode="sum", padding_idx=0)[:, 0]


@dataclass(frozen=True, slots=True)
class Fitted:
    logistic: LogisticWeights
    slot: NDArray[np.float32]
    """[slot rows] as given, or as learnt where the logistic regression stands alone."""


def fit_logistic(
    table: Impressions,
    weights: Mapping[str, NDArray[np.float32]],
    settings: TrainSettings,
    rng: np.random.Generator,
    progress: Progress,
    former: LogisticWeights | None = None,
    alone: bool = False,
) -> Fitted:
    """Over impressions of which a share of the negatives is left, continuing a `former` fit.

    `weights` are a click model's: of slots and counted ids, and nothing else, they are taken over.
    """
    model = _Logistic(_full_rate(table, settings.negatives), weights["slot.wide"], alone)
    if former is not None:
        model.restore(former)
    known = {name: torch.from_numpy(_counted_only(weights, name)) for name in ("request", "ad")}
    optimiser = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], RATE)
    size = min(BATCH, max(512, len(table) // 16))
    steps = max(STEPS, len(table) // size + 1)
    kept, done = float(-np.log(settings.negatives)), 0
    while done < steps:
        for batch in batches(table, size, rng):
            request, of, ad, slot, counts, click, weight = (torch.from_numpy(one) for one in batch)
            offset = known["request"][request].sum(dim=1)[of] + known["ad"][ad].sum(dim=1)
            logit = model(request, of, ad, slot, counts) + offset
            if settings.stream:
                weight = weight * fake_negative(click, logit)
            loss = functional.binary_cross_entropy_with_logits(logit + kept, click, weight)
            optimiser.param_groups[0]["lr"] = RATE * max(1 - done / steps, 0.02)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimiser.step()
            done += 1
            progress("logistic regression", min(done / steps, 1.0))
    return _fitted(model, known)


def _full_rate(table: Impressions, negatives: float) -> float:
    """Click rate before the negatives were thinned."""
    share = table.click_rate()
    return share * negatives / (1 - share + share * negatives)


def _fitted(model: _Logistic, known: Mapping[str, Tensor]) -> Fitted:
    parts = {name: known[name].numpy().copy() for name in known}
    for name, part in parts.items():
        trained = getattr(model, name).detach().numpy()[:, 0]
        part[: len(trained)] += trained
    cross, count = model.cross.detach().numpy(), model.count.detach().numpy()
    intercept = float(model.intercept.detach())
    logistic = LogisticWeights(intercept, parts["request"], parts["ad"], cross, count)
    return Fitted(logistic, model.slot.detach().numpy()[:, 0])


def _counted_only(weights: Mapping[str, NDArray[np.float32]], side: str) -> NDArray[np.float32]:
    """The click model's weights of counted ids, zero for the trained ones."""
    kept = weights[f"{side}.wide"].copy()
    kept[: len(weights[f"{side}.embedding"])] = 0.0
    return kept
