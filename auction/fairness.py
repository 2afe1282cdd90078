"""What each advertiser has had of the last sales, and the dual prices that hold its share.

Knows advertisers as dense ids and values as integers; no clock, no requests, no I/O.

An advertiser's dual price rises by one step when it wins and falls by `max_share` of a step with
every sale, so it settles where the share is met (additive dual price of online resource
allocation: Balseiro, Lu, Mirrokni, "Regularized Online Allocation Problems", 2021). The hard limit
of 1.05 of the share over the ring of the last sales holds while the price is still learning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, SCOPES
from auction.kernels import dual_now, remember
from auction.settings import BASIS_POINTS, FairnessSettings
from auction.workspace import CLOCK, RELAXED, SOLD, TYPICAL, Caps, Memory

EVERYWHERE = np.array([0] + [-1] * (SCOPES - 1), np.int32)
"""The scope of the whole site alone."""


class Exposure:
    """The sliding window and dual prices of one worker.

    A share kept by every worker is kept by their sum, so workers need not talk.
    """

    def __init__(self, settings: FairnessSettings, advertisers: int = 1) -> None:
        self.settings = settings
        self.caps = Caps(
            on=settings.share_bp < BASIS_POINTS,
            share_bp=settings.share_bp,
            limit=settings.hard_limit,
            steps=settings.steps,
        )
        clock = np.zeros(CLOCK, np.int64)
        clock[TYPICAL] = settings.typical_cpm_micros * MILLE
        self.memory = Memory(
            held=np.zeros(advertisers, np.int64),
            dual=np.zeros(advertisers, np.int64),
            seen=np.zeros(advertisers, np.int64),
            ring=np.full(settings.window, -1, np.int32),
            clock=clock,
        )

    @property
    def sold(self) -> int:
        return int(self.memory.clock[SOLD])

    @property
    def relaxed(self) -> int:
        """Sales made past the hard limit, because the slot would have stayed empty."""
        return int(self.memory.clock[RELAXED])

    def cover(self, advertisers: int) -> None:
        """Make room for ids below `advertisers`; what is remembered stays."""
        missing = advertisers - self.memory.held.size
        if missing > 0:
            more = np.zeros(max(missing, self.memory.held.size), np.int64)
            self.memory = self.memory._replace(
                held=np.concatenate([self.memory.held, more]),
                dual=np.concatenate([self.memory.dual, more]),
                seen=np.concatenate([self.memory.seen, more]),
            )

    def dual(self, advertiser: int) -> int:
        """Dual price in value units, as the next auction will charge it."""
        return int(dual_now(self.memory, advertiser))

    def capped(self, advertiser: int) -> bool:
        return bool(self.memory.held[advertiser] >= self.settings.hard_limit)

    def shares(self) -> NDArray[np.float64]:
        """Share of each advertiser in the window."""
        return self.memory.held / max(1, min(self.sold, self.memory.ring.size))

    def remember(self, advertiser: int, value: int, relaxed: bool = False) -> None:
        """Count one sale of this value, as the auction does for each slot it sells."""
        self.cover(advertiser + 1)
        remember(self.memory, self.caps, EVERYWHERE, advertiser, value, relaxed)

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        memory = self.memory
        held = memory.ring[memory.ring >= 0]
        faults = []
        if not np.array_equal(np.bincount(held, minlength=memory.held.size), memory.held):
            faults.append("the counts are not those of the ring")
        if held.size != min(self.sold, memory.ring.size):
            faults.append(f"the ring holds {held.size} of {self.sold} sales")
        if memory.dual.min(initial=0) < 0:
            faults.append("a dual price is negative")
        if self.relaxed == 0 and memory.held.max(initial=0) > self.settings.hard_limit:
            faults.append("an advertiser is past the hard limit though no sale was relaxed")
        return faults
