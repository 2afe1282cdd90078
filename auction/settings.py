"""What an operator decides about the auction; values only, each with how to choose it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BASIS_POINTS = 10_000
"""Shares are whole basis points inside the auction, so that a replay needs no floats."""


@dataclass(frozen=True, slots=True)
class AuctionSettings:
    increment_micros: int = 10_000
    """What a winner pays above its runner-up, per thousand impressions. Higher earns a little and
    makes more winners pay their whole bid; 0 makes the price the exact critical value."""

    minimum_floor_micros: int = 10_000
    """Least price per thousand impressions anywhere, so that a lone bidder never pays 0."""

    advertiser_once: bool = True
    """Competitive exclusion: an advertiser fills at most one slot of a page."""

    def problems(self) -> Iterator[str]:
        if self.increment_micros < 0:
            yield f"auction.increment_micros ({self.increment_micros}) must not be negative"
        if self.minimum_floor_micros < 1:
            yield f"auction.minimum_floor_micros ({self.minimum_floor_micros}) must be at least 1"


@dataclass(frozen=True, slots=True)
class FairnessSettings:
    max_share: float = 0.15
    """Share of the last `window` sales that one advertiser should not exceed; 1 switches the cap
    off. Below 1 / (advertisers able to bid) most sales can only be made past the cap."""

    window: int = 10_000
    """Sales looked back on. Longer is smoother and forgives bursts; each worker has its own."""

    steps: int = 20
    """A sale raises its advertiser's dual price by the median winning value over this. Fewer
    steps follow demand faster and make prices noisier."""

    typical_cpm_micros: int = 1_000_000
    """First guess of the median winning bid; learnt from the sales within a few hundred."""

    def problems(self) -> Iterator[str]:
        if not 0 < self.max_share <= 1:
            yield f"fairness.max_share ({self.max_share}) must be above 0 and at most 1"
        if self.window < 1:
            yield f"fairness.window ({self.window}) must be at least 1"
        if self.steps < 1:
            yield f"fairness.steps ({self.steps}) must be at least 1"
        if self.typical_cpm_micros < 1:
            yield f"fairness.typical_cpm_micros ({self.typical_cpm_micros}) must be at least 1"

    @property
    def share_bp(self) -> int:
        return round(self.max_share * BASIS_POINTS)

    @property
    def hard_limit(self) -> int:
        """Sales in a window at which an advertiser steps back: 1.05 of its share, rounded."""
        return max(1, self.window * self.share_bp * 21 // (20 * BASIS_POINTS))
