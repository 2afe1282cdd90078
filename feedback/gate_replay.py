"""Pages sold twice by the real auction, on the click rates of two models: what the gate asks of it.

Where pages come from is known elsewhere (`gate_pages`); no page has budgets or terms of fairness
here, so that a difference between the sales is one between the models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, PPM, Bids, Slate, Slots
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from ranking.dataset import Impressions
from ranking.gate import Rate, Replay, Replayed
from ranking.intervals import TAIL, Interval

RESAMPLES = 1_000
SEED = 7
"""Of the resampling."""


@dataclass(frozen=True, slots=True)
class Pages:
    """B pages with R contenders for T slots, and all that a model is asked about them."""

    asked: Impressions
    """One row for each slot that a contender might fill, by page."""
    contender: NDArray[np.int64]
    """[rows of `asked`] row of `bids`."""
    number: NDArray[np.int64]
    """[rows of `asked`] which slot of the page, from 0."""
    bids: Bids
    """The click rates in it are the models' to fill in."""
    slots: Slots
    source: str

    def __len__(self) -> int:
        return len(self.slots.offset) - 1

    def sold(self, ppm: NDArray[np.int64], settings: AuctionSettings) -> Slate:
        """The slate at these rates [rows of `asked`]."""
        bids = replace(self.bids, pctr_ppm=self.rates(ppm))
        return run_auction(bids, self.slots, None, np.zeros(0, np.int64), settings)

    def rates(self, ppm: NDArray[np.int64]) -> NDArray[np.int64]:
        """[R, S] the rates by contender and slot; 1 where nothing was asked."""
        table = np.ones((len(self.bids.ad), self.bids.pctr_ppm.shape[1]), np.int64)
        table[self.contender, self.number] = ppm
        return table


def replay_of(pages: Pages, settings: AuctionSettings | None = None) -> Replay:
    """What `ranking.export` takes: sells the pages by both models and compares the sales."""
    rules = settings or AuctionSettings()

    def replay(before: Rate, after: Rate) -> Replayed:
        old, new = before(pages.asked), after(pages.asked)
        return compared(pages, pages.sold(old, rules), pages.sold(new, rules), old)

    return replay


def compared(pages: Pages, before: Slate, after: Slate, ppm: NDArray[np.int64]) -> Replayed:
    """Share of the sold slots that changed hands, and the change of revenue at rates `ppm`.

    The first model's rates are the yardstick for both: a model that doubles every rate halves
    every price per click, and would seem to change nothing by its own.
    """
    sold = (before.winner >= 0) | (after.winner >= 0)
    flipped = sold & (before.winner != after.winner)
    rates = pages.rates(ppm)
    revenue = [_revenue(pages, slate, rates) for slate in (before, after)]
    sums = np.stack([_by_page(pages, column) for column in (sold, flipped, *revenue)], axis=1)
    chance = np.random.default_rng(SEED).poisson(1.0, (RESAMPLES, len(pages)))
    drawn, whole = chance @ sums, sums.sum(axis=0)[None]
    return Replayed(
        source=pages.source,
        pages=len(pages),
        slots=int(sold.sum()),
        flips=_interval(_ratio(whole[:, 1], whole[:, 0]), _ratio(drawn[:, 1], drawn[:, 0])),
        revenue=_interval(
            _ratio(whole[:, 3] - whole[:, 2], whole[:, 2]),
            _ratio(drawn[:, 3] - drawn[:, 2], drawn[:, 2]),
        ),
    )


def _revenue(pages: Pages, slate: Slate, rates: NDArray[np.int64]) -> NDArray[np.float64]:
    """[T] expected revenue in micros: a price per click is paid as often as it is clicked."""
    row = np.maximum(slate.winner, 0)
    number = np.arange(len(row)) - np.repeat(pages.slots.offset[:-1], np.diff(pages.slots.offset))
    clicks = rates[row, number] / PPM
    paid = np.where(pages.bids.per_click[row], slate.charge_micros * clicks, slate.charge_micros)
    return np.where(slate.winner >= 0, paid, 0.0)


def _by_page(pages: Pages, column: NDArray[np.generic]) -> NDArray[np.float64]:
    page = np.repeat(np.arange(len(pages)), np.diff(pages.slots.offset))
    return np.bincount(page, column.astype(np.float64), len(pages)).astype(np.float64, copy=False)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nothing over nothing is no change."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _interval(whole: NDArray[np.float64], drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL]).tolist()
    return Interval(float(whole[0]), low, high)


def unlimited(
    offset: NDArray[np.int32],
    ad: NDArray[np.int32],
    advertiser: NDArray[np.int32],
    bid_micros: NDArray[np.int64],
    per_click: NDArray[np.bool_],
    fits: NDArray[np.uint32],
) -> Bids:
    """Bids whose payers have money enough, rates left to be filled in."""
    most = int(np.bitwise_or.reduce(fits, initial=0)).bit_length()
    return Bids(
        offset=offset,
        ad=ad,
        creative=ad,
        advertiser=advertiser,
        account=np.full((len(ad), LEVELS), -1, np.int32),
        bid_micros=bid_micros // MILLE * MILLE,
        per_click=per_click,
        pctr_ppm=np.ones((len(ad), most), np.int64),
        slots=fits,
        rejected=np.zeros(len(ad), np.uint8),
    )
