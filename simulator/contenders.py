"""Pages of the simulated marketplace with the ads that would compete for them, in bulk.

What an auction needs to know and no more: who fits which slot, and how likely it is clicked there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.impressions import Pools, drawn
from simulator.targeting import DIMENSION
from simulator.truth import audience, ctr
from simulator.visits import SLOTS, Visits

DRAWS = 6
"""Ads drawn at random for each one that is found to fit."""


@dataclass(frozen=True, slots=True)
class Contenders:
    """Of B pages, R ads end to end."""

    visit: Visits
    offset: NDArray[np.int32]
    """[B + 1]"""
    ad: NDArray[np.int32]
    """[R] ad row of the catalogue, ascending within a page."""
    fits: NDArray[np.uint32]
    """[R] bit s: it may fill slot s of its page."""
    truth: NDArray[np.float64]
    """[R, SLOTS] true click rate in each slot."""


def contenders(pools: Pools, sample: Visits, each: int, rng: np.random.Generator) -> Contenders:
    """Up to `each` ads per slot of these visits, drawn at random among those that fit."""
    of, number = np.nonzero(sample.placement >= 0)
    chance = rng.random((len(of), DRAWS * each), dtype=np.float32)
    found = drawn(pools, sample, of.astype(np.int32), sample.placement[of, number], chance, each)
    slot, column = np.nonzero(found >= 0)
    ads = len(pools.catalogue.ads)
    key, place = np.unique(
        of[slot].astype(np.int64) * ads + found[slot, column], return_inverse=True
    )
    page, ad = key // ads, (key % ads).astype(np.int32)
    fits = _elsewhere(pools, sample, page, ad)
    np.bitwise_or.at(fits, place, np.uint32(1) << number[slot].astype(np.uint32))
    return Contenders(
        visit=sample,
        offset=np.searchsorted(page, np.arange(len(sample) + 1)).astype(np.int32),
        ad=ad,
        fits=fits,
        truth=_truth(pools, sample, page, ad),
    )


def _elsewhere(
    pools: Pools, sample: Visits, page: NDArray[np.int64], ad: NDArray[np.int32]
) -> NDArray[np.uint32]:
    """[R] the other slots of the page that an ad fits by its size, if it names no placement."""
    catalogue = pools.catalogue
    terms, world = catalogue.terms, catalogue.world
    named = np.zeros(len(terms.need), np.bool_)
    named[terms.line_item[terms.dimension == list(DIMENSION).index("placement")]] = True
    sizes = np.array([np.isin(np.arange(len(world.sizes)), p.sizes) for p in world.placement])
    fits = np.zeros(len(ad), np.uint32)
    free = ~named[catalogue.ads.line_item[ad]]
    for slot in range(SLOTS):
        where = sample.placement[page, slot]
        here = free & (where >= 0) & sizes[where, catalogue.ads.size[ad]]
        fits |= here.astype(np.uint32) << np.uint32(slot)
    return fits


def _truth(
    pools: Pools, sample: Visits, page: NDArray[np.int64], ad: NDArray[np.int32]
) -> NDArray[np.float64]:
    world = pools.catalogue.world
    position = np.array([one.position for one in world.placement])
    who = audience(world, sample)
    rates = [
        ctr(world, who, page, pools.appeal, ad, position[sample.placement[page, slot]])
        for slot in range(SLOTS)
    ]
    return np.stack(rates, axis=1)
