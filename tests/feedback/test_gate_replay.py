"""Pages written by hand, sold twice: who changes hands, and what it is worth."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from auction.columns import Slots
from auction.settings import AuctionSettings
from feedback.gate_replay import Pages, compared, replay_of, unlimited
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, width
from ranking.gate import GateSettings, quantisation
from ranking.metrics import Metrics

EXACT = AuctionSettings(increment_micros=0)
DOLLAR = 1_000_000
CLICK, VIEW = True, False


def pages(*contests: list[tuple[int, bool]]) -> Pages:
    """One slot a page; each contender (bid micros, per click?) is an ad of its own."""
    sizes = [len(one) for one in contests]
    bid, per_click = (np.array(column) for column in zip(*chain(*contests), strict=True))
    rows = np.arange(len(bid))
    of = np.repeat(np.arange(len(contests), dtype=np.int32), sizes)
    asked = Impressions.uncounted(
        np.zeros((len(contests), width(REQUEST_FIELDS)), np.int32),
        np.zeros((len(bid), width(AD_FIELDS)), np.int32),
        of,
        rows.astype(np.int32),
        np.zeros((len(bid), 3), np.int32),
        np.zeros(len(bid), np.uint8),
        np.empty(0, np.float32),
    )
    ad = rows.astype(np.int32)
    fits = np.ones(len(bid), np.uint32)
    bids = unlimited(
        np.cumsum([0, *sizes]).astype(np.int32), ad, ad, bid.astype(np.int64), per_click, fits
    )
    slots = Slots(
        offset=np.arange(len(contests) + 1, dtype=np.int32),
        floor_micros=np.zeros(len(contests), np.int64),
        first_price=np.zeros(len(contests), np.bool_),
        seed=np.zeros(len(contests), np.uint64),
    )
    return Pages(asked, rows, np.zeros(len(rows), np.int64), bids, slots, "by hand")


def sold_twice(of: Pages, before: list[int], after: list[int]):
    old, new = np.array(before), np.array(after)
    return compared(of, of.sold(old, EXACT), of.sold(new, EXACT), old)


def test_the_same_rates_change_nothing():
    contest = pages([(DOLLAR, CLICK), (DOLLAR, CLICK)], [(2 * DOLLAR, VIEW), (DOLLAR, VIEW)])

    found = sold_twice(contest, [20_000, 10_000, 1, 1], [20_000, 10_000, 1, 1])

    assert (found.pages, found.slots) == (2, 2)
    assert (found.flips.value, found.flips.high) == (0.0, 0.0)
    assert (found.revenue.value, found.revenue.low, found.revenue.high) == (0.0, 0.0, 0.0)


def test_a_slot_that_another_ad_wins_is_a_flip_and_is_paid_by_the_first_models_rates():
    """Both bid a dollar a click; the second price is half a dollar either way, but the new winner
    is clicked half as often by the yardstick."""
    contest = pages([(DOLLAR, CLICK), (DOLLAR, CLICK)])

    found = sold_twice(contest, [20_000, 10_000], [10_000, 20_000])

    assert found.flips.value == 1.0
    assert found.revenue.value == pytest.approx(-0.5)


def test_flips_are_a_share_of_the_slots_and_revenue_a_share_of_the_money():
    """The page that changes hands brings a cent, the other half a dollar."""
    contest = pages(
        [(DOLLAR, CLICK), (DOLLAR, CLICK)], [(900 * DOLLAR, VIEW), (500 * DOLLAR, VIEW)]
    )

    found = sold_twice(contest, [20_000, 10_000, 1, 1], [10_000, 20_000, 1, 1])

    assert found.flips.value == 0.5
    assert found.revenue.value == pytest.approx(-0.005 / 0.51)


def test_rates_that_are_all_doubled_flip_nobody_here_and_halve_the_price_of_a_click():
    """Against a bid per thousand views. By its own rates the second model would see no change."""
    contest = pages([(DOLLAR, CLICK), (5 * DOLLAR, VIEW)])

    found = sold_twice(contest, [20_000, 1], [40_000, 1])

    assert found.flips.value == 0.0
    assert found.revenue.value == pytest.approx(-0.5)


def test_a_slot_that_nobody_wins_any_more_is_a_flip_without_revenue():
    contest = pages([(DOLLAR, CLICK)])
    contest.slots.floor_micros[:] = 15 * DOLLAR  # per thousand

    found = sold_twice(contest, [20_000], [10_000])

    assert (found.slots, found.flips.value) == (1, 1.0)
    assert found.revenue.value == pytest.approx(-1.0)


def test_pages_without_a_sale_are_no_change():
    contest = pages([(DOLLAR, CLICK)])
    contest.slots.floor_micros[:] = 100 * DOLLAR

    found = sold_twice(contest, [20_000], [10_000])

    assert (found.slots, found.flips.value, found.revenue.value) == (0, 0.0, 0.0)


def test_the_interval_of_flips_is_that_of_a_share_of_pages():
    """A tenth of 400 pages: two deviations are 0.03."""
    contest = pages(*[[(DOLLAR, CLICK), (DOLLAR, CLICK)] for _ in range(400)])
    before = np.tile([20_000, 10_000], 400)
    after = before.copy()
    after[:80] = np.tile([10_000, 20_000], 40)

    found = compared(contest, contest.sold(before, EXACT), contest.sold(after, EXACT), before)

    assert found.flips.value == pytest.approx(0.1)
    assert found.flips.low == pytest.approx(0.1 - 0.03, abs=0.006)
    assert found.flips.high == pytest.approx(0.1 + 0.03, abs=0.006)


def test_a_scale_that_is_broken_by_a_hundredth_is_refused_on_close_pages_alone():
    """No metric of clicks sees it: the same clicks, the same AUC; only the pages are sold anew."""
    rng = np.random.default_rng(3)
    rate = rng.integers(5_000, 50_000, 800)
    contest = pages(*[[(DOLLAR, CLICK), (DOLLAR, CLICK)] for _ in range(400)])
    broken = np.where(np.arange(800) % 2, rate, rate * 12 // 10)
    same = Metrics(auc=0.75, logloss=0.06, normalised_entropy=0.9, ece=0.0, copc=1.0)

    replayed = replay_of(contest, EXACT)(lambda _: rate, lambda _: broken)
    report = quantisation(_nothing_else(same), replayed, GateSettings())

    assert {one.name for one in report.checks if not one.passed} == {
        "winner flips",
        "revenue change",
    }


def _nothing_else(same: Metrics):
    from ranking.gate import Compared

    return Compared(same, same, {}, {}, 0.0, 0.012, 100_000, 1_200, 1.0)
