"""Every ad that may be shown on a visit, for the oracle that a server's choice is held against.

Exhaustive: targeting, size, flight, https and the publisher's refusals, as a server must check
them; not money, pacing or frequency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.catalogue import Catalogue
from simulator.impressions import targeting_values
from simulator.market.flights import live
from simulator.market.kernels import fitting_ads
from simulator.market.traffic import Traffic
from simulator.targeting import DIMENSION, HOURS
from simulator.visits import Visits
from simulator.world import World

NO_SIZE = 31
REFUSING = 7
"""One publisher in so many refuses two categories, as `simulator.traffic` writes it."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """[P] (visit, slot, ad) rows; by visit, then slot."""

    visit: NDArray[np.int32]
    slot: NDArray[np.int32]
    placement: NDArray[np.int32]
    ad: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Fits:
    """Of B visits, R ads end to end."""

    placement: NDArray[np.int32]
    """[B, SLOTS] of the visits."""
    offset: NDArray[np.int64]
    """[B + 1] a visit's ads are the rows offset[v] ... offset[v + 1] - 1."""
    ad: NDArray[np.int32]
    """[R] ad row of the catalogue."""
    slots: NDArray[np.uint32]
    """[R] bit s: it may fill slot s of its visit; never zero."""

    def pairs(self) -> Pairs:
        """Every (visit, slot, ad) of them."""
        visit = np.repeat(np.arange(len(self.offset) - 1, dtype=np.int32), np.diff(self.offset))
        numbers = np.arange(self.placement.shape[1], dtype=np.uint32)
        row, slot = np.nonzero(self.slots[:, None] >> numbers & np.uint32(1))
        order = np.lexsort((slot, visit[row]))
        row, number = row[order], slot[order].astype(np.int32)
        of = visit[row]
        return Pairs(of, number, self.placement[of, number], self.ad[row])


class _Postings(NamedTuple):
    """Line items as bits, in the order in which `fitting_ads` takes them."""

    row_start: NDArray[np.int64]
    """[D] a value v of dimension d has row row_start[d] + v."""
    include: NDArray[np.uint64]
    exclude: NDArray[np.uint64]
    excluding: NDArray[np.bool_]
    """[rows] whether `exclude` has any bit there."""
    free: NDArray[np.uint64]
    """[D, W] line items that ask for no value of the dimension."""


class Eligible:
    """One catalogue, ready to be asked."""

    def __init__(self, made: Catalogue) -> None:
        self.made = made
        items = made.line_items
        self._postings = _postings(made)
        self._ad_start = np.searchsorted(made.ads.line_item, np.arange(len(items.campaign) + 1))
        self._category = made.campaigns.category[items.campaign]
        numbers = [one.sizes for one in made.world.placement]
        # no placement sells the size that insecure ads get here: all pages are read over https
        self._size = np.where(made.ads.secure, made.ads.size, NO_SIZE).astype(np.int16)
        self._sold = np.array([sum(1 << size for size in own) for own in numbers], np.uint32)

    def fitting(self, traffic: Traffic) -> Fits:
        """All ads that fit each visit, of the flights that run at the first of them.

        Flights begin and end at midnight, so `traffic` must lie within one day. About 7 µs a visit
        among 5 000 ads.
        """
        visit, world = traffic.visit, self.made.world
        values, column_start = targeting_values(world, visit)
        offset = np.zeros(len(visit) + 1, np.int64)
        at_s = float(traffic.at_s[0]) if len(visit) else 0.0
        running = _packed(live(self.made.line_items, at_s)[None, :])[0]
        ad, slots = fitting_ads(
            values, column_start, visit.placement, refused(world, visit), running,
            *self._postings, self._category, self._ad_start, self._size, self._sold, offset,
        )  # fmt: skip
        return Fits(visit.placement, offset, ad, slots)


def _postings(made: Catalogue) -> _Postings:
    terms, world = made.terms, made.world
    sizes = [len(HOURS) if name == "hours" else len(getattr(world, name)) for name in DIMENSION]
    row_start = np.cumsum([0, *sizes], dtype=np.int64)
    row = row_start[terms.dimension] + terms.value
    bits = np.zeros((2, int(row_start[-1]), len(terms.need)), np.bool_)
    bits[terms.exclude.astype(np.int64), row, terms.line_item] = True
    asks = terms.need[None, :] >> np.arange(len(DIMENSION), dtype=np.uint16)[:, None] & 1
    return _Postings(
        row_start[:-1], _packed(bits[0]), _packed(bits[1]), bits[1].any(axis=1), _packed(asks == 0)
    )


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """[rows, L] as [rows, ceil(L / 64)], the first line item in the lowest bit."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 64) * 64), np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def refused(world: World, visit: Visits) -> NDArray[np.int32]:
    """[B, 2] child categories that the publisher of each visit refuses; -1 for none."""
    places = visit.domain[:, None].astype(np.int64) * np.array([13, 29]) % len(world.leaf)
    picky = visit.domain % REFUSING == 0
    return np.where(picky[:, None], world.leaf[places], -1).astype(np.int32)
