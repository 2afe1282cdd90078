"""Which slots go by lot, and with what probability each ad came to stand where it stood.

Chance comes from the decision's own seed, so that a replay explores what was explored. Who is
drawn is the auction's to say (`auction.kernels.exploring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adserver.encode import Encoded
from adserver.request import AdRequest
from auction.columns import PPM, Slate, Slots

_COIN, _PLACE = np.uint64(0x8EBC6AF09C88C6E3), np.uint64(0x589965CC75374CC3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def exploring(encoded: Encoded, requests: Sequence[AdRequest], share: float) -> Encoded:
    """The batch with a slot named in a share of its requests, tests never among them.

    As it was where the share is 0.
    """
    if share <= 0:
        return encoded
    slots, ppm = encoded.slots, round(share * PPM)
    drawn = places(slots.seed, np.diff(slots.offset), ppm)
    test = np.array([request.test for request in requests], np.bool_)
    return replace(
        encoded,
        slots=replace(
            slots,
            explore=np.where(test, np.int8(-1), drawn),
            explore_ppm=np.where(test, 0, ppm).astype(np.int32),
        ),
    )


def places(seed: NDArray[np.uint64], slots: NDArray[np.int32], ppm: int) -> NDArray[np.int8]:
    """[B] of `ppm` of a million requests one of their slots, each as likely; -1 of all others.

    `seed` and `slots` [B]. 64 bits modulo a small number: exact to 2**-44.
    """
    explored = _mixed(seed ^ _COIN) % np.uint64(PPM) < np.uint64(ppm)
    place = _mixed(seed ^ _PLACE) % np.maximum(slots, 1).astype(np.uint64)
    return np.where(explored & (slots > 0), place.astype(np.int8), np.int8(-1))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


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
    chance = np.where(chances.shown > 0, chances.shown / chances.used, np.nan)
    return np.where(beside_explored(slots, slate), np.nan, chance).astype(np.float32)


def chances_of(slots: Slots, slate: Slate, one_in: int = 1) -> Chances:
    """What `Chances` says, of pages of which all were kept whose slot was to be drawn, and one in
    so many of the others.

    With ε of the kept pages to be explored, S slots of which k have nobody to draw (they are sold
    as ever), and m rows that could be drawn for this one,

        shown = g·[greedy] + ε/S/m·[could be drawn],  used = g + ε/S·[m > 0],  g = 1 - ε + ε·k/S
    """
    count = np.diff(slots.offset)
    owner = np.repeat(np.arange(len(count)), count)
    if slots.explore_ppm is None or slate.eligible is None or slate.among is None:
        return Chances(np.ones(len(owner)), np.ones(len(owner)))
    share = slots.explore_ppm / PPM
    share = share / (share + (1 - share) / one_in)
    possible = slate.eligible > 0
    part = (share / np.maximum(count, 1))[owner]
    usual = (1 - share)[owner] + part * np.bincount(owner, ~possible, len(count))[owner]
    shown = usual * (slate.winner == slate.greedy)
    shown += part / np.maximum(slate.eligible, 1) * slate.among
    return Chances(np.where(beside_explored(slots, slate), 0.0, shown), usual + part * possible)


def beside_explored(slots: Slots, slate: Slate) -> NDArray[np.bool_]:
    """[T] another slot of its page was given away, this one was not."""
    explored = slate.explored
    if explored is None:
        return np.zeros(len(slate.winner), np.bool_)
    count = np.diff(slots.offset)
    owner = np.repeat(np.arange(len(count)), count)
    beside: NDArray[np.bool_] = (np.bincount(owner, explored, len(count))[owner] > 0) & ~explored
    return beside
