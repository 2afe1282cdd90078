"""The loops that a page waits for, compiled; one file per concern.

Each has a readable oracle: `auction.plain`, or the tests. What sells and has one caller or two is
part of them (`inline`): numba optimises and emits every function with all that it calls, so the
body of a sale would be compiled once for each level above it.
"""

from auction.kernels.exposure import (
    boost_now,
    dual_now,
    move_entries,
    place_of,
    remember_sale,
)
from auction.kernels.ledger import reserve
from auction.kernels.selling import sell

__all__ = ["boost_now", "dual_now", "move_entries", "place_of", "remember_sale", "reserve", "sell"]
