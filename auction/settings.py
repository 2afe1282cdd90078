"""What an operator decides about the auction; values only, each with how to choose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from auction.fairness_rules import EVERY, FairnessRule, ScopeKind, contradictions

MOST_SCOPES = 65_536
"""More windows than this are a mistake: they would take gigabytes."""
MOST_TIER = 100
MOST_INCREMENT = 1_000_000
"""A dollar a thousand: more would price no auction, and less keeps products in 64 bits."""


GSP, VCG = "gsp", "vcg"
MECHANISMS = (GSP, VCG)


class Mode(IntEnum):
    """How the rows of one tier compete."""

    AUCTION = 0  # the greatest rank wins and pays its critical bid
    GUARANTEED = 1  # the most urgent contract wins and pays its bid
    WEIGHTED = 2  # one is drawn, each with probability in proportion to its share; it pays its bid


@dataclass(frozen=True, slots=True)
class AuctionSettings:
    increment_micros: int = 10_000
    """What a winner pays above its runner-up, per thousand impressions. Higher earns a little and
    makes more winners pay their whole bid; 0 makes the price the exact critical value."""

    minimum_floor_micros: int = 10_000
    """Least price per thousand impressions anywhere, so that a lone bidder never pays 0."""

    advertiser_once: bool = True
    """Competitive exclusion: an advertiser fills at most one slot of a page."""

    mechanism: str = GSP
    """How the slots of one page are auctioned. gsp: one after the other, each at the least bid that
    would still have won it. vcg: all together, each winner at what it costs the others, which makes
    the true value the best bid even with several slots; the increment is not asked."""

    modes: Mapping[int, Mode] = field(default_factory=dict)
    """How the rows of a tier (1 to 100) compete; AUCTION where nothing is said. Give sponsorships
    and guaranteed contracts tiers of their own above the auction."""

    def problems(self) -> Iterator[str]:
        if not 0 <= self.increment_micros <= MOST_INCREMENT:
            yield (
                f"auction.increment_micros ({self.increment_micros}) must be 0 to {MOST_INCREMENT}"
            )
        if self.minimum_floor_micros < 1:
            yield f"auction.minimum_floor_micros ({self.minimum_floor_micros}) must be at least 1"
        if self.mechanism not in MECHANISMS:
            yield f"auction.mechanism must be {GSP} or {VCG}, not {self.mechanism!r}"
        for tier in sorted(self.modes):
            if not 1 <= tier <= MOST_TIER:
                yield f"auction.modes: tier {tier} must be 1 to {MOST_TIER}"


@dataclass(frozen=True, slots=True)
class FairnessSettings:
    max_share: float = 0.15
    """Of the whole site; like the next two it is the site's `FairnessRule`. 1 switches it off."""

    window: int = 10_000
    """Sales looked back on. Longer is smoother and forgives bursts; each worker has its own."""

    steps: int = 20
    """A sale raises its advertiser's dual price by the median winning value over this. Fewer
    steps follow demand faster and make prices noisier."""

    typical_cpm_micros: int = 1_000_000
    """First guess of the median winning bid; learnt from the sales within a few hundred."""

    min_eligible_advertisers: int = 2
    """Others who must be able to buy a slot before the site's cap binds in it."""

    rules: tuple[FairnessRule, ...] = ()
    """Of publishers, placements and segments; one of the site replaces the fields above."""

    most_scopes: int = 256
    """Publishers, placements and segments that are counted at once, each with a window of its own.
    Those that appear when there are so many already have no cap, and are counted."""

    def problems(self) -> Iterator[str]:
        for rule in self.every_rule:
            yield from rule.problems()
        yield from contradictions(self.rules)
        if sum(rule.of != EVERY for rule in self.rules) > self.most_scopes:
            yield f"fairness: more rules than most_scopes ({self.most_scopes})"
        if self.steps < 1:
            yield f"fairness.steps ({self.steps}) must be at least 1"
        if self.typical_cpm_micros < 1:
            yield f"fairness.typical_cpm_micros ({self.typical_cpm_micros}) must be at least 1"
        if not 1 <= self.most_scopes <= MOST_SCOPES:
            yield f"fairness.most_scopes ({self.most_scopes}) must be 1 to {MOST_SCOPES}"

    @property
    def site(self) -> FairnessRule:
        for rule in self.rules:
            if rule.scope is ScopeKind.SITE:
                return rule
        return FairnessRule(
            max_share=self.max_share,
            window=self.window,
            min_eligible_advertisers=self.min_eligible_advertisers,
        )

    @property
    def every_rule(self) -> tuple[FairnessRule, ...]:
        """The site's first."""
        return self.site, *(rule for rule in self.rules if rule.scope is not ScopeKind.SITE)
