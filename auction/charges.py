"""What the billable event of a sale costs, for each way to pay.

The auction sells impressions and clicks; who pays per conversion bid its expected worth of a click,
who pays per viewable impression that of an impression, and who pays a fee for the whole flight bid
what the fee comes to for a thousand impressions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auction.columns import PPM, Pricing

I64 = NDArray[np.int64]


def event_charge(
    pricing: NDArray[np.uint8], charge_micros: I64, price_micros: I64, rate_ppm: I64
) -> I64:
    """[T] micros per impression, viewable, click or conversion, whichever the sale is billed by.

    A conversion costs the click's charge over the conversion rate, rounded up, and never more
    than its own price: then a click costs in expectation what the auction asked for it. So does a
    viewable impression of an impression. `rate_ppm` is how many of what was sold come to what is
    billed. A fee is paid for the flight, so its events cost nothing.
    """
    rate = np.maximum(rate_ppm, 1)
    wholes, rest = np.divmod(charge_micros, rate)
    converted = np.minimum(price_micros, wholes * PPM - (-rest * PPM // rate))
    later = (pricing == Pricing.CPA) | (pricing == Pricing.VCPM)
    by_event = np.where(later, converted, charge_micros)
    charged: I64 = np.where(pricing == Pricing.FLAT, 0, by_event)
    return charged


def to_reserve(pricing: NDArray[np.uint8], cost_micros: I64) -> I64:
    """[T] expected cost of a sale; that of a fee's is nothing."""
    reserved: I64 = np.where(pricing == Pricing.FLAT, 0, cost_micros)
    return reserved
