"""The least bid with which a row would have won, all else being as it was.

Found by holding the recorded auction again with other bids, whatever its mechanism: a raised bid
never loses what a lower one won, so halving the interval finds the least. All pages asked about are
held as one batch per step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.again import money_of
from adserver.auctions.record import AuctionRecord, joined
from adserver.auctions.scores import MOST_UNIT, ROUNDS, micros_of
from auction.columns import Bids, Rejection
from auction.mechanism import run_auction
from auction.settings import AuctionSettings

NO_BID_WINS = -1


def price_to_win(
    record: AuctionRecord, row: NDArray[np.int64], settings: AuctionSettings
) -> NDArray[np.int64]:
    """[B] for one row of each page the least winning bid, in the row's own pricing units.

    NO_BID_WINS where something other than money kept it out. Rows that had no budget left have
    none here either, and no slot goes by lot: no bid would win that.
    """
    slots = replace(record.slots, explore=None, explore_ppm=None)
    record = replace(record, bids=_without_the_broke(record), slots=slots, scarce=None)
    lost, won = np.zeros(len(row), np.int64), np.full(len(row), MOST_UNIT, np.int64)
    can = _wins(record, row, won, settings)
    for _ in range(ROUNDS if can.any() else 0):
        middle = np.maximum((lost + won) // 2, 1)
        wins = _wins(record, row, middle, settings)
        won = np.where(wins, middle, won)
        lost = np.where(wins, lost, middle)
    return np.where(can, micros_of(record.bids.per_click[row], won), NO_BID_WINS)


def prices_on_page(
    page: AuctionRecord, rows: NDArray[np.int64], settings: AuctionSettings
) -> NDArray[np.int64]:
    """`price_to_win` of several rows of one page."""
    if not len(rows):
        return np.zeros(0, np.int64)
    places = np.arange(len(rows)) * len(page.bids.ad)
    return price_to_win(joined([page] * len(rows)), rows + places, settings)


def _without_the_broke(record: AuctionRecord) -> Bids:
    bids, broke = record.bids, record.slate.rejected == Rejection.BUDGET
    return replace(bids, rejected=np.where(broke, np.uint8(Rejection.BUDGET), bids.rejected))


def _wins(
    record: AuctionRecord,
    row: NDArray[np.int64],
    unit: NDArray[np.int64],
    settings: AuctionSettings,
) -> NDArray[np.bool_]:
    """[B] whether the rows win a slot with these bids for one event."""
    bids = record.bids
    tried = bids.bid_micros.copy()
    tried[row] = micros_of(bids.per_click[row], unit)
    full = bids.full_bid_micros
    raised = replace(
        bids, bid_micros=tried, full_bid_micros=None if full is None else np.maximum(full, tried)
    )
    slate = run_auction(raised, record.slots, record.slate, money_of(record), settings)
    return np.asarray(slate.rejected[row] == Rejection.WON)
