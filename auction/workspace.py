"""The columns that the compiled auction works on: what it reads, remembers and writes.

Named tuples, because numba takes them apart at the door at no cost. No rules here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auction.fairness_rules import MOST_RIVALS

I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Code = NDArray[np.uint8]
Flag = NDArray[np.bool_]

NEXT, SOLD, DECAY, RISE, TYPICAL, RELAXED, REVENUE, CREDIT, BOOSTED, BOOST_COST, OWED = range(11)
"""Meaning of a row of `Memory.clock`, of one scope: next place in its ring, sales, how far dual
prices have fallen and boosts have risen so far, median value, sales past the hard limit; prices per
thousand impressions, in micros: of all sales, left for boosts, spent on `BOOSTED` sales, and what
the page being written down owes."""
CLOCK = 11

KEY, HELD, DUAL, SEEN, BOOST, RISEN = range(6)
"""Meaning of a row of `Memory.entry`: scope and advertiser, sales in the scope's window, dual price
in value units when it was last written and `clock[DECAY]` then, boost and `clock[RISE]` then."""
ENTRY = 8
"""Whole cache lines."""
VACANT = -1
"""Key of a place in the table that nobody has."""

COUNTS, CAPPING, SHARE_BP, LIMIT, STEPS, WINDOW, START, LEAST, RIVALS, FLOOR_BP, BUDGET_BP = range(
    11
)
"""Meaning of a row of `Caps.rule`, of one scope: whether it counts at all, whether it caps, largest
share, sales in the window that are past the hard cap, sales that move a dual price by the median,
length of the window and its begin in the ring, sales before it acts, others able to buy that a cap
needs, least share, part of revenue for boosts."""
RULE = 11


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

    entry: I64
    """[a power of two, ENTRY] hashed by scope and advertiser; less than half full."""
    used: I64
    """[1] entries that somebody has."""
    ring: I32
    """[sum of the windows] advertisers of the last sales of each scope, -1 where none yet."""
    clock: I64
    """[scopes, CLOCK]"""


class Rules(NamedTuple):
    increment: int
    """In value units."""
    advertiser_once: bool
    modes: Code
    """[256] `settings.Mode` by tier."""


class Caps(NamedTuple):
    """`settings.FairnessSettings` in whole numbers."""

    on: bool
    rule: I64
    """[scopes, RULE]"""


NO_CAPS = Caps(on=False, rule=np.zeros((1, RULE), np.int64))


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

    unit: I64
    """[n] bid for one billable event."""
    value: I64
    """[S, n] what one impression is worth to the bidder."""
    rank: I64
    """[S, n] bid for one event times its weight; the same memory as `value` without weights."""
    score: I64
    """[S, n] by what rows of a tier are compared; page.NOT_BIDDING when out of the running."""
    passes: U32
    """[n] of `affords`, slots whose floor it meets."""
    allowed: U32
    """[n] slots that the row fits and may buy."""
    affords: U32
    """[n] of these, slots whose price it could pay with its whole bid."""
    order: U32
    """[n] rows that are alive as the page is opened, tier by tier; unsigned, so that indexing need
    not ask whether to count from the end."""
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
    rivals: I64
    """[S] advertisers that pass, at most MOST_RIVALS."""
    known: I64
    """[MOST_RIVALS] who they are, while they are counted."""
    kept: U32
    """[4, n] passes, affords, alive and code as the page was opened."""


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


class Lottery(NamedTuple):
    """Slots given away by lot, and what is to be known of the chances of all."""

    on: bool
    explore: Flag
    """[B] one slot of the request goes by lot."""
    eligible: I32
    """[T] written, as the next three: rows that could be drawn for the slot."""
    among: Flag
    greedy: I32
    explored: Flag
    could: U32
    """[n] of a page: slots for which the row could be drawn."""

    @classmethod
    def sized(cls, explore: Flag | None, slots: int, rows: int) -> Lottery:
        """`rows` of the greatest page. Empty when nothing is explored."""
        on = explore is not None
        total = slots if on else 0
        return cls(
            on=on,
            explore=np.zeros(0, np.bool_) if explore is None else explore,
            eligible=np.zeros(total, np.int32),
            among=np.zeros(total, np.bool_),
            greedy=np.full(total, -1, np.int32),
            explored=np.zeros(total, np.bool_),
            could=np.zeros(rows if on else 0, np.uint32),
        )


class Desk(NamedTuple):
    """Room for the greatest page of a batch; what is [S, n] on a page is flat."""

    unit: I64
    value: I64
    rank: I64
    score: I64
    passes: U32
    allowed: U32
    affords: U32
    order: U32
    by_tier: I64
    alive: Flag
    most: I64
    dual: I64
    room: I64
    code: Code
    best: I64
    second: I64
    rivals: I64
    known: I64
    kept: U32

    @classmethod
    def sized(cls, rows: int, slots: int) -> Desk:
        return cls(
            unit=np.empty(rows, np.int64),
            value=np.empty(rows * slots, np.int64),
            rank=np.empty(rows * slots, np.int64),
            score=np.empty(rows * slots, np.int64),
            passes=np.empty(rows, np.uint32),
            allowed=np.empty(rows, np.uint32),
            affords=np.empty(rows, np.uint32),
            order=np.empty(rows, np.uint32),
            by_tier=np.empty(256, np.int64),
            alive=np.empty(rows, np.bool_),
            most=np.empty(rows, np.int64),
            dual=np.empty(rows * slots, np.int64),
            room=np.empty(rows * slots, np.int64),
            code=np.empty(rows, np.uint8),
            best=np.empty(slots, np.int64),
            second=np.empty(slots, np.int64),
            rivals=np.empty(slots, np.int64),
            known=np.empty(MOST_RIVALS, np.int64),
            kept=np.empty(rows * 4, np.uint32),
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
