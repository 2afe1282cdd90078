"""Deals, floor rules and rates as decisions ask for them, in US dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.columns import Deal, MarketRows
from adserver.catalogue.currency import Rates
from adserver.catalogue.floors import Floors


@dataclass(frozen=True, slots=True)
class Market:
    """Built from the rows of a snapshot or of the database; immutable."""

    rates: Rates
    deals: Mapping[str, Deal]
    """By key, the name that requests give them."""
    floors: Floors
    _key: Mapping[int, str]
    _active: NDArray[np.bool_]
    """By id + 1: -1, the open market, always is."""

    @classmethod
    def of(cls, rows: MarketRows) -> Market:
        """KeyError for a currency without a rate."""
        active = np.zeros(max((deal.id for deal in rows.deals), default=0) + 2, np.bool_)
        active[0] = True
        active[[deal.id + 1 for deal in rows.deals if deal.active]] = True
        rates = Rates(rows.rates_version, rows.per_usd_ppm)
        return cls(
            rates,
            {deal.key: deal for deal in rows.deals},
            Floors(rows.floors, rates),
            {deal.id: deal.key for deal in rows.deals},
            active,
        )

    def deal_key(self, number: int) -> str:
        """Of a deal's id; empty for none."""
        return self._key.get(number, "")

    def deal_floor(self, deal: Deal) -> int:
        """Per thousand impressions."""
        return self.rates.floor_to_usd(deal.floor_micros, deal.currency)

    def deal_active(self, deal: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Of deal ids; a deal that is not known is not."""
        place = deal + 1
        known = place < len(self._active)
        active: NDArray[np.bool_] = self._active[np.where(known, place, 0)] & known
        return active
