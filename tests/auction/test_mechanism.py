"""What the columns say of a sale, and what is refused as a bug of the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from auction_crowd import Crowd, crowd
from auction_market import RICH, Ad, Request, as_dict, by_account, columns

from auction.columns import PPM, STANDARD_TIER, Level, Rejection, account_of, bid_cpm_micros
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings, Mode

PLAIN = AuctionSettings()
PER_CLICK = Ad(ad=1, advertiser=1, bid=700_001, ppm=(3_333,), campaign=1)
PER_MILLE = Ad(ad=2, advertiser=2, bid=1_100_000, campaign=2)


def test_a_click_is_priced_in_whole_micros_and_its_expected_cost_is_rounded_up():
    bids, slots = columns([Request(ads=(PER_CLICK, PER_MILLE))])

    slate = run_auction(bids, slots, None, RICH, PLAIN)

    assert slate.charge_micros.tolist() == [-(-1_110_000_000 // 3_333)]  # 1.11 a thousand, a click
    assert slate.cost_micros.tolist() == [-(-int(slate.charge_micros[0]) * 3_333 // 10**6)]
    assert slate.clear_micros.tolist() == [int(slate.charge_micros[0]) * 3_333 // 1_000]
    assert slate.clear_micros[0] <= bid_cpm_micros(PER_CLICK.bid, True, 3_333)


def test_an_impression_costs_a_thousandth_of_the_clear_price():
    bids, slots = columns([Request(ads=(PER_MILLE,), floors=(250_000,))])

    slate = run_auction(bids, slots, None, RICH, PLAIN)

    assert slate.clear_micros.tolist() == [250_000]
    assert slate.charge_micros.tolist() == slate.cost_micros.tolist() == [250]


def test_one_batch_cannot_overspend_a_campaign():
    """Its bid is 1 100 micros an impression and its price 10: it steps out when it may not pay."""
    bids, slots = columns([Request(ads=(PER_MILLE,))] * 100)
    money = by_account(np.array([0, 0, 1_200]))
    before = money.tolist()

    slate = run_auction(bids, slots, None, money, PLAIN)

    assert slate.cost_micros.sum() == 110
    assert (slate.winner >= 0).tolist() == [True] * 11 + [False] * 89
    assert (slate.reason[11:] == Rejection.BUDGET).all()
    assert money.tolist() == before


def test_an_account_that_the_ledger_does_not_know_has_no_money():
    bids, slots = columns([Request(ads=(PER_MILLE, replace(PER_CLICK, campaign=0)))])

    slate = run_auction(bids, slots, None, np.zeros(1, np.int64), PLAIN)

    assert slate.rejected.tolist() == [Rejection.BUDGET] * 2


def test_an_empty_batch_sells_nothing():
    slate = run_auction(*columns([]), Exposure(FairnessSettings()), RICH, PLAIN)

    assert as_dict(slate) == {name: [] for name in as_dict(slate)}


def test_over_many_seeds_a_tie_is_won_by_each_equally_often():
    tied = tuple(Ad(ad=ad, advertiser=ad, bid=500_000) for ad in range(1, 5))
    bids, slots = columns([Request(ads=tied, seed=seed) for seed in range(4_000)])

    slate = run_auction(bids, slots, None, RICH, PLAIN)

    wins = np.bincount(bids.ad[slate.winner], minlength=5)[1:]
    assert wins.min() > 900
    assert wins.max() < 1_100


def test_columns_as_they_come_from_a_mapped_file_are_taken(tmp_path):
    """Read-only, strided and of other widths: copied, not refused, and not sold differently."""
    bids, slots = columns([Request(ads=(PER_CLICK, PER_MILLE))] * 3)
    frozen = bids.bid_micros.copy()
    frozen.setflags(write=False)
    wide = np.stack([bids.pctr_ppm[:, 0]] * 4, axis=1)[:, ::2]
    other = replace(bids, bid_micros=frozen, pctr_ppm=wide, ad=bids.ad.astype(np.int64))

    slate = run_auction(other, slots, None, RICH, PLAIN)

    assert as_dict(slate) == as_dict(run_auction(bids, slots, None, RICH, PLAIN))


BIDS, SLOTS = columns([Request(ads=(PER_CLICK, PER_MILLE))])


@pytest.mark.parametrize(
    ("bids", "slots", "complaint"),
    [
        (replace(BIDS, ad=BIDS.ad[:1]), SLOTS, "unequal length"),
        (replace(BIDS, offset=np.array([0, 1], np.int32)), SLOTS, "unequal length"),
        (BIDS, replace(SLOTS, floor_micros=np.zeros(2, np.int64)), "unequal length"),
        (BIDS, columns([Request(ads=(), floors=(0,))] * 2)[1], "different batches"),
        (BIDS, columns([Request(ads=(), floors=(0, 0))])[1], "click rates of shape"),
        (replace(BIDS, advertiser=np.array([-1, 1], np.int32)), SLOTS, "not negative"),
    ],
)
def test_columns_that_do_not_fit_together_are_a_bug_and_say_so(bids, slots, complaint):
    with pytest.raises(ValueError, match=complaint):
        run_auction(bids, slots, None, RICH, PLAIN)


def test_bad_settings_are_all_named():
    bad = AuctionSettings(increment_micros=-1, minimum_floor_micros=0)

    assert len(list(bad.problems())) == 2
    assert list(PLAIN.problems()) == []


REPLAY = """
import numpy as np
from auction_market import RICH, Ad, Request, as_dict, columns
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings, Mode
exposure = Exposure(FairnessSettings(max_share=0.3, window=50))
ads = tuple(Ad(ad=a, advertiser=a % 5, bid=1000 * (a % 7), ppm=(a * 999,)) for a in range(1, 40))
batch = columns([Request(ads=ads, floors=(0, 0, 5000), seed=seed) for seed in range(200)])
slate = run_auction(*batch, exposure, RICH, AuctionSettings())
print(as_dict(slate), exposure.memory.entry.tolist())
"""


def test_another_process_sells_the_same_batch_the_same_way():
    command = [sys.executable, "-c", REPLAY]
    ours = os.environ | {"PYTHONPATH": ":".join(sys.path)}  # and with it, where kernels are kept

    runs = [subprocess.run(command, env=ours, capture_output=True, check=True) for _ in range(2)]

    assert runs[0].stdout == runs[1].stdout
    assert b"winner" in runs[0].stdout


def test_a_weighted_tier_is_won_in_proportion_to_the_shares():
    """Replayable: the draw is the seed's. Order of rows, bids and dual prices do not matter."""
    drawn = tuple(Ad(ad=ad, advertiser=ad, bid=500_000, tier=10, share=ad) for ad in range(1, 5))
    bids, slots = columns([Request(ads=drawn, seed=seed) for seed in range(10_000)])
    settings = AuctionSettings(modes={10: Mode.WEIGHTED})

    slate = run_auction(bids, slots, None, RICH, settings)

    wins = np.bincount(bids.ad[slate.winner], minlength=5)[1:]
    assert np.abs(wins - 1_000 * np.arange(1, 5)).max() < 150
    assert (slate.charge_micros == 500).all()


def test_on_a_page_a_weighted_tier_draws_without_replacement():
    """After ad 2, the second slot goes to ad 3 rather than ad 1 with probability 3 / (3 + 1)."""
    drawn = tuple(Ad(ad=ad, advertiser=ad, bid=500_000, tier=10, share=ad) for ad in range(1, 4))
    page = [Request(ads=drawn, floors=(0, 0), seed=seed) for seed in range(20_000)]
    bids, slots = columns(page)

    slate = run_auction(bids, slots, None, RICH, AuctionSettings(modes={10: Mode.WEIGHTED}))

    first, second = bids.ad[slate.winner].reshape(-1, 2).T
    assert (second[first == 2] == 3).mean() == pytest.approx(3 / 4, abs=0.02)


def test_a_rows_deal_can_run_out_of_money_before_its_campaign():
    deal = replace(PER_MILLE, deal=3)
    bids, slots = columns([Request(ads=(deal,))] * 3)
    money = np.full(40, 10**9)
    money[account_of(Level.DEAL, 3)] = 1_109

    slate = run_auction(bids, slots, None, money, PLAIN)

    assert slate.reason.tolist() == [Rejection.WON] + [Rejection.BUDGET] * 2


def test_optional_columns_that_ask_for_nothing_change_nothing(rng):
    bids, slots = crowd(rng, Crowd(requests=50))
    n = len(bids.ad)
    rates = np.where(bids.per_click[:, None], bids.pctr_ppm, PPM)
    asked = replace(
        bids,
        tier=np.full(n, STANDARD_TIER, np.uint8),
        share=np.ones(n, np.int64),
        weight_ppm=rates,
        full_bid_micros=bids.bid_micros,
        deal=np.full(n, -1, np.int32),
        floor_micros=np.full(n, -1, np.int64),
        reserve_micros=np.zeros(n, np.int64),
        fixed_price=np.zeros(n, np.bool_),
        labels=np.zeros(n, np.uint64),
        package=np.zeros(n, np.int32),
        package_kind=np.zeros(n, np.uint8),
    )

    slate = run_auction(asked, slots, None, RICH, PLAIN)

    assert as_dict(slate) == as_dict(run_auction(bids, slots, None, RICH, PLAIN))
