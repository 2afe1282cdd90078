"""Shares of the window, dual prices, and what a cap does to a market of giants and small shops."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import RICH, Ad, Request, columns

from auction.columns import Rejection, Slate
from auction.fairness import SITE, Exposure
from auction.mechanism import run_auction
from auction.plain_exposure import PlainExposure
from auction.settings import AuctionSettings, FairnessSettings
from auction.workspace import HELD, KEY, TYPICAL, VACANT

CAPS = FairnessSettings(max_share=0.15, window=1_000)
GIANTS = (1, 2)
SHOPS = tuple(range(3, 11))


def bid_stream(rng: np.random.Generator, pages: int) -> list[Request]:
    """Ten advertisers on every page; the giants bid five times what a small shop bids."""
    worth = np.exp(rng.normal(0, 0.5, (pages, 10))) * np.where(np.arange(10) < 2, 5000, 1000)
    return [
        Request(
            ads=tuple(Ad(ad=a + 1, advertiser=a + 1, bid=int(w) * 1000) for a, w in enumerate(row)),
            seed=seed,
        )
        for seed, row in enumerate(worth)
    ]


def sell_all(pages: list[Request], exposure: Exposure | None) -> tuple[np.ndarray, list[Slate]]:
    """The advertiser of each sale, in order, and the slates."""
    slates, sold = [], []
    for start in range(0, len(pages), 50):
        bids, slots = columns(pages[start : start + 50])
        slates.append(run_auction(bids, slots, exposure, RICH, AuctionSettings()))
        sold.append(bids.advertiser[slates[-1].winner])
    return np.concatenate(sold), slates


def greatest_share(sold: np.ndarray, window: int) -> float:
    """Of any advertiser in any window of the sales."""
    greatest = 0
    for advertiser in set(sold.tolist()):
        total = np.concatenate([[0], np.cumsum(sold == advertiser)])
        greatest = max(greatest, int((total[window:] - total[:-window]).max()))
    return greatest / window


def test_without_a_cap_two_giants_take_nearly_everything(rng):
    sold, _ = sell_all(bid_stream(rng, 3_000), None)

    assert np.isin(sold, GIANTS).mean() > 0.9


def test_a_cap_of_15_percent_holds_in_every_window(rng):
    """Nobody above 1.05 of the cap in any window, every slot sold, and no sale past the cap."""
    exposure = Exposure(CAPS)

    sold, slates = sell_all(bid_stream(rng, 8_000), exposure)

    assert greatest_share(sold, CAPS.window) <= 1.05 * CAPS.max_share
    assert all((slate.reason == Rejection.WON).all() for slate in slates)
    assert exposure.relaxed == 0
    assert exposure.check() == []


def test_the_dual_price_keeps_more_of_the_value_than_the_hard_cap_alone(rng):
    """Giants should win where they are worth most, not merely first."""
    pages = bid_stream(rng, 8_000)
    worth = np.array([[ad.bid for ad in page.ads] for page in pages])
    every = np.arange(len(pages))

    dual, _ = sell_all(pages, Exposure(CAPS))
    hard, _ = sell_all(pages, Exposure(FairnessSettings(0.15, 1_000, steps=10**12)))

    free = worth.max(axis=1).sum()
    assert free - worth[every, dual - 1].sum() < 0.9 * (free - worth[every, hard - 1].sum())


def test_the_cost_of_the_cap_is_recorded_with_each_sale(rng):
    pages = bid_stream(rng, 1_000)

    _, fair = sell_all(pages, Exposure(CAPS))
    _, free = sell_all(pages, None)

    for one, other in zip(fair, free, strict=True):
        assert one.plain_winner.tolist() == other.winner.tolist()
        assert one.plain_clear_micros.tolist() == other.clear_micros.tolist()


def test_an_advertiser_within_its_share_has_no_dual_price():
    """Its price rises with its sale and is gone long before its next one."""
    exposure = Exposure(CAPS)
    for sale in range(2_000):
        exposure.remember(1 + sale % 20, value=10**9)  # each has 5 % of the sales

    duals = sorted(exposure.dual(advertiser) for advertiser in range(1, 21))

    assert sum(dual > 0 for dual in duals) <= 7
    assert duals[0] == 0


def test_a_dual_price_rises_until_the_share_is_met():
    exposure = Exposure(CAPS)
    for sale in range(60):
        exposure.remember(1 if sale % 2 else 2 + sale, value=10**12)

    assert exposure.dual(1) > 5 * exposure.total(TYPICAL, SITE) // CAPS.steps


def test_a_dual_price_is_never_above_the_value_that_won():
    exposure = Exposure(CAPS)
    for _ in range(500):
        exposure.remember(1, value=7_000_000)

    assert exposure.dual(1) <= 7_000_000


@pytest.mark.parametrize("typical", [1, 50_000, 80_000_000])
def test_the_median_value_is_learnt_from_any_first_guess(rng, typical):
    exposure = Exposure(FairnessSettings(typical_cpm_micros=typical))
    values = np.exp(rng.normal(np.log(2_000_000), 1.0, 3_000)).astype(np.int64) * 1000

    for value in values.tolist():
        exposure.remember(1, value)

    assert exposure.total(TYPICAL, SITE) == pytest.approx(np.median(values), rel=0.35)


def test_lazy_decay_equals_decay_at_every_sale(rng):
    caps = FairnessSettings(max_share=0.2, window=30)
    lazy, eager = Exposure(caps), PlainExposure(caps)
    for _ in range(2_000):
        advertiser, value = int(rng.integers(1, 9)), int(rng.integers(1, 10**10))

        lazy.remember(advertiser, value)
        eager.remember(advertiser, value)

        dual = eager.scopes[SITE].dual
        assert [lazy.dual(a) for a in dual] == list(dual.values())


def test_a_lone_advertiser_past_its_share_is_served_and_counted_as_relaxed():
    exposure = Exposure(FairnessSettings(max_share=0.15, window=10, min_eligible_advertisers=0))
    alone = Request(ads=(Ad(ad=1, advertiser=1, bid=900_000),), floors=(300_000,))

    sold, slates = sell_all([alone] * 20, exposure)

    assert sold.tolist() == [1] * 20
    assert slates[0].relaxed.tolist() == [False] + [True] * 19
    assert slates[0].clear_micros.tolist() == [300_000] * 20
    assert exposure.relaxed == 19
    assert exposure.check() == []


def test_a_cap_does_not_bind_where_too_few_others_could_buy():
    """Two giants and one shop: the cap is for markets, not for handing a slot to the only rival."""
    exposure = Exposure(FairnessSettings(max_share=0.15, window=100))
    few = (Ad(ad=1, advertiser=1, bid=900_000), Ad(ad=2, advertiser=2, bid=400_000))
    more = (*few, Ad(ad=3, advertiser=3, bid=300_000))

    alone, slates = sell_all([Request(ads=few)] * 100, exposure)
    crowded, _ = sell_all([Request(ads=more)], exposure)

    assert alone.tolist() == [1] * 100
    assert not any(slate.relaxed.any() for slate in slates)
    assert exposure.relaxed == 85
    assert slates[-1].clear_micros.tolist() == [410_000] * 50
    assert crowded.tolist() == [2]


def test_the_dual_price_is_a_personal_reserve_never_above_the_bid():
    """Advertiser 1 must beat advertiser 2 by its dual price, and pays for that."""
    exposure = Exposure(FairnessSettings(max_share=0.15, window=10_000))
    for _ in range(3):
        exposure.remember(1, value=10**12)
    dual_cpm = exposure.dual(1) // 1000
    strong, weak = Ad(ad=1, advertiser=1, bid=900_000), Ad(ad=2, advertiser=2, bid=500_000)
    weakest = Ad(ad=3, advertiser=3, bid=400_000)

    _, slates = sell_all([Request(ads=(strong, weak, weakest))], exposure)

    assert 100_000 < dual_cpm < 400_000
    assert slates[0].clear_micros.tolist() == [-(-(500_000 + dual_cpm + 10_000) // 1000) * 1000]


def test_a_table_that_has_grown_remembers_what_matters_and_forgets_the_rest():
    """3 000 advertisers sell once each; the window of 1 000 holds the last third of them."""
    exposure, dual = Exposure(CAPS), 0
    for advertiser in range(3_000):
        exposure.remember(advertiser, value=10**9)
        dual = exposure.dual(2_999)
    before = len(exposure.memory.entry)

    exposure.prepare(10_000)

    assert len(exposure.memory.entry) > before
    assert exposure.memory.used[0] < 1_100
    assert exposure.shares() == dict.fromkeys(range(2_000, 3_000), 0.001)
    assert exposure.dual(2_999) == dual
    assert exposure.dual(4_999) == 0
    assert exposure.check() == []


def test_check_tells_when_the_counts_have_left_the_ring():
    exposure = Exposure(CAPS)
    exposure.remember(2, value=10**9)
    exposure.memory.entry[:, HELD] += exposure.memory.entry[:, KEY] != VACANT

    assert exposure.check() == ["fairness[site *]: the counts are not those of the ring"]


def test_bad_settings_are_all_named():
    bad = FairnessSettings(max_share=0.0, window=0, steps=0, typical_cpm_micros=0)

    assert len(list(bad.problems())) == 4
    assert list(CAPS.problems()) == []
