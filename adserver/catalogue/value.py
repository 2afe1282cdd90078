"""What an ad is worth before anything is known of the request."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def base_value(
    bid_micros: NDArray[np.int64], per_click: NDArray[np.bool_], log_odds: NDArray[np.float32]
) -> NDArray[np.float32]:
    """retrieval.Live.base: log eCPM micros, as far as the request has no part in it."""
    value = np.log(bid_micros.astype(np.float64))
    value += np.where(per_click, np.log(1000.0) + log_odds, 0.0)
    return value.astype(np.float32)
