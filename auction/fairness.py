"""What each advertiser has had of the last sales, and the dual prices that hold its share.

Knows advertisers and scopes as ids and values as integers; no clock, no requests, no I/O.

Shares are held in several scopes at once: the site, and publishers, placements or segments that a
`FairnessRule` names. In each an advertiser's dual price rises by one step when it wins and falls
by `max_share` of a step with every sale, so it settles where the share is met (additive dual price
of online resource allocation: Balseiro, Lu, Mirrokni, "Regularized Online Allocation Problems",
2021). The hard limit of 1.05 of the share over the ring of the last sales holds while the price is
still learning; who would have won but for the limit has its price raised all the same. Below a
floor share the same price has the opposite sign: it raises the advertiser's score with every sale
that goes elsewhere, as far as a part of the revenue pays for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, SCOPES
from auction.fairness_rules import EVERY, FairnessRule, Mode, ScopeKind
from auction.kernels import boost_now, dual_now, move_entries, place_of, remember_sale
from auction.settings import FairnessSettings
from auction.workspace import (
    BOOST_COST,
    BOOSTED,
    CLOCK,
    COUNTS,
    ENTRY,
    HELD,
    KEY,
    RELAXED,
    RULE,
    SOLD,
    START,
    TYPICAL,
    VACANT,
    WINDOW,
    Caps,
    Memory,
)

SITE = 0
"""The scope that every slot is in."""
NOWHERE = -1
LEAST_ENTRIES = 1 << 12


class Exposure:
    """The sliding windows and dual prices of one worker.

    A share kept by every worker is kept by their sum, so workers need not talk.
    """

    def __init__(self, settings: FairnessSettings) -> None:
        self.settings = settings
        self.uncovered = 0
        """Slots without their cap, because `most_scopes` were counted already."""
        self._rules = {(rule.scope, rule.of): rule for rule in settings.every_rule if rule.counts}
        self._scopes: dict[tuple[ScopeKind, str], int] = {}
        clock = np.zeros((settings.most_scopes + 1, CLOCK), np.int64)
        clock[:, TYPICAL] = settings.typical_cpm_micros * MILLE
        self.caps = Caps(
            on=bool(self._rules), rule=np.zeros((settings.most_scopes + 1, RULE), np.int64)
        )
        self.memory = Memory(
            entry=_vacant(LEAST_ENTRIES),
            used=np.zeros(1, np.int64),
            ring=np.zeros(0, np.int32),
            clock=clock,
        )
        self._add(ScopeKind.SITE, EVERY, settings.site)
        for rule in settings.every_rule[1:]:
            if rule.of != EVERY:  # whatever else appears, it has its place
                self._add(rule.scope, rule.of, rule)

    @property
    def kinds(self) -> frozenset[ScopeKind]:
        """Beside the site: what a slot's scopes have to be looked up for."""
        return frozenset(kind for kind, _ in self._rules) - {ScopeKind.SITE}

    def scope(self, kind: ScopeKind, key: str) -> int:
        """Index of this publisher, placement or segment; NOWHERE when no rule is about it."""
        if kind is ScopeKind.SITE:
            return SITE
        known = self._scopes.get((kind, key))
        if known is not None:
            return known
        rule = self._rules.get((kind, key)) or self._rules.get((kind, EVERY))
        if rule is None or not key:
            return NOWHERE
        if len(self._scopes) > self.settings.most_scopes:
            self.uncovered += 1
            return NOWHERE
        return self._add(kind, key, rule)

    def prepare(self, sales: int) -> None:
        """Make room for the sales of a batch, whoever they go to; what is remembered stays."""
        needed = int(self.memory.used[0]) + sales * SCOPES
        if 2 * needed <= len(self.memory.entry):
            return
        size = len(self.memory.entry)
        while size < 4 * needed:
            size *= 2
        entry = _vacant(size)
        self.memory.used[0] = move_entries(self.memory, self.caps, entry)
        self.memory = self.memory._replace(entry=entry)

    @property
    def sold(self) -> int:
        return self.total(SOLD, SITE)

    @property
    def relaxed(self) -> int:
        """Sales of the site made past its hard limit, because the slot would have stayed empty or
        too few others could have bought it."""
        return self.total(RELAXED, SITE)

    @property
    def boost_cost_micros(self) -> int:
        """Per thousand impressions: by how much boosted sales of the site were cheaper."""
        return self.total(BOOST_COST, SITE)

    @property
    def boosted(self) -> int:
        return self.total(BOOSTED, SITE)

    def total(self, what: int, scope: int) -> int:
        return int(self.memory.clock[scope, what])

    def dual(self, advertiser: int, scope: int = SITE) -> int:
        """Dual price in value units, as the next auction will charge it."""
        return int(dual_now(self.memory.clock[scope], self._entry(scope, advertiser)))

    def boost(self, advertiser: int, scope: int = SITE) -> int:
        """What the next auction will add to the advertiser's score, in value units."""
        clock, rule = self.memory.clock[scope], self.caps.rule[scope]
        return int(boost_now(clock, rule, self._entry(scope, advertiser)))

    def held(self, advertiser: int, scope: int = SITE) -> int:
        """Sales of the advertiser in the scope's window."""
        return int(self._entry(scope, advertiser)[HELD])

    def shares(self, scope: int = SITE) -> dict[int, float]:
        """Of the window, by advertiser."""
        window = self._window(scope)
        advertiser, sales = np.unique(window, return_counts=True)
        return dict(zip(advertiser.tolist(), (sales / max(1, window.size)).tolist(), strict=True))

    def remember(self, advertiser: int, value: int, scope: int = SITE) -> None:
        """Count one sale of this value, as the auction does for each slot it sells."""
        self.prepare(1)
        if self.caps.rule[scope, COUNTS]:
            remember_sale(self.memory, self.caps, scope, advertiser, value, advertiser, value)

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        faults = [fault for scope in range(len(self._scopes)) for fault in self._check(scope)]
        if int((self.memory.entry[:, KEY] != VACANT).sum()) != self.memory.used[0]:
            faults.append("the table holds more or fewer entries than it counts")
        return faults

    def _check(self, scope: int) -> list[str]:
        entry = self.memory.entry[self.memory.entry[:, KEY] >> 32 == scope]
        window, rule = self._window(scope), self._rule_of(scope)
        advertiser, sales = np.unique(window, return_counts=True)
        some = entry[entry[:, HELD] != 0]
        held = dict(zip((some[:, KEY] & 0xFFFFFFFF).tolist(), some[:, HELD].tolist(), strict=True))
        faults = []
        if held != dict(zip(advertiser.tolist(), sales.tolist(), strict=True)):
            faults.append(f"{rule.name}: the counts are not those of the ring")
        if rule.counts and window.size != min(self.total(SOLD, scope), rule.window):
            faults.append(f"{rule.name}: the ring does not hold the last sales")
        past = sales.max(initial=0) > max(rule.hard_limit, rule.min_decisions)
        if past and self.total(RELAXED, scope) == 0:
            faults.append(f"{rule.name}: past the hard limit though no sale was relaxed")
        return faults

    def _window(self, scope: int) -> NDArray[np.int32]:
        start = int(self.caps.rule[scope, START])
        ring = self.memory.ring[start : start + int(self.caps.rule[scope, WINDOW])]
        return ring[ring >= 0]

    def _entry(self, scope: int, advertiser: int) -> NDArray[np.int64]:
        table = self.memory.entry
        entry: NDArray[np.int64] = table[place_of(table, scope, advertiser)]
        return entry

    def _rule_of(self, scope: int) -> FairnessRule:
        kind, key = list(self._scopes)[scope]
        if kind is ScopeKind.SITE:
            return self.settings.site
        return self._rules.get((kind, key)) or self._rules[kind, EVERY]

    def _add(self, kind: ScopeKind, key: str, rule: FairnessRule) -> int:
        scope = len(self._scopes)
        self._scopes[kind, key] = scope
        start = sum(self.caps.rule[:scope, WINDOW].tolist())
        window = rule.window if rule.counts else 0
        self.caps.rule[scope] = _row(rule, self.settings.steps, start, window)
        missing = start + window - len(self.memory.ring)
        if missing > 0:
            more = np.full(max(missing, len(self.memory.ring)), -1, np.int32)
            self.memory = self.memory._replace(ring=np.concatenate([self.memory.ring, more]))
        return scope


def _row(rule: FairnessRule, steps: int, start: int, window: int) -> list[int]:
    """In the order of `workspace.COUNTS` and those after it."""
    floor = rule.floor_bp if rule.mode is Mode.CAP else 0
    return [
        int(rule.counts),
        int(rule.caps),
        rule.share_bp,
        rule.hard_limit,
        steps,
        window,
        start,
        rule.min_decisions,
        rule.min_eligible_advertisers,
        floor,
        rule.budget_bp,
    ]


def _vacant(size: int) -> NDArray[np.int64]:
    entry = np.zeros((size, ENTRY), np.int64)
    entry[:, KEY] = VACANT
    return entry
