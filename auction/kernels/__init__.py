"""The loops that a page waits for, compiled; one file per concern.

Each has a readable oracle: `auction.plain`, or the tests.
"""

from auction.kernels.exposure import dual_now, remember
from auction.kernels.ledger import reserve
from auction.kernels.selling import sell

__all__ = ["dual_now", "remember", "reserve", "sell"]
