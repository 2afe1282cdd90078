"""What a living market is made of, and the abrupt shifts that may be asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MONDAY_S = 1_767_571_200.0
"""2026-01-05 00:00 UTC, a Monday, in wall seconds."""
DAY_S = 86_400.0


class ShiftKind(StrEnum):
    CLICKS_FALL = "clicks_fall"
    """In the country or on the device `of`, only 1 - size of the clicks are left."""

    INTERESTS_SWAP = "interests_swap"
    """A share `size` of users turn at once from each popular topic to an unpopular one and back."""

    DOMAIN_FLOODS = "domain_floods"
    """A domain without any visit so far, `of` or a usual one, takes a share `size` of all visits.

    They come on top of the usual ones, and ads are clicked a third as often there.
    """

    SEGMENTS_VANISH = "segments_vanish"
    """The provider of a share `size` of the segments falls silent: no visit carries them."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Something that changes at the beginning of an hour, for good; nothing changes before it."""

    day: int
    hour: int
    """0-23, UTC."""
    kind: ShiftKind
    size: float
    """0 < size <= 1; below 1 for DOMAIN_FLOODS."""
    of: str = ""
    """Name of a country or device (CLICKS_FALL), of a domain (DOMAIN_FLOODS), otherwise empty."""

    def problems(self) -> Iterator[str]:
        if self.day < 0 or not 0 <= self.hour <= 23:
            yield f"day {self.day}, hour {self.hour}: a shift begins at hour 0-23 of day 0 or later"
        if not 0 < self.size <= 1 or (self.kind is ShiftKind.DOMAIN_FLOODS and self.size == 1):
            yield f"{self.kind}: size {self.size} must be above 0 and at most 1 (a flood: below 1)"
        if self.kind is ShiftKind.CLICKS_FALL and not self.of:
            yield f"{self.kind}: of must name a country or a device"


@dataclass(frozen=True, slots=True)
class MarketSettings:
    seed: int = 1
    """Draws ads, users and visits; equal settings are equal markets."""

    ads: int = 5_000
    """In flight at any time, about."""

    visits_per_day: int = 100_000
    """Of a usual weekday; a visit has 1.7 slots."""

    days: int = 14
    """How many days see new ads. Any later day can be played, with the ads that are left."""

    new_share: float = 0.03
    """Of `ads`: begin each midnight; as many end."""

    visits_per_user: float = 12.0
    """A day, on average; few visit often. More makes a user's history tell more."""

    click_log_odds: float = 0.0
    """Added to the log-odds of every click of a person. 1.4 is some four times as many clicks: a
    small market then teaches a model what otherwise takes four times the visits."""

    drift_days: float = 10.0
    """How long a user keeps a main interest, on average; half of it is spent turning to the next.
    Infinity for users who never change."""

    lag_days: float = 1.5
    """By how much segments are behind the users' interests."""

    bots: float = 0.01
    """Share of visits."""

    budget_usd_per_visit: float = 0.05
    """Daily budgets of all campaigns in flight together. A visit earns about a tenth of a cent to
    one cent; budgets are heavy-tailed, so that some bind even where the sum is ample."""

    start_s: float = MONDAY_S
    """Midnight of day 0, wall seconds."""

    world: int = 1
    """Seed of the vocabularies. 1 has the words that the shipped model and the demo know."""

    shifts: tuple[Shift, ...] = ()

    def problems(self) -> Iterator[str]:
        for name in ("ads", "visits_per_day", "days", "visits_per_user", "drift_days"):
            if not getattr(self, name) > 0:
                yield f"{name} must be above 0"
        if not 0 <= self.new_share < 1:
            yield f"new_share ({self.new_share}) must lie in 0 ... 1"
        if not 0 <= self.bots < 1:
            yield f"bots ({self.bots}) must lie in 0 ... 1"
        if self.lag_days < 0 or self.budget_usd_per_visit <= 0:
            yield "lag_days must not be negative, and budget_usd_per_visit must be above 0"
        if self.start_s % DAY_S:
            yield f"start_s ({self.start_s}) must be a midnight, UTC"
        for shift in self.shifts:
            yield from shift.problems()

    @property
    def users(self) -> int:
        return max(1, round(self.visits_per_day / self.visits_per_user))

    def midnight_s(self, day: int) -> float:
        return self.start_s + day * DAY_S
