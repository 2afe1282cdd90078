"""Money of other currencies in US dollars, exactly: whole micros in, whole micros out.

Rates are units of a currency for a million dollars, from one numbered table. Bids and budgets are
rounded down, floors up: nobody pays more, and no publisher gets less, than was agreed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auction.columns import PPM

USD = "USD"
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rates:
    """One version of the table."""

    version: int
    per_usd_ppm: Mapping[str, int]
    """Currency (ISO 4217) -> units for a million dollars."""

    def knows(self, currency: str) -> bool:
        return currency == USD or currency in self.per_usd_ppm

    def of(self, currency: str) -> int:
        """The rate; KeyError for a currency that the table does not know."""
        return PPM if currency == USD else self.per_usd_ppm[currency]

    def bid_to_usd(self, micros: int, currency: str) -> int:
        """Rounded down."""
        return micros * PPM // self.of(currency)

    def floor_to_usd(self, micros: int, currency: str) -> int:
        """Rounded up."""
        return -(-micros * PPM // self.of(currency))


ONLY_USD = Rates(0, {})
"""Before anybody has set a rate."""


def to_usd(micros: I64, per_usd_ppm: I64) -> I64:
    """Elementwise, rounded down; exact as long as a rate is at most nine million for a dollar."""
    whole, rest = np.divmod(micros, per_usd_ppm)
    dollars: I64 = whole * PPM + rest * PPM // per_usd_ppm
    return dollars
