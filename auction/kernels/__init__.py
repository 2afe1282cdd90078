"""The loops that a page waits for, compiled; one file per concern.

Each has a readable oracle: `auction.plain`, or the tests.
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
