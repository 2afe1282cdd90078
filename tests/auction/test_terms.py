"""The terms of fairness that a slate carries: with them, a page is sold again as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from auction_market import RICH, Ad, Request, as_dict, columns

from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings
from auction.workspace import MOST_ROOM

RULES = AuctionSettings(advertiser_once=False)
TIGHT = FairnessSettings(max_share=0.3, window=12, steps=4)


def some_pages(rng: np.random.Generator) -> list[Request]:
    """Few advertisers and several slots, so that duals, caps and relaxed sales all come up."""
    return [
        Request(
            ads=tuple(
                Ad(
                    ad=int(ad),
                    advertiser=1 + int(ad) % 5,
                    bid=int(rng.integers(1, 900)) * 1000,
                    campaign=int(ad) % 7,
                )
                for ad in rng.choice(20, rng.integers(0, 9), replace=False)
            ),
            floors=(0,) * int(rng.integers(1, 4)),
            seed=int(rng.integers(2**60)),
        )
        for _ in range(6)
    ]


def test_an_auction_held_on_the_terms_of_another_sells_the_same(rng):
    exposure, changed, relaxed = Exposure(TIGHT), 0, 0
    for _ in range(60):
        bids, slots = columns(some_pages(rng))
        slate = run_auction(bids, slots, exposure, RICH, RULES)

        again = run_auction(bids, slots, slate, RICH, RULES)

        assert as_dict(again) == as_dict(slate)
        assert (again.dual == slate.dual).all()
        assert (again.room == slate.room).all()
        changed += int((slate.winner != slate.plain_winner).sum())
        relaxed += int(slate.relaxed.sum())
    assert changed
    assert relaxed


def test_holding_an_auction_again_counts_nobodys_exposure(rng):
    bids, slots = columns(some_pages(rng))
    exposure = Exposure(TIGHT)
    slate = run_auction(bids, slots, exposure, RICH, RULES)
    sold = exposure.sold

    run_auction(bids, slots, slate, RICH, RULES)

    assert exposure.sold == sold


def test_without_fairness_nobody_has_a_dual_price_or_a_limit(rng):
    bids, slots = columns(some_pages(rng))

    slate = run_auction(bids, slots, None, RICH, RULES)

    assert not slate.dual.any()
    assert (slate.room == MOST_ROOM).all()


def test_terms_of_another_batch_are_refused(rng):
    bids, slots = columns([Request((Ad(1, 1, 5000), Ad(2, 2, 7000)))])
    other, places = columns([Request((Ad(1, 1, 5000),))])
    slate = run_auction(bids, slots, None, RICH, RULES)

    with pytest.raises(ValueError, match="terms of shape"):
        run_auction(other, places, slate, RICH, RULES)
    with pytest.raises(ValueError, match="on what terms"):
        run_auction(bids, slots, replace(slate, dual=None), RICH, RULES)
