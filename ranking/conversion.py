"""How many clicks become conversions, from counts: each line item's own rate, drawn to its prior.

The posterior mean of a Beta prior of `strength` clicks at the prior rate: (conversions + k · prior)
/ (clicks + k). Calibrated in the mean, and cautious where little was counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PPM = 1_000_000
PRIOR_PPM = 10_000
"""Conversions per million clicks of a line item of which nothing is known."""
STRENGTH = 200
"""Clicks that the prior is worth: after as many of its own, a line item counts half."""
I64 = NDArray[np.int64]


def conversion_ppm(
    clicks: I64, conversions: I64, prior_ppm: int = PRIOR_PPM, strength: int = STRENGTH
) -> I64:
    """[L] conversions per million clicks, rounded down, 1 to a million."""
    expected = conversions * PPM + strength * prior_ppm
    rate: I64 = np.clip(expected // (clicks + strength), 1, PPM)
    return rate
