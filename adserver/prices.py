"""What turns the bids of a batch into ranks: quality, squashing and personal reserves.

It decides nothing about a sale; the auction takes these columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from adserver.edition import Edition
from auction.columns import Bids
from auction.reserves import Reserves
from auction.settings import AuctionSettings, Mode
from auction.squash import Squash, weights

NO_RESERVES = Reserves(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Prices:
    """What turns bids into ranks and prices. One per worker."""

    settings: AuctionSettings
    squash: Squash
    reserves: Reserves = NO_RESERVES
    """By advertiser id."""

    @property
    def contracts(self) -> frozenset[int]:
        """Tiers in which a winner pays its own bid."""
        modes = self.settings.modes
        return frozenset(tier for tier, mode in modes.items() if mode is not Mode.AUCTION)

    def weighed(self, bids: Bids, edition: Edition) -> Bids:
        """The bids with their rank per micro and personal reserves, where they differ from the
        event rate and from nothing."""
        quality = edition.overlay.items.quality_ppm[edition.snapshot.ads.line_item[bids.ad]]
        usual = bool((quality == 1_000_000).all())
        if not (usual and self.squash.off):
            weight = weights(bids.pctr_ppm, bids.per_click, None if usual else quality, self.squash)
            bids = replace(bids, weight_ppm=weight)
        if len(self.reserves.key):
            reserve = self.reserves.of(bids.advertiser.astype(np.int64))
            bids = replace(bids, reserve_micros=reserve)
        return bids
