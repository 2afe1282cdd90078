"""The selection of a batch on one device, from bit masks to the best ads.

Decides the order of the stages. Knows neither where requests come from nor how a click is
predicted: who scores, and by what, is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.gpu import merge, reference
from retrieval.gpu.asks import Asks
from retrieval.gpu.batch import Batch, Rows, batch_of
from retrieval.gpu.resident import FIRST, LAST, OTHERS, Resident, Tensors

TILE: Final = 16
"""Ads of which only the best is looked at first. Of N ads the choice reads N / TILE keys and
k · TILE: least where TILE is about the root of N / k."""
NONE: Final = np.float32(-np.inf)


class Stages(Protocol):
    """`reference` and `launch`: the same in plain torch and by kernels."""

    def match(self, tensors: Tensors, batch: Batch, /) -> torch.Tensor: ...
    def fit(self, tensors: Tensors, batch: Batch, /) -> torch.Tensor: ...
    def admit(
        self, tensors: Tensors, batch: Batch, words: torch.Tensor, kinds: torch.Tensor, /
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def weigh(
        self, tensors: Tensors, batch: Batch, bits: torch.Tensor, tile: int, /
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def select(self, keys: torch.Tensor, best: torch.Tensor, k: int, /) -> torch.Tensor: ...
    def best_of(self, keys: torch.Tensor, k: int, /) -> torch.Tensor: ...
    def slots_of(
        self,
        tensors: Tensors,
        batch: Batch,
        words: torch.Tensor,
        kinds: torch.Tensor,
        ads: torch.Tensor,
        /,
    ) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Nearest:
    """The best k ads of each request by value; on the device."""

    ad: torch.Tensor
    """i32[B, k] by row, not by value; -1 past the last."""
    key: torch.Tensor
    """i32[B, k] value, in the order of its bits."""
    slots: torch.Tensor
    """i32[B, k]"""
    eligible: torch.Tensor
    """i32[B] ads that may be shown."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """What is handed back of each request: the best few by expected value, best first."""

    ad: NDArray[np.int32]
    """[B, m] -1 past the last."""
    value: NDArray[np.float32]
    """[B, m] the retrieval's."""
    logit: NDArray[np.float32]
    """[B, m] the click model's log-odds, as a `Scorer` gives them."""
    worth: NDArray[np.float32]
    """[B, m] log of the expected eCPM micros by the click model."""
    slots: NDArray[np.uint32]
    eligible: NDArray[np.int32]
    """[B]"""


Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of ads i32[B, k] (-1: none) and vectors f32[B, E + 1]: the log-odds f32[B, k] of a click."""
Worth = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of ads and their log-odds: log of the expected eCPM micros f32[B, k]."""


class Selector:
    """Selects from one resident catalogue. One thread; one batch at a time."""

    def __init__(self, resident: Resident, stages: Stages = reference, tile: int = TILE) -> None:
        self.resident, self.stages, self.tile = resident, stages, tile

    def nearest(self, asks: Asks, k: int) -> Nearest:
        """The best k ads of each request, exactly those of `Retriever.retrieve` by scan."""
        rows = Rows.of(asks, self.resident.columns, self.resident.tiers)
        batch = batch_of(asks, rows, self.resident.device)
        return self._nearest(batch, rows, k)

    def retrieve(self, asks: Asks, k: int) -> list[merge.Keys]:
        """The same, best first, as keys: `merge.ads_of`, `merge.values_of`."""
        rows = Rows.of(asks, self.resident.columns, self.resident.tiers)
        found = self.chosen(batch_of(asks, rows, self.resident.device), k)
        return self._merged(rows, found.ad, found.key, len(asks.ask), k)

    def rank(self, asks: Asks, k: int, best: int, score: Score, worth: Worth) -> Ranked:
        """Score the best k of each request, and give the best few of these."""
        rows = Rows.of(asks, self.resident.columns, self.resident.tiers)
        batch = batch_of(asks, rows, self.resident.device)
        if len(rows) == len(asks.ask):
            return ranked_of(self.best(batch, k, best, score, worth))
        found = self._nearest(batch, rows, k)
        logit = score(found.ad, batch.vector)
        value = worth(found.ad, logit)
        place = self._places(batch, rows, found, value, best)
        return ranked_of(_taken(found, logit, value, place))

    def best(
        self, batch: Batch, k: int, best: int, score: Score, worth: Worth
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of requests that are one row each, all on the device: i32[5, B, best] ads by row, and the
        bits of their value, log-odds, worth and slots; i32[B] how many are eligible."""
        found = self.chosen(batch, k)
        logit = score(found.ad, batch.vector)
        value = worth(found.ad, logit)
        key = torch.where(found.ad >= 0, ordered(value), reference.LEAST)
        return _taken(found, logit, value, self.stages.best_of(key, best))

    def _places(
        self, batch: Batch, rows: Rows, found: Nearest, worth: torch.Tensor, best: int
    ) -> torch.Tensor:
        """i32[B, best] where the best by worth stand in `found`: tiers and groups have their share,
        as in retrieval."""
        request = batch.request.long()
        tier = self._tier(found.ad)[request]
        mine = (found.slots[request] & batch.mask[:, None]) != 0
        mine &= (tier == batch.tier[:, None]) & (found.ad[request] >= 0)
        key = torch.where(mine, ordered(worth)[request], reference.LEAST)
        place = self.stages.best_of(key, best)
        keys = self._merged(
            rows, place, torch.gather(key, 1, place.clamp(min=0).long()), len(batch.ask), best
        )
        chosen = np.full((len(keys), best), -1, np.int32)
        for row, some in enumerate(keys):
            chosen[row, : len(some)] = merge.ads_of(some)  # of places, which order like rows
        return torch.from_numpy(chosen).to(place.device)

    def _tier(self, ads: torch.Tensor) -> torch.Tensor:
        """Of each ad; -1 stands for the first."""
        tensors = self.resident.tensors
        line = tensors.line_of[ads.clamp(min=0).long()].long()
        first, last = ((one[line // 32] >> (line % 32)) & 1 for one in tensors.turn)
        return torch.where(first != 0, FIRST, torch.where(last != 0, LAST, OTHERS))

    def _nearest(self, batch: Batch, rows: Rows, k: int) -> Nearest:
        found = self.chosen(batch, k)
        if len(rows) == len(batch.ask):
            return found
        asks = len(batch.ask)
        keys = self._merged(rows, found.ad, found.key, asks, k)
        ad, key = np.full((asks, k), -1, np.int32), np.zeros((asks, k), np.int32)
        for row, some in enumerate(keys):
            by_row = np.argsort(merge.ads_of(some))
            ad[row, : len(some)] = merge.ads_of(some)[by_row]
            key[row, : len(some)] = (some[by_row] >> 32).astype(np.int32)
        device = self.resident.device
        ads = torch.from_numpy(ad).to(device)
        tensors = self.resident.tensors
        words, kinds = self.stages.match(tensors, batch), self.stages.fit(tensors, batch)
        slots = self.stages.slots_of(tensors, batch, words, kinds, ads)
        return Nearest(
            ads, torch.from_numpy(key).to(device), slots, _per_request(found.eligible, rows, asks)
        )

    def chosen(self, batch: Batch, k: int) -> Nearest:
        """Row by row; slots only where each request is one row."""
        tensors, stages = self.resident.tensors, self.stages
        words, kinds = stages.match(tensors, batch), stages.fit(tensors, batch)
        bits, eligible = stages.admit(tensors, batch, words, kinds)
        keys, best = stages.weigh(tensors, batch, bits, self.tile)
        ad = stages.select(keys, best, k)
        key = torch.gather(keys, 1, ad.clamp(min=0).long())
        if len(batch.ask) != len(batch.request):
            return Nearest(ad, key, ad, eligible)
        return Nearest(ad, key, stages.slots_of(tensors, batch, words, kinds, ad), eligible)

    def _merged(
        self, rows: Rows, ad: torch.Tensor, key: torch.Tensor, requests: int, k: int
    ) -> list[merge.Keys]:
        lists = [merge.keyed(*pair) for pair in zip(_host(ad), _host(key), strict=True)]
        return merge.merged(rows, lists, requests, k)


def ordered(value: torch.Tensor) -> torch.Tensor:
    """i32 keys that order like f32 values."""
    bits = value.contiguous().view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def value_of(key: torch.Tensor) -> torch.Tensor:
    """The f32 values of such keys."""
    return (key ^ ((key >> 31) & 0x7FFFFFFF)).view(torch.float32)


def _per_request(eligible: torch.Tensor, rows: Rows, requests: int) -> torch.Tensor:
    """Of each request: over its tiers, the ads for all of its slots."""
    first = np.ones(len(rows), np.bool_)
    first[1:] = (np.diff(rows.request) != 0) | (np.diff(rows.tier) != 0)
    heads = torch.from_numpy(np.flatnonzero(first)).to(eligible.device)
    owner = torch.from_numpy(rows.request[first].astype(np.int64)).to(eligible.device)
    total = torch.zeros(requests, dtype=torch.int32, device=eligible.device)
    return total.index_add_(0, owner, eligible[heads])


def _taken(
    found: Nearest, logit: torch.Tensor, worth: torch.Tensor, place: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `Selector.best`; -1 as ad where `place` i32[B, best] is -1."""
    at = place.clamp(min=0).long()
    columns = (value_of(found.key), logit.contiguous(), worth.contiguous())
    bits = (found.ad, *(one.view(torch.int32) for one in columns), found.slots)
    taken = torch.stack([torch.gather(one, 1, at) for one in bits])
    taken[0] = torch.where(place >= 0, taken[0], -1)
    return taken, found.eligible


def ranked_of(best: tuple[torch.Tensor, torch.Tensor]) -> Ranked:
    """In order, equal worth by the lower row; on the host."""
    ad, *floats, slots = _host(best[0])
    there = ad >= 0
    value, odds, money = (np.ascontiguousarray(one).view(np.float32) for one in floats)
    money = np.where(there, money, NONE)
    order = np.argsort(-money, axis=1, kind="stable")
    taken = (np.take_along_axis(one, order, 1) for one in (ad, value, odds, money, slots, there))
    ad, value, odds, money, slots, there = taken
    return Ranked(
        ad=ad,
        value=np.where(there, value, NONE),
        logit=np.where(there, odds, np.float32(0)),
        worth=money,
        slots=np.where(there, slots, 0).astype(np.int32).view(np.uint32),
        eligible=_host(best[1]),
    )


def _host(tensor: torch.Tensor) -> NDArray[Any]:
    found: NDArray[Any] = tensor.cpu().numpy()
    return found
