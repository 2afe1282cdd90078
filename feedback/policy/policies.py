"""Policies to be asked about, by their names on a command line.

baseline        what was decided, whatever chance had a part in it
greedy          the auction as it was, without exploration
gamma=0.8       click rates squashed: 1 ranks by expected value, less lets bids count for more
floor=+10%      slot floors so much higher (-10%: lower)
bid             greedy by bid: whatever the click rate, a click counts as a typical one
model=8         the auction with the click rates of another version (whose scores the caller has)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from adserver.errors import ConfigError
from auction.columns import PPM, Bids, Slots
from auction.squash import Squash
from feedback.replay.changes import Amount, Changes

FORMS = "baseline, greedy, gamma=0.8, floor=+10%, bid or model=8"
Rates = Callable[[AuctionRecord], NDArray[np.int64] | None]
"""[R, S] click rates in millionths that another model gives on a page; None where it cannot."""
_FLOOR = re.compile(r"floor=([+-]?\d+(?:\.\d+)?)%")
_GAMMA = re.compile(r"gamma=(\d+(?:\.\d+)?)")
TYPICAL_PPM = Squash().reference_ppm
MOST_FLOOR = 1000.0
"""Percent above which a change is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Ranks and floors of its own; the rest of the auction as it was, and nothing by lot."""

    name: str
    changes: Changes
    by_bid_ppm: int = 0
    """Above 0: every click counts as one of this rate."""
    rates: Rates | None = None

    def bids_on(self, page: AuctionRecord) -> Bids | None:
        """The bids of a recorded page; None where nobody knows what they would have been."""
        if self.rates is None:
            return self.bids(page.bids)
        ppm = self.rates(page)
        return None if ppm is None else _with_rates(page.bids, ppm)

    def bids(self, bids: Bids) -> Bids:
        if self.by_bid_ppm:
            rank = np.where(bids.per_click[:, None], self.by_bid_ppm, PPM)
            return replace(bids, weight_ppm=np.broadcast_to(rank, bids.pctr_ppm.shape).copy())
        return self.changes.bids(bids)

    def slots(self, slots: Slots) -> Slots:
        return self.changes.slots(replace(slots, explore=None, explore_ppm=None))


def _with_rates(bids: Bids, ppm: NDArray[np.int64]) -> Bids:
    """Other click rates; ranks that are weighed otherwise than by them move in proportion."""
    weight = bids.weight_ppm
    if weight is not None:
        moved = np.rint(weight * (ppm / bids.pctr_ppm)).astype(np.int64)
        weight = np.where(bids.per_click[:, None], np.maximum(moved, 1), weight)
    return replace(bids, pctr_ppm=ppm, weight_ppm=weight)


def policy_of(text: str, reference_ppm: int = TYPICAL_PPM) -> Policy:
    """ConfigError says what would be understood."""
    floor, gamma = _FLOOR.fullmatch(text), _GAMMA.fullmatch(text)
    if text == "greedy":
        return Policy(text, Changes())
    if text == "bid":
        return Policy(text, Changes(), by_bid_ppm=reference_ppm)
    if gamma:
        squash = Squash(float(gamma[1]), reference_ppm)
        mistakes = [f"--policy {text}: {problem}" for problem in squash.problems()]
        if mistakes:
            raise ConfigError(mistakes)
        return Policy(text, Changes(squash=squash))
    if floor and -100 < float(floor[1]) <= MOST_FLOOR:
        return Policy(text, Changes(floor=Amount(times=1 + float(floor[1]) / 100)))
    raise ConfigError([f"--policy {text!r} is none of {FORMS}"])
