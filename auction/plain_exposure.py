"""The same shares and dual prices brought up to date at every sale, in plain Python.

The oracle of `kernels.exposure`, as `auction.plain` is that of the rest: one dictionary per scope.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from auction.columns import MILLE
from auction.fairness_rules import BASIS_POINTS, FairnessRule, Mode
from auction.settings import FairnessSettings

ENDLESS = 2**62


@dataclass(slots=True)
class PlainScope:
    """One window: of the site, a publisher, a placement or a segment."""

    rule: FairnessRule
    steps: int
    typical: int
    """Median value of a sale, as far as it is known."""
    dual: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    boost: dict[int, int] = field(default_factory=dict)
    newcomers_boost: int = 0
    held: Counter[int] = field(default_factory=Counter)
    window: deque[int] = field(default_factory=deque)
    sold: int = 0
    relaxed: int = 0
    credit: int = 0
    boost_cost: int = 0

    def dual_of(self, advertiser: int, rivals: int) -> int:
        return self.dual[advertiser] if self.binds(rivals) else 0

    def room(self, advertiser: int, rivals: int) -> int:
        return self.rule.hard_limit - self.held[advertiser] if self.binds(rivals) else ENDLESS

    def binds(self, rivals: int) -> bool:
        acts = self.rule.caps and self.sold >= self.rule.min_decisions
        return acts and rivals > self.rule.min_eligible_advertisers

    def boost_of(self, advertiser: int) -> int:
        if self.rule.mode is not Mode.CAP or self.sold < self.rule.min_decisions:
            return 0
        if self.held[advertiser] * BASIS_POINTS >= self.rule.floor_bp * len(self.window):
            return 0
        spendable = (self.credit - 2 * MILLE) * MILLE
        risen = self.boost.get(advertiser, self.newcomers_boost)
        return max(0, min(risen, self.typical, spendable))

    def earn(self, clear: int, owed: int) -> None:
        budget = self.rule.budget_bp
        most = min(self.typical // MILLE, 10**10) * self.rule.window // BASIS_POINTS * budget
        saved = self.credit + clear * budget // BASIS_POINTS
        self.credit = min(saved, max(most, self.credit)) - owed
        self.boost_cost += owed

    def remember(self, advertiser: int, value: int, back: tuple[int, int] | None = None) -> None:
        """`back`: who would have won but for a hard cap, and what the slot is worth to it."""
        step = max(1, self.typical // self.steps)
        self.let_go(step)
        raised, worth = back if back and self.is_full(back[0]) else (advertiser, value)
        now = self.dual[raised]
        self.dual[raised] = max(now, min(now + step, worth))
        risen = self.boost.get(advertiser, self.newcomers_boost)
        self.boost[advertiser] = max(0, min(risen, self.typical) - step)
        late = self.sold >= self.rule.min_decisions
        self.relaxed += late and self.held[advertiser] >= self.rule.hard_limit
        if len(self.window) == self.rule.window:
            self.held[self.window.popleft()] -= 1
        self.window.append(advertiser)
        self.held[advertiser] += 1
        self.sold += 1
        nudge = self.typical // 64 + 1
        self.typical = max(1, self.typical + (nudge if value > self.typical else -nudge))

    def is_full(self, advertiser: int) -> bool:
        return self.rule.caps and self.held[advertiser] >= self.rule.hard_limit

    def let_go(self, step: int) -> None:
        """Every dual price falls, every boost rises."""
        fall = step * self.rule.share_bp // BASIS_POINTS
        rise = step * (self.rule.floor_bp if self.rule.mode is Mode.CAP else 0) // BASIS_POINTS
        for anyone in self.dual:
            self.dual[anyone] = max(0, self.dual[anyone] - fall)
        for anyone in self.boost:
            self.boost[anyone] += rise
        self.newcomers_boost += rise


class PlainExposure:
    """`fairness.Exposure`; scopes have the numbers that it gave them."""

    def __init__(self, settings: FairnessSettings) -> None:
        self.settings = settings
        self.scopes = {0: self.of(settings.site)} if settings.site.counts else {}

    def of(self, rule: FairnessRule) -> PlainScope:
        return PlainScope(rule, self.settings.steps, self.settings.typical_cpm_micros * MILLE)

    @property
    def relaxed(self) -> int:
        return self.scopes[0].relaxed if 0 in self.scopes else 0

    def known(self, scopes: Iterable[int]) -> list[PlainScope]:
        return [self.scopes[scope] for scope in scopes if scope in self.scopes]

    def dual(self, scopes: Iterable[int], advertiser: int, rivals: int) -> int:
        return sum(
            scope.dual_of(advertiser, rivals) - scope.boost_of(advertiser)
            for scope in self.known(scopes)
        )

    def room(self, scopes: Iterable[int], advertiser: int, rivals: int) -> int:
        rooms = [scope.room(advertiser, rivals) for scope in self.known(scopes)]
        return min(rooms, default=ENDLESS)

    def remember(
        self,
        advertiser: int,
        value: int,
        scopes: Iterable[int] = (0,),
        back: tuple[int, int] | None = None,
    ) -> None:
        for scope in self.known(scopes):
            scope.remember(advertiser, value, back)
