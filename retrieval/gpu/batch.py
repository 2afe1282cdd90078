"""A batch of requests on the device, and the rows that its slots and tiers make of it.

A request whose slots all take the same ads, in a catalogue without tiers, is one row. Every group
of slots that take different ads, and every tier, is a row of its own: the same request, asked
which ads are best for some slots among some line items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.gpu.asks import ATTRIBUTE, PLACEMENT, SECURE, SIZE, SLOTS, Asks
from retrieval.gpu.columns import Columns


class Batch(NamedTuple):
    """B requests, R rows."""

    ask: torch.Tensor
    """i32[B, asks.WIDTH]"""
    vector: torch.Tensor
    """f32[B, E + 1]"""
    request: torch.Tensor
    """i32[R] the request of each row."""
    mask: torch.Tensor
    """i32[R] the slots (bits) for which ads are sought."""
    tier: torch.Tensor
    """i32[R]"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which row asks what; the host's side of `Batch`."""

    request: NDArray[np.int32]
    mask: NDArray[np.uint32]
    tier: NDArray[np.int32]

    @classmethod
    def of(cls, asks: Asks, columns: Columns, tiers: Sequence[int]) -> Rows:
        """Tier by tier, all slots first, then each group of slots that accept the same ads."""
        masks = [groups_of(ask, columns) for ask in asks.ask]
        rows = [
            (request, mask, tier)
            for request, some in enumerate(masks)
            for tier in tiers
            for mask in some
        ]
        return cls(
            np.array([row[0] for row in rows], np.int32),
            np.array([row[1] for row in rows], np.uint32),
            np.array([row[2] for row in rows], np.int32),
        )

    def __len__(self) -> int:
        return len(self.request)


def batch_of(asks: Asks, rows: Rows, device: torch.device) -> Batch:
    parts = (asks.ask, asks.vector, rows.request, rows.mask.view(np.int32), rows.tier)
    return Batch(*(torch.from_numpy(part).to(device) for part in parts))


def groups_of(ask: NDArray[np.int32], columns: Columns) -> list[int]:
    """All slots; then, where they differ, each group of slots that accept the same ads."""
    slots = int(ask[SLOTS])
    every = (1 << slots) - 1
    if slots == 1:
        return [every]
    accepted = kind_slots(ask, columns)
    groups: dict[tuple[int, bytes], int] = {}
    for slot in range(slots):
        key = int(ask[PLACEMENT + slot]), ((accepted >> np.uint32(slot)) & 1).tobytes()
        groups[key] = groups.get(key, 0) | 1 << slot
    return [every, *groups.values()] if len(groups) > 1 else [every]


def kind_slots(ask: NDArray[np.int32], columns: Columns) -> NDArray[np.uint32]:
    """[K] slots that accept each kind of ad, as `Kinds.narrowing` has them."""
    word = ask.view(np.uint32)
    slots: NDArray[np.uint32] = word[SIZE + columns.kind_size]
    slots = np.where(columns.kind_secure != 0, slots, slots & ~word[SECURE])
    for slot in range(int(ask[SLOTS])):
        refused = columns.kind_attributes.view(np.uint32) & word[ATTRIBUTE + slot] != 0
        slots = np.where(refused, slots & ~np.uint32(1 << slot), slots)
    return slots
