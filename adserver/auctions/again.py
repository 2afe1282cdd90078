"""A recorded page held again: as it was, or with what somebody wants to try.

Unchanged, the sale is repeated to the micro. To try something else, give other columns
(`dataclasses.replace` of the record's `bids`, `slots`) or other settings to `run_auction` yourself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from auction.columns import Slate
from auction.mechanism import run_auction
from auction.settings import AuctionSettings

PLENTY = 1 << 62


def again(page: AuctionRecord, settings: AuctionSettings) -> Slate:
    """The slate of one page on the budgets and the terms of fairness of its time."""
    if len(page) != 1:
        raise ValueError("one page at a time: each was sold with the budgets that it found")
    return run_auction(page.bids, page.slots, page.slate, money_of(page), settings)


def money_of(page: AuctionRecord) -> NDArray[np.int64]:
    """[A] micros by account, as the page found them; `PLENTY` where they could not run out.

    A record without `scarce`, of the ring, gives plenty everywhere.
    """
    most = int(page.bids.account.max(initial=-1)) + 1
    micros = np.full(most, PLENTY, np.int64)
    if page.scarce is not None:
        micros[page.scarce.account] = page.scarce.micros
    return micros
