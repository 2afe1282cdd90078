"""A log of ads shown and clicked on a market's days, in bulk, as a learning server would write it.

Each slot shows one ad that fits. Few ads are drawn often, as few campaigns have most of the money;
of those drawn, a slot shows the first, the highest bid, or what an earlier, noisy ranker prefers.
Only people are in it: what robots did is left out of training anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.impressions import CHOICES, DRAWS, Pools, chosen, drawn, pools_of
from simulator.market.clicks import Crowd
from simulator.market.eligible import refused
from simulator.market.flights import live
from simulator.market.market import Market, Shown
from simulator.market.traffic import Traffic

EXPLORED = 0.2
"""Share of the slots whose ads are drawn with equal chances. The others' are drawn at rank chance⁴
of their pool, by their share of the campaign's budget: the first hundredth of a pool has a third
of the draws, the last half a sixth."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One hour: B visits of people in the order of their time, R impressions of theirs in order."""

    traffic: Traffic
    of: NDArray[np.int32]
    """[R] row of `traffic`, never falling."""
    ad: NDArray[np.int32]
    """[R] ad row of the catalogue."""
    placement: NDArray[np.int32]
    """[R] index of World.placement."""
    number: NDArray[np.int32]
    """[R] place of the slot in its request, from 0."""
    click: NDArray[np.bool_]
    click_delay_s: NDArray[np.float64]
    """[R] from the impression's rendering; infinite without a click."""
    truth: NDArray[np.float64]
    """[R] the click rate that `click` was drawn from."""


def logged(market: Market, rng: np.random.Generator) -> Iterator[Logged]:
    """Every hour of the market's days; about 12 µs a visit among 100 000 ads."""
    pools = _by_popularity(market)
    for number in range(market.settings.days):
        running = live(market.catalogue.line_items, market.midnight_s(number))
        for hour in market.day(number).hours():
            yield _hour(
                market, replace(pools, live=running), hour.rows(np.flatnonzero(~hour.bot)), rng
            )


def _by_popularity(market: Market) -> Pools:
    """The pools of secure ads only, those with the most money first."""
    made = market.catalogue
    campaign, budget = made.ad_campaign(), made.campaigns.daily_budget_micros
    money = budget / np.maximum(1, np.bincount(campaign, minlength=len(budget)))
    order = np.argsort(-money[campaign], kind="stable").astype(np.int32)
    return pools_of(made, market.settings.start_s, order[made.ads.secure[order]])


def _hour(market: Market, pools: Pools, traffic: Traffic, rng: np.random.Generator) -> Logged:
    visit, crowd = traffic.visit, market.crowd(traffic)
    of, number = np.nonzero(visit.placement >= 0)
    placement = visit.placement[of, number]
    chance = rng.random((len(of), DRAWS), dtype=np.float32)
    popular = rng.random(len(of)) >= EXPLORED
    chance[popular] = (chance[popular] ** 2) ** 2
    choices = drawn(pools, visit, of.astype(np.int32), placement, chance)
    choices = _allowed(market, traffic, of, choices)
    pick = chosen(market.catalogue, choices, _rates(market, crowd, of, placement, choices), rng)
    row = np.flatnonzero(choices[np.arange(len(of)), pick] >= 0)
    ad = choices[row, pick[row]]
    shown = Shown(of[row].astype(np.int32), ad, placement[row])
    answer = market.respond(crowd, shown, rng)
    return Logged(
        traffic, shown.visit, ad, shown.placement, number[row].astype(np.int32),
        answer.click, answer.click_delay_s, answer.truth,
    )  # fmt: skip


def _allowed(
    market: Market, traffic: Traffic, of: NDArray[np.intp], choices: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Without what the page's publisher refuses, in the order drawn; -1 behind the last."""
    made = market.catalogue
    category = made.campaigns.category[made.ad_campaign()][choices]
    blocked = refused(market.world, traffic.visit)[of]
    kept = np.where((category[:, :, None] == blocked[:, None, :]).any(axis=2), -1, choices)
    return np.take_along_axis(kept, np.argsort(kept < 0, axis=1, kind="stable"), axis=1)


def _rates(
    market: Market,
    crowd: Crowd,
    of: NDArray[np.intp],
    placement: NDArray[np.int32],
    choices: NDArray[np.int32],
) -> NDArray[np.float64]:
    """[P, CHOICES] true click rates of the ads; of ad 0 where there is none."""
    visit, place = np.repeat(of, CHOICES), np.repeat(placement, CHOICES)
    rate = market.truth(crowd, visit, np.maximum(choices, 0).ravel(), place)
    return rate.reshape(choices.shape)
