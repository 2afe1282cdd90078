"""Shares held in several scopes at once, floors beside caps, and what boosts may cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from auction_market import RICH, Ad, Request, as_dict, assert_the_rules_hold, columns
from auction_oracle import plain_auction
from numpy.typing import NDArray

from auction.columns import SCOPES, Bids, Slate, Slots
from auction.fairness import NOWHERE, SITE, Exposure
from auction.fairness_rules import FairnessRule, Mode, ScopeKind
from auction.mechanism import run_auction
from auction.plain_exposure import PlainExposure
from auction.settings import AuctionSettings, FairnessSettings
from auction.settings import Mode as Tier
from auction.workspace import BOOST_COST, CREDIT, RELAXED, REVENUE, SOLD

PLAIN = AuctionSettings()
PUBLISHER, PLACEMENT = ScopeKind.PUBLISHER, ScopeKind.PLACEMENT


def in_scopes(batch: tuple[Bids, Slots], scope: NDArray[np.int32]) -> tuple[Bids, Slots]:
    """The batch with the scopes [T, SCOPES] of its slots."""
    bids, slots = batch
    return bids, Slots(slots.offset, slots.floor_micros, slots.first_price, slots.seed, scope=scope)


def of_publisher(number: int, slots: int) -> NDArray[np.int32]:
    scope = np.full((slots, SCOPES), NOWHERE, np.int32)
    scope[:, ScopeKind.SITE], scope[:, PUBLISHER] = SITE, number
    return scope


def page(rng: np.random.Generator, slots: int = 1) -> Request:
    """Twelve advertisers; the first two bid most, the last two hardly anything."""
    size = np.array([6.0, 5.0, *[1.0] * 8, 0.3, 0.3])
    worth = np.exp(rng.normal(0, 0.4, size.size)) * size * 1000
    ads = tuple(Ad(ad=a + 1, advertiser=a + 1, bid=int(w) * 1000) for a, w in enumerate(worth))
    return Request(ads=ads, floors=(50_000,) * slots, seed=int(rng.integers(2**63)))


def sell(
    exposure: Exposure, requests: list[Request], scope: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int32], Slate]:
    """The advertisers of the sales, and the slate."""
    batch = columns(requests)
    bids, slots = batch if scope is None else in_scopes(batch, scope)
    slate = run_auction(bids, slots, exposure, RICH, PLAIN)
    return bids.advertiser[slate.winner], slate


RULES = (
    FairnessRule(PUBLISHER, max_share=0.3, window=15, min_eligible_advertisers=1),
    FairnessRule(PLACEMENT, max_share=0.4, window=9, min_decisions=5, floor_share=0.1),
    FairnessRule(PLACEMENT, of="quiet", mode=Mode.REPORT, max_share=0.2, floor_share=0.1),
    FairnessRule(ScopeKind.SEGMENT, max_share=1.0, floor_share=0.2, floor_budget=0.3, window=20),
)


def test_several_scopes_sell_as_the_plain_auction_does(rng):
    """Pages of up to four slots in every mixture of scopes, caps and floors."""
    boosted = 0
    for _ in range(15):
        caps = FairnessSettings(0.2, 25, steps=int(rng.integers(2, 9)), rules=RULES)
        compiled, plain = Exposure(caps), PlainExposure(caps)
        scopes = known_scopes(compiled, plain)
        for _ in range(20):
            requests = [page(rng, int(rng.integers(1, 5))) for _ in range(4)]
            bids, slots = columns(requests)
            scope = np.array([[rng.choice(kind) for kind in scopes] for _ in slots.floor_micros])
            bids, slots = in_scopes((bids, slots), scope.astype(np.int32))
            rules = AuctionSettings(advertiser_once=bool(rng.random() < 0.5))

            slate = run_auction(bids, slots, compiled, RICH, rules)

            assert as_dict(plain_auction(bids, slots, plain, RICH, rules)) == as_dict(slate)
            assert_the_rules_hold(bids, slots, slate, RICH, rules)
            assert compiled.check() == []
            for number, one in plain.scopes.items():
                assert compiled.total(SOLD, number) == one.sold
                assert compiled.total(RELAXED, number) == one.relaxed
                assert compiled.total(CREDIT, number) == one.credit
                assert compiled.total(BOOST_COST, number) == one.boost_cost
        boosted += compiled.total(BOOST_COST, compiled.scope(ScopeKind.SEGMENT, "s"))
    assert boosted > 0


def known_scopes(compiled: Exposure, plain: PlainExposure) -> list[list[int]]:
    """By kind, the numbers that a slot may have; all known to the oracle."""
    keys = {PUBLISHER: "pq", PLACEMENT: ["top", "quiet"], ScopeKind.SEGMENT: "s"}
    scopes = [[SITE, NOWHERE]]
    for kind, names in keys.items():
        numbers = [compiled.scope(kind, name) for name in names]
        for name, number in zip(names, numbers, strict=True):
            ruled = {rule.of: rule for rule in RULES if rule.scope is kind}
            plain.scopes[number] = plain.of(ruled.get(name, ruled.get("*")))
        scopes.append([*numbers, NOWHERE])
    return scopes


def test_a_publisher_may_be_stricter_than_the_site(rng):
    """Uncapped elsewhere, a giant has at most a tenth of the sales of the publisher that asks."""
    rule = FairnessRule(PUBLISHER, of="daily", max_share=0.1, window=400)
    exposure = Exposure(FairnessSettings(max_share=1.0, rules=(rule,)))
    daily = exposure.scope(PUBLISHER, "daily")
    sold = {"daily": [], "other": []}
    for number in range(120):
        name = ("daily", "other")[number % 2]
        scope = of_publisher(exposure.scope(PUBLISHER, name), 32)
        sold[name] += sell(exposure, [page(rng) for _ in range(32)], scope)[0].tolist()

    shares = {name: np.bincount(sales[-800:], minlength=3) / 800 for name, sales in sold.items()}

    assert exposure.scope(PUBLISHER, "other") == NOWHERE
    assert max(exposure.shares(daily).values()) <= 0.105
    assert shares["daily"][1] < 0.12
    assert shares["other"][1] > 0.4


def test_each_placement_has_a_window_of_its_own():
    rule = FairnessRule(PLACEMENT, max_share=0.5, window=10)
    exposure = Exposure(FairnessSettings(max_share=1.0, rules=(rule,)))
    top, side = (exposure.scope(PLACEMENT, key) for key in ("top", "side"))

    for _ in range(4):
        exposure.remember(1, 10**9, top)
    exposure.remember(2, 10**9, side)

    assert exposure.shares(top) == {1: 1.0}
    assert exposure.shares(side) == {2: 1.0}
    assert exposure.shares(SITE) == {}
    assert exposure.dual(1, top) > 0 == exposure.dual(1, side)
    assert exposure.check() == []


def test_a_rule_for_one_key_comes_before_the_rule_for_each():
    rules = FairnessRule(PUBLISHER, max_share=0.4), FairnessRule(PUBLISHER, of="p", max_share=0.2)

    exposure = Exposure(FairnessSettings(rules=rules))

    limits = [exposure.caps.rule[exposure.scope(PUBLISHER, key), 3] for key in ("p", "q")]
    assert limits == [2_100, 4_200]


def test_scopes_past_the_most_have_no_cap_and_are_counted():
    rule = FairnessRule(PLACEMENT, max_share=0.2, window=10)
    exposure = Exposure(FairnessSettings(rules=(rule,), most_scopes=2))

    scopes = [exposure.scope(PLACEMENT, key) for key in ("a", "b", "c", "a", "c")]

    assert scopes == [1, 2, NOWHERE, 1, NOWHERE]
    assert exposure.uncovered == 2


def test_a_rule_waits_for_its_first_decisions(rng):
    """Without them a cap of a tenth would bind from the eleventh sale on."""
    exposure = Exposure(FairnessSettings(rules=(FairnessRule(max_share=0.1, min_decisions=64),)))

    early, slate = sell(exposure, [page(rng) for _ in range(64)])
    later = [sell(exposure, [page(rng) for _ in range(64)])[1] for _ in range(4)]

    assert slate.winner.tolist() == slate.plain_winner.tolist()
    assert np.bincount(early)[1] > 20
    assert any((one.winner != one.plain_winner).any() for one in later)


def test_a_rule_that_only_reports_changes_nothing_and_says_what_a_cap_would_have_met(rng):
    rule = FairnessRule(max_share=0.1, window=100, mode=Mode.REPORT, floor_share=0.05)
    exposure = Exposure(FairnessSettings(rules=(rule,)))

    slates = [sell(exposure, [page(rng) for _ in range(32)])[1] for _ in range(10)]

    for slate in slates:
        assert slate.winner.tolist() == slate.plain_winner.tolist()
    assert exposure.relaxed > 50
    assert exposure.sold == 320


def test_boosts_never_cost_more_than_their_part_of_the_revenue(rng):
    """At every moment: what boosted sales were cheaper by, summed, is within the budget. And the
    more may be spent, the more is shown of the ten that are no giants."""
    pages, small = [page(rng) for _ in range(4_800)], []
    for budget in (0.0, 0.002, 0.02, 0.2):
        rule = FairnessRule(max_share=1.0, floor_share=0.04, floor_budget=budget, window=1_000)
        exposure, spent = Exposure(FairnessSettings(rules=(rule,))), 0
        shown: list[int] = []
        for start in range(0, len(pages), 16):
            winners, slate = sell(exposure, pages[start : start + 16])
            shown += winners.tolist()
            spent += int(np.maximum(slate.plain_clear_micros - slate.clear_micros, 0).sum())

            assert exposure.boost_cost_micros <= budget * exposure.total(REVENUE, SITE)
            assert exposure.total(CREDIT, SITE) >= 0
        assert spent == exposure.boost_cost_micros
        small.append(float((np.array(shown[-2_000:]) > 2).mean()))

    assert small[0] < 0.01
    assert 0 <= small[1] < small[2] < small[3]
    assert small[3] > 0.25


def test_a_boost_lowers_no_price_below_the_floor_and_raises_none_above_the_bid(rng):
    rule = FairnessRule(max_share=1.0, floor_share=0.2, floor_budget=1.0, window=50)
    exposure = Exposure(FairnessSettings(rules=(rule,)))
    boosted = 0
    for _ in range(40):
        bids, slots = columns([page(rng, 2) for _ in range(8)])

        slate = run_auction(bids, slots, exposure, RICH, PLAIN)

        assert_the_rules_hold(bids, slots, slate, RICH, PLAIN)
        boosted += int((slate.dual < 0).any())
    assert boosted > 30


def test_an_advertiser_above_its_floor_has_no_boost():
    rule = FairnessRule(max_share=1.0, floor_share=0.1, floor_budget=1.0, window=20)
    exposure = Exposure(FairnessSettings(rules=(rule,)))
    exposure.memory.clock[SITE, CREDIT] = 10**9

    for sale in range(40):
        exposure.remember(1 + sale % 5, 10**9)

    assert [exposure.boost(advertiser) for advertiser in range(1, 6)] == [0] * 5
    assert exposure.boost(77) > 0


def test_bad_rules_are_all_named():
    rules = (
        FairnessRule(max_share=0.0, window=0),
        FairnessRule(PUBLISHER, min_eligible_advertisers=9),
        FairnessRule(PUBLISHER, max_share=0.1, floor_share=0.2),
        FairnessRule(ScopeKind.SITE, of="home"),
    )

    mistakes = list(FairnessSettings(rules=rules, most_scopes=0).problems())

    assert mistakes == [
        "fairness[site *].max_share must be 0.0001 to 1.0, not 0.0",
        "fairness[site *].window must be 1 to 10000000, not 0",
        "fairness[publisher *].min_eligible_advertisers must be 0 to 8, not 9",
        "fairness[publisher *].floor_share must be below max_share",
        "fairness[publisher *] has neither a max_share below 1 nor a floor_share",
        "fairness[publisher *] is given twice",
        "fairness[site home] has neither a max_share below 1 nor a floor_share",
        "fairness: more rules than most_scopes (0)",
        "fairness.most_scopes (0) must be 1 to 65536",
    ]


def test_a_guaranteed_tier_delivers_past_every_cap_and_uses_none_of_it(rng):
    """Its contract is not an auction: neither held back by the share, nor counted in it."""
    exposure = Exposure(FairnessSettings(0.2, 50, steps=2))
    settings = AuctionSettings(modes={10: Tier.GUARANTEED})
    promised = Ad(ad=99, advertiser=1, bid=1_000_000, tier=10)
    pages = [page(rng) for _ in range(160)]
    for number, request in enumerate(pages[::2]):
        pages[2 * number] = replace(request, ads=(*request.ads, promised))

    bids, slots = columns(pages)
    slate = run_auction(bids, slots, exposure, RICH, settings)

    assert (bids.ad[slate.winner[::2]] == 99).all()
    assert exposure.sold == 80
    assert 0 < exposure.held(1) <= 10
    assert exposure.relaxed == 0
