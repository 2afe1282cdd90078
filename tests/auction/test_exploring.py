"""Slots given away by lot: to whom, how often, at what price, and what else that changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from auction_crowd import Crowd, crowd, some_money, some_settings
from auction_market import RICH, Ad, Request, as_dict, assert_the_rules_hold, columns
from auction_oracle import plain_auction
from scipy.stats import chi2

from adserver.auctions.again import PLENTY
from auction.columns import LEVELS, Bids, Rejection, Slate, Slots
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.plain_exposure import PlainExposure
from auction.settings import GSP, VCG, AuctionSettings, FairnessSettings, Mode

RULES = AuctionSettings(modes={10: Mode.GUARANTEED})
PAGE = Request(
    ads=(
        Ad(ad=1, advertiser=1, bid=4_000_000),
        Ad(ad=2, advertiser=2, bid=3_000_000),
        Ad(ad=3, advertiser=3, bid=200_000, ppm=(5_000,)),
        Ad(ad=4, advertiser=4, bid=100_000),
        Ad(ad=5, advertiser=1, bid=1_000_000, slots=0b01),
    ),
    floors=(500_000, 600_000),
)
"""Ad 4 is below the floors; ad 5 shares an advertiser with ad 1."""


def explored(slots: Slots, explore: bool = True) -> Slots:
    return replace(slots, explore=np.full(len(slots.seed), explore))


def some_exploring(rng: np.random.Generator, slots: Slots) -> Slots:
    return replace(slots, explore=rng.random(len(slots.seed)) < 0.7)


@pytest.mark.parametrize("mechanism", [GSP, VCG])
@pytest.mark.parametrize("all_rules", [False, True])
def test_explored_batches_sell_as_the_plain_auction_does(rng, mechanism, all_rules):
    """Tiers, deals, packages, caps and budgets; with the chances of every slot."""
    shape = Crowd(slots=3, rows=8, all_rules=all_rules)
    lots = barred = 0
    for _ in range(10):
        caps = FairnessSettings(max_share=rng.choice([0.15, 0.3, 0.5]), window=20, steps=7)
        compiled, plain = Exposure(caps), PlainExposure(caps)
        for _ in range(10):
            bids, slots = crowd(rng, shape)
            slots = some_exploring(rng, slots)
            money, rules = some_money(rng), some_settings(rng, mechanism=mechanism)

            slate = run_auction(bids, slots, compiled, money, rules)

            assert as_dict(slate) == as_dict(plain_auction(bids, slots, plain, money, rules))
            assert_the_rules_hold(bids, slots, slate, money, rules)
            assert slate.explored is not None
            lots += int(slate.explored.sum())
            barred += int((slate.rejected == Rejection.EXPLORED).sum())
    assert lots > 5
    assert barred > 0 or all_rules


def test_a_batch_in_which_nothing_is_drawn_is_sold_as_if_nothing_could_be(rng):
    for _ in range(30):
        bids, slots = crowd(rng, Crowd(all_rules=True))
        money, rules = some_money(rng), some_settings(rng)
        caps = FairnessSettings(max_share=0.3, window=20)

        off = as_dict(run_auction(bids, slots, Exposure(caps), money, rules))
        none = as_dict(run_auction(bids, explored(slots, False), Exposure(caps), money, rules))

        assert {name: none[name] for name in off} == off
        assert none["greedy"] == off["winner"]


def test_a_drawn_slot_costs_its_floor_and_the_rest_of_the_page_is_sold_around_it():
    winners = {}
    for seed in range(64):
        bids, slots = columns([replace(PAGE, seed=seed)])

        slate = run_auction(bids, explored(slots), None, RICH, RULES)

        assert slate.explored is not None
        assert slate.explored.sum() == 1
        if slate.explored[1]:
            continue
        assert slate.runner_up[0] == -1
        winners[int(slate.winner[0])] = (int(slate.clear_micros[0]), int(slate.winner[1]))
    # Ad 3 bids per click, at half a percent: the floor is a whole 100000 micros a click.
    assert winners == {0: (500_000, 1), 1: (500_000, 0), 2: (500_000, 0), 4: (500_000, 1)}


def test_each_row_that_could_buy_is_drawn_equally_often():
    """And each slot: the second has three that could buy it."""
    (first, able), (second, others) = (frequencies(PAGE, place, pages=8_000) for place in (0, 1))

    assert (able, others) == (4, 3)
    assert first[3] == 0
    assert second[3] == second[4] == 0
    counts = np.concatenate([first[[0, 1, 2, 4]], second[:3]])
    expected = np.repeat([1_000, 4_000 / 3], [4, 3])
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 6)


def frequencies(page: Request, place: int, pages: int) -> tuple[np.ndarray, int]:
    """How often each row was drawn for the place, and how many are said to have had the chance."""
    bids, slots = columns(
        [replace(page, seed=seed * 0x9E3779B97F4A7C15 % 2**64) for seed in range(pages)]
    )
    slate = run_auction(bids, explored(slots), None, RICH, RULES)
    first = slots.offset[:-1] + place
    assert slate.eligible is not None
    assert slate.explored is not None
    won = (slate.winner[first] - bids.offset[:-1])[slate.explored[first]]
    return np.bincount(won, minlength=len(page.ads)), int(slate.eligible[first[0]])


@pytest.mark.parametrize(
    "page",
    [
        replace(PAGE, first_price=True),
        replace(PAGE, ads=(*PAGE.ads, Ad(ad=9, advertiser=9, bid=5_000_000, tier=10))),
        replace(PAGE, ads=(*PAGE.ads, Ad(ad=9, advertiser=9, bid=5_000_000, deal=3))),
        replace(PAGE, ads=(*PAGE.ads, Ad(ad=9, advertiser=9, bid=5_000_000, package=3))),
    ],
    ids=["first prices", "contracts", "deals", "packages"],
)
def test_what_was_promised_is_never_given_away_by_lot(page):
    bids, slots = columns([page])

    slate = run_auction(bids, explored(slots), None, RICH, RULES)

    assert slate.explored is not None
    assert slate.eligible is not None
    assert not slate.explored.any()
    assert not slate.eligible.any()
    assert slate.winner.tolist() == run_auction(bids, slots, None, RICH, RULES).winner.tolist()


def test_a_later_tier_has_no_part_in_the_lot():
    house = Ad(ad=9, advertiser=9, bid=5_000_000, tier=80)

    frequency, eligible = frequencies(replace(PAGE, ads=(*PAGE.ads, house)), 0, pages=400)

    assert eligible == 4
    assert frequency[5] == 0


def test_an_advertiser_past_its_share_is_not_drawn():
    caps = FairnessSettings(max_share=0.2, window=10, min_eligible_advertisers=1)
    for seed in range(40):
        exposure = Exposure(caps)
        for _ in range(200):
            exposure.remember(1, value=50_000_000)
        bids, slots = columns([replace(PAGE, seed=seed)])

        slate = run_auction(bids, explored(slots), exposure, RICH, RULES)

        assert slate.eligible is not None
        assert slate.eligible[0] == 2
        assert slate.winner[0] in {1, 2}
        assert not slate.relaxed.any()


def test_an_explored_page_is_repeated_on_its_recorded_terms(rng):
    """Also by whom the slot would have been bought otherwise."""
    exposure = Exposure(FairnessSettings(max_share=0.3, window=20, steps=7))
    plenty = np.full(12 * LEVELS, PLENTY)
    for _ in range(40):
        bids, slots = crowd(rng, Crowd(all_rules=True))
        slots = some_exploring(rng, slots)
        slate = run_auction(bids, slots, exposure, plenty, RULES)

        again = run_auction(bids, slots, slate, plenty, RULES)

        assert as_dict(again) == as_dict(slate)
        assert otherwise(bids, slots, slate) == slate_column(slate.greedy)


def otherwise(bids: Bids, slots: Slots, terms: Slate) -> list[int]:
    plenty = np.full(12 * LEVELS, PLENTY)
    return run_auction(bids, replace(slots, explore=None), terms, plenty, RULES).winner.tolist()


def slate_column(column: np.ndarray | None) -> list[int]:
    assert column is not None
    return column.tolist()


def test_a_lot_for_each_request_is_wanted():
    bids, slots = columns([PAGE])

    with pytest.raises(ValueError, match="2 requests to explore of 1"):
        run_auction(bids, replace(slots, explore=np.zeros(2, np.bool_)), None, RICH, RULES)
