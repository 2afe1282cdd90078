"""Whose shares of exposure are held, as an operator writes it down: JSON into rules."""

from __future__ import annotations

from typing import Literal

import msgspec

from auction.fairness_rules import EVERY, FairnessRule, Mode, ScopeKind


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    """As an operator writes it; the defaults are those of `FairnessRule`."""

    scope: Literal["site", "publisher", "placement", "segment"]
    of: str = EVERY
    max_share: float = 1.0
    window: int = 10_000
    min_decisions: int = 0
    min_eligible_advertisers: int = 2
    mode: Literal["cap", "report"] = "cap"
    floor_share: float = 0.0
    floor_budget: float = 0.01

    def rule(self) -> FairnessRule:
        fields = msgspec.structs.asdict(self)
        fields |= {"scope": ScopeKind[self.scope.upper()], "mode": Mode(self.mode)}
        return FairnessRule(**fields)


def read_rules(text: str) -> tuple[FairnessRule, ...]:
    """The rules of a JSON list; none for an empty text. ValueError says what is wrong, and where.

    Whether the rules make sense, they say themselves (`FairnessSettings.problems`).
    """
    if not text.strip():
        return ()
    try:
        return tuple(rule.rule() for rule in msgspec.json.decode(text, type=list[_Rule]))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
