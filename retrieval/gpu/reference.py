"""The stages of a selection in plain torch: the kernels' oracle, and what runs without a GPU.

Every stage takes and gives the same tensors as its twin in `launch`.
"""

from __future__ import annotations

import torch

from retrieval.gpu.asks import (
    ATTRIBUTE,
    BLOCKED,
    BLOCKS,
    PLACEMENT,
    SECURE,
    SIZE,
    SLOTS,
    START,
    TERM,
)
from retrieval.gpu.batch import Batch
from retrieval.gpu.columns import HEAD
from retrieval.gpu.resident import FIRST, LAST, OTHERS, Tensors
from retrieval.query import DIMENSIONS

FINE = 254.0
LEAST = -(2**31)
"""Key of an ad that may not be shown: below that of any value."""
CHUNK = 65_536
"""Ads weighed at a time: bounds the wide copies of their digits."""


def match(tensors: Tensors, batch: Batch) -> torch.Tensor:
    """i32[B, words] line items that may answer each request; as `TargetingIndex.match`."""
    return torch.stack([_match(tensors, ask.tolist()) for ask in batch.ask])


def _match(tensors: Tensors, ask: list[int]) -> torch.Tensor:
    words = tensors.running.clone()
    for dimension in range(DIMENSIONS):
        begin, end = ask[START + dimension], ask[START + dimension + 1]
        terms = ask[TERM + begin : TERM + end]
        allowed = tensors.open[dimension].clone()
        for term in terms:
            allowed |= _set(tensors, int(tensors.include[term]))
        words &= allowed
        for term in terms:
            words &= ~_set(tensors, int(tensors.exclude[term]))
    for term in ask[BLOCKED : BLOCKED + ask[BLOCKS]]:
        words &= ~_set(tensors, int(tensors.include[term]))
    placed = tensors.unrestricted.clone()
    for term in ask[PLACEMENT : PLACEMENT + ask[SLOTS]]:
        placed |= _placement(tensors, term)
    return words & placed


def _placement(tensors: Tensors, term: int) -> torch.Tensor:
    return _set(tensors, int(tensors.include[term]) if term >= 0 else -1)


def _set(tensors: Tensors, number: int) -> torch.Tensor:
    """i32[words]; -1 is the empty set."""
    if number < 0:
        return torch.zeros_like(tensors.unrestricted)
    return tensors.chunk[tensors.page[number].long()].reshape(-1)


def fit(tensors: Tensors, batch: Batch) -> torch.Tensor:
    """i32[B, K + 1] slots that accept each kind of ad; a paused ad's kind fits nowhere."""
    ask = batch.ask
    slots = ask[:, SIZE + tensors.kind_size.long()]
    slots = torch.where(tensors.kind_secure != 0, slots, slots & ~ask[:, SECURE, None])
    for slot in range(int(ask[:, SLOTS].max()) if len(ask) else 0):
        refused = (tensors.kind_attributes & ask[:, ATTRIBUTE + slot, None]) != 0
        slots = torch.where(refused, slots & ~(1 << slot), slots)
    return torch.nn.functional.pad(slots, (0, 1))


def open_slots(tensors: Tensors, batch: Batch, words: torch.Tensor) -> torch.Tensor:
    """i32[B, lines] slots open to each matched line item, 0 for the others."""
    found = []
    for ask, matched in zip(batch.ask.tolist(), words, strict=True):
        every = (1 << ask[SLOTS]) - 1
        slots = _bits(tensors.unrestricted) * every
        for slot in range(ask[SLOTS]):
            slots |= _bits(_placement(tensors, ask[PLACEMENT + slot])) << slot
        found.append(_bits(matched) * slots)
    return torch.stack(found)


def _bits(words: torch.Tensor) -> torch.Tensor:
    """i32[32 * words] each bit on its own."""
    places = torch.arange(32, dtype=torch.int32, device=words.device)
    return ((words[:, None] >> places) & 1).reshape(-1)


def admit(
    tensors: Tensors, batch: Batch, words: torch.Tensor, kinds: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """i32[R, M / 32] ads that each row may show, as bits, and i32[R] how many they are."""
    opened = open_slots(tensors, batch, words)
    first, last = (_bits(one) for one in tensors.turn)
    tier = torch.where(first != 0, FIRST, torch.where(last != 0, LAST, OTHERS))
    rows = []
    for request, mask, wanted in zip(*(part.tolist() for part in batch[2:]), strict=True):
        lines = torch.where(tier == wanted, opened[request], 0)
        fits = kinds[request][tensors.kind.long()] & lines[tensors.line_of.long()] & mask
        rows.append(fits != 0)
    may = torch.stack(rows)
    places = torch.arange(32, device=may.device)
    packed = (may.reshape(len(may), -1, 32).long() << places).sum(dim=2)
    return packed.to(torch.int32), may.sum(dim=1).to(torch.int32)


def weigh(
    tensors: Tensors, batch: Batch, bits: torch.Tensor, tile: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """i32[R, M] each admitted ad's value as a key that orders like it, LEAST for the others; and
    i32[R, M / tile] the greatest of each tile."""
    request = batch.request.long()
    query, step = turn(tensors, batch.vector)
    parts = []
    for start in range(0, len(tensors.kind), CHUNK):
        ads = slice(start, start + CHUNK)
        parts.append(_values(tensors, ads, query[request], step[request], batch.vector[request]))
    key = torch.cat(parts, dim=1).view(torch.int32)
    key = key ^ ((key >> 31) & 0x7FFFFFFF)
    may = torch.stack([_bits(row) for row in bits])
    key = torch.where(may != 0, key, LEAST)
    return key, key.reshape(len(key), -1, tile).amax(dim=2)


def turn(tensors: Tensors, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """f64[B, D] the requests' vectors on the ads' axes in whole steps, and f32[B] a step's size."""
    turned = torch.zeros(len(vector), tensors.rotation.shape[1], device=vector.device)
    for axis, component in zip(tensors.rotation, vector.T[:-1], strict=True):
        turned += component[:, None] * axis
    largest = turned.abs().amax(dim=1) / torch.full_like(vector[:, 0], 32767.0)
    step = torch.clamp(largest, min=1e-30)
    return torch.round(turned / step[:, None]).double(), step


def _values(
    tensors: Tensors,
    ads: slice,
    query: torch.Tensor,
    step: torch.Tensor,
    vector: torch.Tensor,
) -> torch.Tensor:
    """f32[R, n] by the planner's arithmetic: whole numbers, then float32 in one order."""
    coarse, fine = tensors.coarse[ads].double().T, tensors.fine[ads].double().T
    head, rest = query[:, :HEAD], query[:, HEAD:]
    scale, other = tensors.fact[0, ads], tensors.fact[1, ads]
    size = step[:, None]
    per = torch.full_like(size, FINE)  # a tensor: a number would become a product on a GPU
    bias = torch.where(tensors.click[ads] != 0, vector[:, -1:], 0.0)
    value = tensors.base[ads] + bias
    value = value + scale * (size * (head @ coarse[:HEAD]).float())
    part = scale * (size * ((head @ fine[:HEAD]).float() / per))
    digits = (rest @ fine[HEAD:]).float() / per
    part = part + other * (size * ((rest @ coarse[HEAD:]).float() + digits))
    return value + part


def select(keys: torch.Tensor, best: torch.Tensor, k: int) -> torch.Tensor:
    """i32[R, k] the ads with the greatest keys, by row; equal keys by the lower row; then -1."""
    return best_of(keys, k)


def best_of(keys: torch.Tensor, k: int) -> torch.Tensor:
    """i32[R, k] positions of the greatest keys in ascending order, then -1."""
    width = keys.shape[1]
    order = torch.sort(keys, dim=1, descending=True, stable=True)
    found = torch.where(order.values == LEAST, width, order.indices)[:, :k].sort(dim=1).values
    found = torch.nn.functional.pad(found, (0, max(0, k - width)), value=width)
    return torch.where(found == width, -1, found).to(torch.int32)


def slots_of(
    tensors: Tensors, batch: Batch, words: torch.Tensor, kinds: torch.Tensor, ads: torch.Tensor
) -> torch.Tensor:
    """i32[B, n] slots that each ad (-1: none) may fill in its request."""
    opened = open_slots(tensors, batch, words)
    there = ads.clamp(min=0).long()
    lines = torch.gather(opened, 1, tensors.line_of[there].long())
    fits = torch.gather(kinds, 1, tensors.kind[there].long()) & lines
    return torch.where(ads >= 0, fits, 0)
