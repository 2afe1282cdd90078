"""The columns that the compiled auction works on: what it reads, remembers and writes.

Named tuples, because numba takes them apart at the door at no cost. No rules here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Code = NDArray[np.uint8]
Flag = NDArray[np.bool_]

NEXT, SOLD, DECAY, TYPICAL, RELAXED = range(5)
"""Meaning of `Memory.clock`: next place in the ring, sales, decay so far, median value, relaxed."""
CLOCK = 5


class Rows(NamedTuple):
    """`columns.Bids`, contiguous."""

    offset: I32
    ad: I32
    creative: I32
    advertiser: I32
    account: I32
    """[R, LEVELS]"""
    bid: I64
    per_click: Flag
    ppm: I64
    fits: U32
    refused: Code
    tier: Code
    share: I64
    weight: I64
    """[R, S], or [R, 0] when it is the event rate."""
    full_bid: I64
    deal: I32
    floor: I64
    """In value units, -1 when it is the slot's."""
    reserve: I64
    """In value units."""
    fixed: Flag
    labels: U64
    package: I32
    kind: Code


class Places(NamedTuple):
    """`columns.Slots`, contiguous; floors raised to the minimum and in value units."""

    offset: I32
    floor: I64
    first_price: Flag
    seed: U64
    scope: I32
    """[T, SCOPES]"""
    private: Flag


class Memory(NamedTuple):
    """State of `fairness.Exposure`."""

    held: I64
    """[A] sales of each advertiser in the ring."""
    dual: I64
    """[A] dual price, in value units, when it was last written."""
    seen: I64
    """[A] `clock[DECAY]` at that moment."""
    ring: I32
    """[W] advertiser of the last sales, -1 where none yet."""
    clock: I64


class Rules(NamedTuple):
    increment: int
    """In value units."""
    advertiser_once: bool


class Caps(NamedTuple):
    """`settings.FairnessSettings` in whole numbers."""

    on: bool
    share_bp: int
    limit: int
    """Sales in the window at which an advertiser is past the hard cap."""
    steps: int


NO_CAPS = Caps(on=False, share_bp=10_000, limit=0, steps=1)


class Lots(NamedTuple):
    """The slots of one request."""

    floor: I64
    """[S] in value units."""
    first_price: bool
    seed: np.uint64
    scope: I32
    """[S, SCOPES]"""
    private: Flag
    """[S]"""


class Page(NamedTuple):
    """Work space of one request: n rows, S slots."""

    value: I64
    """[S, n] what one impression is worth to the bidder."""
    score: I64
    """[S, n] value less dual price; kernels.NOT_BIDDING when out of the running."""
    passes: U32
    """[n] slots that the row fits, can pay and whose floor it meets."""
    affords: U32
    """[n] slots that the row fits and can pay."""
    alive: Flag
    """[n] still able to win a slot."""
    most: I64
    """[n] money that all accounts of the row have, in value units."""
    dual: I64
    """[S, n] dual prices of the row's advertiser, summed over the slot's scopes and fixed for the
    page; below 0 it is a boost."""
    room: I64
    """[S, n] sales that the row's advertiser may still make in the slot before a hard cap."""
    code: Code
    """[n] what becomes of the row."""
    best: I64
    """[S] leading row, -1 when none."""
    second: I64
    """[S] leading row of another advertiser, -1 when none."""


MOST_ROOM = 127
"""Of one row in `Terms.room`: more than a page has slots is all the same."""


class Terms(NamedTuple):
    """What fairness made of each row's chances, for a record of the auction or from one."""

    given: bool
    """The auction is to be held on these, whatever the exposure; False: they are written."""
    dual: I64
    """[R, S] `Page.dual` by row."""
    room: I8
    """[R, S] `Page.room` by row, 0 to 127."""


class Desk(NamedTuple):
    """Room for the greatest page of a batch; what is [S, n] on a page is flat."""

    value: I64
    score: I64
    passes: U32
    affords: U32
    alive: Flag
    most: I64
    dual: I64
    room: I64
    code: Code
    best: I64
    second: I64

    @classmethod
    def sized(cls, rows: int, slots: int) -> Desk:
        return cls(
            value=np.empty(rows * slots, np.int64),
            score=np.empty(rows * slots, np.int64),
            passes=np.empty(rows, np.uint32),
            affords=np.empty(rows, np.uint32),
            alive=np.empty(rows, np.bool_),
            most=np.empty(rows, np.int64),
            dual=np.empty(rows * slots, np.int64),
            room=np.empty(rows * slots, np.int64),
            code=np.empty(rows, np.uint8),
            best=np.empty(slots, np.int64),
            second=np.empty(slots, np.int64),
        )


class Sales(NamedTuple):
    """[S] what became of the slots of one request, or [T] of a batch."""

    winner: I32
    runner_up: I32
    clear: I64
    charge: I64
    cost: I64
    relaxed: Flag

    @classmethod
    def sized(cls, slots: int) -> Sales:
        return cls(
            winner=np.empty(slots, np.int32),
            runner_up=np.empty(slots, np.int32),
            clear=np.empty(slots, np.int64),
            charge=np.empty(slots, np.int64),
            cost=np.empty(slots, np.int64),
            relaxed=np.empty(slots, np.bool_),
        )
