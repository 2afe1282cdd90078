"""What each advertiser deserved: what it offered in the auctions in which it could have bought.

Counted from recorded auctions; a sample of them gives shares with the sample's error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, Bids, Rejection, Slate

ABLE = np.isin(
    np.arange(256),
    [
        Rejection.WON,
        Rejection.FAIRNESS,
        Rejection.EXCLUSION,
        Rejection.DUPLICATE,
        Rejection.ROADBLOCK,
        Rejection.OUTBID,
        Rejection.LOST_TO_DEAL,
        Rejection.LOWER_TIER,
        Rejection.EXPLORED,
    ],
)
"""Codes of rows that fitted, could pay and met the floor."""


@dataclass(frozen=True, slots=True)
class Tally:
    """By advertiser, ids ascending."""

    auctions: int
    advertiser: NDArray[np.int32]
    eligible: NDArray[np.int64]
    """Auctions (pages) in which one of its ads could have bought a slot."""
    worth_micros: NDArray[np.int64]
    """The best of what it offered in each of them, per thousand impressions, summed."""

    def of(self, advertisers: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Auctions and worth of these; 0 for one that never could buy."""
        known = {int(a): row for row, a in enumerate(self.advertiser)}
        rows = [known.get(advertiser, -1) for advertiser in advertisers]
        return np.append(self.eligible, 0)[rows], np.append(self.worth_micros, 0)[rows]


def tally(auctions: Iterable[tuple[Bids, Slate]]) -> Tally:
    parts = [_of_batch(bids, slate) for bids, slate in auctions]
    if not parts:
        empty = np.zeros(0, np.int64)
        return Tally(0, empty.astype(np.int32), empty, empty)
    columns = zip(*(part[1:] for part in parts), strict=True)
    advertiser, worth = (np.concatenate(column) for column in columns)
    known, row = np.unique(advertiser, return_inverse=True)
    summed = np.zeros(len(known), np.int64)
    np.add.at(summed, row, worth)
    eligible = np.bincount(row, minlength=len(known)).astype(np.int64)
    return Tally(sum(part[0] for part in parts), known.astype(np.int32), eligible, summed)


def _of_batch(bids: Bids, slate: Slate) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Pages, and one line per page and advertiser able to buy: who, and its best offer."""
    pages = len(bids.offset) - 1
    able = np.flatnonzero(ABLE[slate.rejected])
    page = np.repeat(np.arange(pages), np.diff(bids.offset))[able]
    key = page * (1 << 32) + bids.advertiser[able]
    one, line = np.unique(key, return_inverse=True)
    best = np.zeros(len(one), np.int64)
    np.maximum.at(best, line, offer_micros(bids)[able])
    return pages, one & 0xFFFFFFFF, best


def offer_micros(bids: Bids) -> NDArray[np.int64]:
    """[R] per thousand impressions, in the slot where it is worth most."""
    fits = (bids.slots[:, None] >> np.arange(bids.pctr_ppm.shape[1], dtype=np.uint32)) & 1
    ppm = np.where(fits, bids.pctr_ppm, 0).max(axis=1, initial=0)
    offer: NDArray[np.int64] = np.where(
        bids.per_click, bids.bid_micros * ppm // MILLE, bids.bid_micros
    )
    return offer
