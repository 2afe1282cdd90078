"""Trains the fallback model on the same impressions, as an understudy that adds to what is known.

It takes over the slots' weights and the counted ids from the click model, since serving adds the
slot's share to either, and learns the rest anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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

BATCH = 16_384
RATE = 5e-3


class _Logistic(nn.Module):
    """Weights of trained values; row 0 has none and is never trained."""

    def __init__(self, click_rate: float) -> None:
        super().__init__()
        self.intercept = nn.Parameter(torch.tensor(float(np.log(click_rate / (1 - click_rate)))))
        self.request = nn.Parameter(torch.zeros(embedding_rows(REQUEST_FIELDS), 1))
        self.ad = nn.Parameter(torch.zeros(embedding_rows(AD_FIELDS), 1))
        self.cross = nn.Parameter(torch.zeros(TOPICS, TOPICS))
        self.count = nn.Parameter(torch.zeros(COUNTS))

    def forward(self, request: Tensor, of: Tensor, ad: Tensor, counts: Tensor) -> Tensor:
        page = torch.from_numpy(encoded_topic(REQUEST_FIELDS, request.numpy()))
        topic = torch.from_numpy(encoded_topic(AD_FIELDS, ad.numpy()))
        own, ads = _summed(self.request, request), _summed(self.ad, ad)
        return self.intercept + own[of] + ads + self.cross[page[of], topic] + counts @ self.count


def _summed(weight: Tensor, ids: Tensor) -> Tensor:
    """Sum of the weights of each row's ids, those beyond the table left out."""
    trained = torch.where(ids < len(weight), ids, 0)
    return functional.embedding_bag(trained, weight, mode="sum", padding_idx=0)[:, 0]


def fit_logistic(
    table: Impressions,
    weights: Mapping[str, NDArray[np.float32]],
    negatives: float,
    rng: np.random.Generator,
    progress: Callable[[str, float], None],
) -> LogisticWeights:
    """One pass over impressions of which a share of the `negatives` is left."""
    share = float(table.click.mean())
    model = _Logistic(share * negatives / (1 - share + share * negatives))
    known = {name: torch.from_numpy(_counted_only(weights, name)) for name in ("request", "ad")}
    slots = torch.from_numpy(weights["slot.wide"])
    optimiser = torch.optim.Adam(model.parameters(), RATE, fused=True)
    for step, batch in enumerate(batches(table, BATCH, rng)):
        request, of, ad, slot, counts, click, weight = (torch.from_numpy(one) for one in batch)
        offset = known["request"][request].sum(dim=1)[of] + known["ad"][ad].sum(dim=1)
        logit = model(request, of, ad, counts) + offset + slots[slot].sum(dim=1)
        logit = logit - float(np.log(negatives))
        loss = functional.binary_cross_entropy_with_logits(logit, click, weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimiser.step()
        progress("logistic regression", min((step + 1) * BATCH / max(len(table), 1), 1.0))
    parts = {name: known[name].numpy().copy() for name in known}
    for name, part in parts.items():
        trained = getattr(model, name).detach().numpy()[:, 0]
        part[: len(trained)] += trained
    cross, count = model.cross.detach().numpy(), model.count.detach().numpy()
    intercept = float(model.intercept.detach())
    return LogisticWeights(intercept, parts["request"], parts["ad"], cross, count)


def _counted_only(weights: Mapping[str, NDArray[np.float32]], side: str) -> NDArray[np.float32]:
    """The click model's weights of counted ids, zero for the trained ones."""
    kept = weights[f"{side}.wide"].copy()
    kept[: len(weights[f"{side}.embedding"])] = 0.0
    return kept
