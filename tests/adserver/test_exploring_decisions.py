"""Explored decisions: which slots, with what probability, and where it is written down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from auction_market import RICH, Ad, Request, columns
from scipy.stats import chi2
from test_pipeline import System

from adserver.auctions.again import again
from adserver.auctions.explain import Explanation
from adserver.auctions.recorder import EXPLORED
from adserver.auctions.sample import read_sample
from adserver.exploring import propensities, to_explore
from adserver.features.log import read
from adserver.wire import decision as wire_decision
from auction.columns import Slate, Slots
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from simulator.traffic import requests
from simulator.world import World

SEED = np.arange(200_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@pytest.fixture(scope="module")
def asked():
    bodies = requests(World(1), np.random.default_rng(2), 120)
    return [wire_decision.parse(json.dumps(body).encode()) for body in bodies]


@pytest.mark.parametrize("ppm", [10_000, 200_000])
def test_pages_are_explored_as_often_as_is_said(ppm):
    explored = int(to_explore(SEED, ppm).sum())

    expected = len(SEED) * ppm / 1e6
    assert (explored - expected) ** 2 / (expected * (1 - ppm / 1e6)) < chi2.ppf(0.999, 1)


def test_no_share_draws_nothing():
    assert not to_explore(SEED[:1000], 0).any()


def page(slots: int, ppm: int, explore: bool) -> Slots:
    return Slots(
        offset=np.array([0, slots], np.int32),
        floor_micros=np.zeros(slots, np.int64),
        first_price=np.zeros(1, np.bool_),
        seed=np.zeros(1, np.uint64),
        explore=np.array([explore]),
        explore_ppm=np.array([ppm], np.int32),
    )


def sold(winner: list[int], greedy: list[int], eligible: list[int], explored: list[bool]) -> Slate:
    count = len(winner)
    zeros = np.zeros(count, np.int64)
    return Slate(
        winner=np.array(winner, np.int32),
        runner_up=np.full(count, -1, np.int32),
        clear_micros=zeros,
        charge_micros=zeros,
        reason=np.zeros(count, np.uint8),
        rejected=np.zeros(0, np.uint8),
        plain_winner=np.array(winner, np.int32),
        plain_clear_micros=zeros,
        relaxed=np.zeros(count, np.bool_),
        cost_micros=zeros,
        eligible=np.array(eligible, np.int32),
        among=np.array(eligible) > 0,
        greedy=np.array(greedy, np.int32),
        explored=np.array(explored),
    )


def test_the_winner_of_an_auction_could_also_have_been_drawn():
    chance = propensities(page(2, 100_000, False), sold([5, 6], [5, 6], [4, 1], [False, False]))

    assert chance == pytest.approx([(0.9 + 0.05 / 4) / 0.95, 1.0])


def test_a_drawn_ad_stands_there_with_the_chance_of_the_draw_and_its_neighbours_with_none_known():
    chance = propensities(page(2, 100_000, True), sold([3, 6], [5, 6], [4, 2], [True, False]))

    assert chance[0] == pytest.approx(0.05 / 4 / 0.95)
    assert np.isnan(chance[1])


def test_a_slot_that_nobody_could_be_drawn_for_leaves_the_lot_to_the_others():
    chance = propensities(page(2, 100_000, False), sold([5, 6], [5, 6], [0, 4], [False, False]))

    assert chance == pytest.approx([1.0, 0.9 + 0.1 / 4])


MARKET = Request(
    ads=tuple(Ad(ad=n, advertiser=n, bid=n * 1_000_000, ppm=()) for n in range(1, 6)),
    floors=(500_000, 500_000, 6_000_000),
)
"""The third slot is dearer than any bid: it stays empty, and nobody can be drawn for it."""


@pytest.mark.parametrize("place", [0, 1])
def test_ads_stand_in_a_slot_as_often_as_is_logged(place):
    """Chi-square over the pages that are used: those without a neighbour given away."""
    ppm, pages = 200_000, 20_000
    bids, slots = columns([replace(MARKET, seed=int(seed)) for seed in SEED[:pages]])
    slots = replace(
        slots, explore=to_explore(slots.seed, ppm), explore_ppm=np.full(pages, ppm, np.int32)
    )
    slate = run_auction(bids, slots, None, RICH, AuctionSettings())
    chance = propensities(slots, slate)[place::3]
    won = slate.winner[place::3] - bids.offset[:-1]

    used = ~np.isnan(chance)
    said = np.array([chance[used & (won == row)][0] for row in range(5)])
    counts = np.bincount(won[used], minlength=5)

    assert said.sum() == pytest.approx(1.0)
    assert all(len(np.unique(chance[used & (won == row)])) == 1 for row in range(5))
    assert ((counts - used.sum() * said) ** 2 / (used.sum() * said)).sum() < chi2.ppf(0.999, 4)


def test_what_is_logged_is_what_was_recorded(tmp_path, clock, asked):
    system = System(tmp_path, clock, exploration=0.2, auction_sample_one_in=1)
    for _ in range(6):
        system.decide(asked)
    system.close()

    rows = read(system.settings.features)
    chance = rows["propensity"].to_numpy()
    explored = rows["explored"].to_numpy()
    kept = list(read_sample(tmp_path / "auctions" / EXPLORED))
    pages = [one for record in read_sample(tmp_path / "auctions") for one in record.pages()]
    recorded = np.concatenate([p.slate.explored[p.notes.sold] for p in pages])
    assert explored.sum() == recorded.sum() > 50
    assert ((chance[explored] > 0) & (chance[explored] < 1)).all()
    assert sum(len(record) for record in kept) == sum(p.slots.explore[0] for p in pages)
    assert np.isnan(chance).sum() > 0


def test_an_explored_sale_is_told_and_repeated(tmp_path, clock, asked):
    system = System(tmp_path, clock, exploration=0.2)
    system.decide(asked)
    settings = system.pipeline.prices.settings
    system.close()

    told = []
    for record in read_sample(tmp_path / "auctions" / EXPLORED):
        for one in record.pages():
            assert again(one, settings).winner.tolist() == one.slate.winner.tolist()
            told += Explanation.of(one, settings).slots()
    lots = [slot for slot in told if slot["explored"]]
    assert lots
    assert all(slot["price"]["set_by"] == "LOT" for slot in lots)
    assert all(0 < slot["propensity"] <= 1 for slot in lots)


def test_tests_are_never_explored(tmp_path, clock, asked):
    system = System(tmp_path, clock, exploration=0.2)
    system.decide([replace(request, test=True) for request in asked])
    system.close()

    assert not list(read_sample(tmp_path / "auctions" / EXPLORED))
