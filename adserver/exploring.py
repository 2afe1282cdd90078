"""On which pages a slot goes by lot, and with what probability each ad came to stand where it is.

Chance comes from the seed of the decision, so that a replay explores what was explored. Which slot
and who is drawn is the auction's to say (`auction.kernels.exploring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adserver.encode import Encoded
from adserver.request import AdRequest
from auction.columns import PPM, Slate, Slots

_COIN = np.uint64(0x8EBC6AF09C88C6E3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def exploring(encoded: Encoded, requests: Sequence[AdRequest], share: float) -> Encoded:
    """The batch with a share of its requests to be explored, tests never among them.

    As it was where the share is 0.
    """
    if share <= 0:
        return encoded
    slots, ppm = encoded.slots, round(share * PPM)
    test = np.array([request.test for request in requests], np.bool_)
    return replace(
        encoded,
        slots=replace(
            slots,
            explore=to_explore(slots.seed, ppm) & ~test,
            explore_ppm=np.where(test, 0, ppm).astype(np.int32),
        ),
    )


def to_explore(seed: NDArray[np.uint64], ppm: int) -> NDArray[np.bool_]:
    """[B] true of `ppm` in a million requests, by the seeds [B] of their decisions."""
    x = (seed ^ _COIN) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    mixed = x ^ (x >> np.uint64(31))  # splitmix64
    explored: NDArray[np.bool_] = mixed % np.uint64(PPM) < np.uint64(ppm)
    return explored


@dataclass(frozen=True, slots=True)
class Chances:
    """[T] of the slots of a batch."""

    shown: NDArray[np.float64]
    """Probability that the winner stands there; 0 beside an explored slot, where nobody knows."""
    used: NDArray[np.float64]
    """Probability that the slot is not beside an explored one: the sum of `shown` over all ads."""


def propensities(slots: Slots, slate: Slate) -> NDArray[np.float32]:
    """[T] probability of each slot's winner among what could have stood there; NaN where unknown.

    1 where chance had no part. Meaningless where nobody won.
    """
    chances = chances_of(slots, slate)
    known = chances.shown > 0  # not beside an explored slot
    return np.where(known, chances.shown / chances.used, np.nan).astype(np.float32)


def chances_of(slots: Slots, slate: Slate, one_in: int = 1) -> Chances:
    """What `Chances` says, of pages of which all were kept whose slot was to be drawn, and one in
    so many of the others.

    With ε of the kept pages to be explored, s slots on the page that somebody could be drawn for,
    and m rows that could be drawn for this one,

        shown = (1 - ε)·[greedy] + ε/s/m·[could be drawn],  used = 1 - ε + ε/s·[m > 0]

    and 1 where s is 0.
    """
    if slots.explore_ppm is None or slate.eligible is None or slate.among is None:
        return Chances(np.ones(len(slate.winner)), np.ones(len(slate.winner)))
    count = np.diff(slots.offset)
    owner = np.repeat(np.arange(len(count)), count)
    share = slots.explore_ppm / PPM
    share = share / (share + (1 - share) / one_in)
    possible = slate.eligible > 0
    open_slots = np.bincount(owner, possible, len(count))
    part = (share / np.maximum(open_slots, 1))[owner] * possible
    usual = np.where(open_slots > 0, 1 - share, 1.0)[owner]
    shown = usual * (slate.winner == slate.greedy)
    shown += part / np.maximum(slate.eligible, 1) * slate.among
    explored = slate.explored
    if explored is not None and explored.any():
        beside = (np.bincount(owner, explored, len(count))[owner] > 0) & ~explored
        shown[beside] = 0.0
    return Chances(shown, usual + part)
