"""An operator's fairness rules, and the scopes that they give to the slots of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from adserver.errors import ConfigError
from adserver.request import AdRequest, Slot
from adserver.settings import Settings, from_environment
from adserver.share_rules import read_rules
from adserver.shares import in_scopes
from auction.columns import Slots
from auction.fairness import NOWHERE, Exposure
from auction.fairness_rules import FairnessRule, Mode, ScopeKind

RULES = """[
  {"scope": "publisher", "max_share": 0.4, "window": 5000, "min_decisions": 200},
  {"scope": "placement", "of": "top", "max_share": 0.25, "min_eligible_advertisers": 3},
  {"scope": "segment", "of": "hiking", "floor_share": 0.01, "floor_budget": 0.005},
  {"scope": "site", "max_share": 0.2, "mode": "report"}
]"""


@dataclass(frozen=True)
class Batch:
    """What of an encoded batch has to do with scopes."""

    slots: Slots


def batch(slots: int) -> Batch:
    return Batch(
        Slots(
            offset=np.array([0, slots], np.int32),
            floor_micros=np.zeros(slots, np.int64),
            first_price=np.zeros(1, np.bool_),
            seed=np.zeros(1, np.uint64),
        )
    )


def test_rules_are_read_from_json():
    assert read_rules(RULES) == (
        FairnessRule(ScopeKind.PUBLISHER, max_share=0.4, window=5000, min_decisions=200),
        FairnessRule(ScopeKind.PLACEMENT, of="top", max_share=0.25, min_eligible_advertisers=3),
        FairnessRule(ScopeKind.SEGMENT, of="hiking", floor_share=0.01, floor_budget=0.005),
        FairnessRule(ScopeKind.SITE, max_share=0.2, mode=Mode.REPORT),
    )


def test_without_rules_the_old_settings_are_the_sites_rule():
    fairness = from_environment({"FAIRNESS_CAP": "0.3", "FAIRNESS_WINDOW": "500"}).fairness

    assert fairness.every_rule == (FairnessRule(max_share=0.3, window=500),)


def test_a_rule_of_the_site_replaces_the_old_settings():
    rules = Settings(fairness_rules=RULES).fairness.every_rule

    assert rules[0] == FairnessRule(max_share=0.2, mode=Mode.REPORT)
    assert [rule.scope for rule in rules].count(ScopeKind.SITE) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expected `array`, got `object`"),
        ('[{"scope": "zone"}]', "'zone' - at `$[0].scope`"),
        ('[{"scope": "site", "share": 0.2}]', "unknown field `share`"),
        ('[{"scope": "site", "max_share": "all"}]', "at `$[0].max_share`"),
        ('[{"scope": "publisher", "max_share": 7}]', "fairness[publisher *].max_share"),
        ('[{"scope": "publisher"}]', "neither a max_share"),
    ],
)
def test_a_broken_rule_is_told_with_its_setting(text, told):
    with pytest.raises(ConfigError) as error:
        from_environment({"FAIRNESS_RULES": text, "PORT": "0"})

    mistakes = error.value.mistakes
    assert any("FAIRNESS_RULES" in mistake and told in mistake for mistake in mistakes)
    assert any("PORT" in mistake for mistake in mistakes)


def test_slots_of_a_page_share_all_scopes_but_their_placements():
    exposure = Exposure(Settings(fairness_rules=RULES).fairness)
    page = AdRequest(
        "r",
        (Slot("1", placement="top"), Slot("2", placement="side"), Slot("3", placement="top")),
        publisher="daily",
        segments=("skiing", "hiking"),
    )

    scope = in_scopes(batch(3), [page], exposure).slots.scope

    daily, top, hiking = (
        exposure.scope(kind, key)
        for kind, key in (
            (ScopeKind.PUBLISHER, "daily"),
            (ScopeKind.PLACEMENT, "top"),
            (ScopeKind.SEGMENT, "hiking"),
        )
    )
    assert NOWHERE not in {daily, top, hiking}
    assert scope.tolist() == [
        [0, daily, top, hiking],
        [0, daily, NOWHERE, hiking],
        [0, daily, top, hiking],
    ]


def test_a_page_of_nobody_we_know_counts_for_the_site_alone():
    exposure = Exposure(Settings(fairness_rules=RULES).fairness)

    scope = in_scopes(batch(1), [AdRequest("r", (Slot("1"),))], exposure).slots.scope

    assert scope.tolist() == [[0, NOWHERE, NOWHERE, NOWHERE]]


def test_a_cap_of_the_site_alone_leaves_the_batch_as_it_was():
    plain = batch(1)

    assert in_scopes(plain, [AdRequest("r", (Slot("1"),))], Exposure(Settings().fairness)) is plain
