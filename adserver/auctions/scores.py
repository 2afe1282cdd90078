"""What each row of a record ranked as: the auction's own arithmetic, column by column.

Values, ranks and scores are in value units (`auction.columns`); `per_mille` makes them micros per
thousand impressions, rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from auction.columns import MILLE, PPM, STANDARD_TIER, Bids

ROUNDS = 30
MOST_UNIT = 1 << ROUNDS
"""A thousand dollars for one event: who does not win with it does not win with any bid."""


@dataclass(frozen=True, slots=True)
class Scores:
    """[R] and [R, S] of a record."""

    unit: NDArray[np.int64]
    """[R] bid for one billable event, in micros."""
    event_ppm: NDArray[np.int64]
    """[R, S] billable events of a million impressions."""
    weight_ppm: NDArray[np.int64]
    """[R, S] rank per micro of `unit`: the event rate, squashed and times quality."""
    dual: NDArray[np.int64]
    """[R, S] what fairness takes off; below 0 it gives."""

    @property
    def rank(self) -> NDArray[np.int64]:
        return self.unit[:, None] * self.weight_ppm

    @property
    def score(self) -> NDArray[np.int64]:
        """What rows of one tier are compared by, where the tier holds an auction."""
        return self.rank - self.dual

    @classmethod
    def of(cls, record: AuctionRecord) -> Scores:
        bids, dual = record.bids, record.slate.dual
        event = np.where(bids.per_click[:, None], bids.pctr_ppm, PPM)
        return cls(
            unit=units(bids, bids.bid_micros),
            event_ppm=event,
            weight_ppm=event if bids.weight_ppm is None else bids.weight_ppm,
            dual=np.zeros_like(event) if dual is None else dual[:, : event.shape[1]],
        )


def units(bids: Bids, micros: NDArray[np.int64]) -> NDArray[np.int64]:
    """[R] bids for one event: a click, or an impression (a bid per thousand, rounded down)."""
    return np.where(bids.per_click, micros, micros // MILLE)


def micros_of(per_click: NDArray[np.bool_], unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """[R] the bid, as line items give it, of which `unit` is the part of one event."""
    return np.where(per_click, unit, unit * MILLE)


def per_mille(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """Micros per thousand impressions."""
    return value // MILLE


def tiers(bids: Bids) -> NDArray[np.uint8]:
    """[R]"""
    return np.full(len(bids.ad), STANDARD_TIER, np.uint8) if bids.tier is None else bids.tier
