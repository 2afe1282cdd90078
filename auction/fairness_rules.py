"""Which advertisers' shares are held, where, and by what means; values only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

BASIS_POINTS = 10_000
"""Shares are whole basis points inside the auction, so that a replay needs no floats."""
EVERY = "*"
MOST_RIVALS = 9
"""Advertisers able to buy a slot are counted up to this."""


class ScopeKind(IntEnum):
    """Whose sales are added up; the columns of `Slots.scope`."""

    SITE = 0
    PUBLISHER = 1
    PLACEMENT = 2
    SEGMENT = 3


class Mode(StrEnum):
    CAP = "cap"
    REPORT = "report"  # counts what a cap would have met, and changes nothing


@dataclass(frozen=True, slots=True)
class FairnessRule:
    scope: ScopeKind = ScopeKind.SITE
    of: str = EVERY
    """One publisher, placement or segment by its key, or each of them for itself ("*")."""

    max_share: float = 1.0
    """Share of the last `window` sales that one advertiser should not exceed; 1: no cap. Below
    1 / (advertisers able to bid) most sales can only be made past the cap."""

    window: int = 10_000
    """Sales looked back on, of this scope and worker. For "an hour", the scope's sales in one."""

    min_decisions: int = 0
    """Sales in a scope before its rule acts; a new placement has its first ones in any order."""

    min_eligible_advertisers: int = 2
    """A cap binds in a slot only where this many others meet the floor and can pay: what is
    taken from one should go to a market, not to the only rival."""

    mode: Mode = Mode.CAP

    floor_share: float = 0.0
    """An advertiser below this share has its score raised (never its price), so that small and
    new ones are shown at all; 0: none. Reached only as far as `floor_budget` pays for it."""

    floor_budget: float = 0.01
    """Part of the scope's revenue that raised scores may cost, counted exactly."""

    def problems(self) -> Iterator[str]:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                yield f"{self.name}.{name} must be {least} to {most}, not {getattr(self, name)}"
        if self.floor_share and self.floor_share >= self.max_share:
            yield f"{self.name}.floor_share must be below max_share"
        if not self.of or (self.scope is ScopeKind.SITE and self.of != EVERY):
            yield f'{self.name}.of must be "*", or the key of what is not the site'

    @property
    def name(self) -> str:
        return f"fairness[{self.scope.name.lower()} {self.of}]"

    @property
    def share_bp(self) -> int:
        return round(self.max_share * BASIS_POINTS)

    @property
    def floor_bp(self) -> int:
        return round(self.floor_share * BASIS_POINTS)

    @property
    def budget_bp(self) -> int:
        return round(self.floor_budget * BASIS_POINTS)

    @property
    def hard_limit(self) -> int:
        """Sales in a window at which an advertiser steps back: 1.05 of its share, rounded."""
        return max(1, self.window * self.share_bp * 21 // (20 * BASIS_POINTS))

    @property
    def caps(self) -> bool:
        return self.share_bp < BASIS_POINTS and self.mode is Mode.CAP

    @property
    def counts(self) -> bool:
        """False when the rule asks for nothing at all."""
        return self.share_bp < BASIS_POINTS or self.floor_bp > 0


_BOUNDS = {
    "max_share": (0.0001, 1.0),
    "window": (1, 10_000_000),
    "min_decisions": (0, 10_000_000),
    "min_eligible_advertisers": (0, MOST_RIVALS - 1),
    "floor_share": (0.0, 0.5),
    "floor_budget": (0.0, 1.0),
}


def contradictions(rules: Sequence[FairnessRule]) -> Iterator[str]:
    """Rules that ask for nothing, and two for one scope: which one held would be luck."""
    seen: set[tuple[ScopeKind, str]] = set()
    for rule in rules:
        if (rule.scope, rule.of) in seen:
            yield f"{rule.name} is given twice"
        if not rule.counts:
            yield f"{rule.name} has neither a max_share below 1 nor a floor_share"
        seen.add((rule.scope, rule.of))
