"""What is known of a batch's people and pages before its auction, and what that keeps away.

Knows neither the store nor how identities are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.snapshot import Snapshot
from adserver.identity import Callers, NoIdentity
from adserver.settings import Settings
from auction import frequency
from auction.caps import NONE, Cap, Caps
from auction.columns import Bids, Rejection
from auction.frequency import Ads, Batch, Moment, Rules

REMEMBERED_MS = 86_400_000
"""What somebody has seen before counts for this long when clicks are expected less often."""
Codes = NDArray[np.uint8]
Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class HistorySettings:
    hold_ms: int = 360_000
    """How long a place is kept for a sale that has not been shown: as long as it may still be."""
    no_identity: NoIdentity = NoIdentity.PAGE_ONLY
    repeat_discount: float = 0.0
    """κ of exp(−κ n), by which the n-th showing is expected to be clicked less often; 0: off."""
    rules: Rules = field(default_factory=Rules)

    @classmethod
    def of(cls, settings: Settings) -> HistorySettings:
        return cls(
            settings.frequency_hold_s * 1000,
            NoIdentity(settings.no_identity),
            settings.repeat_discount,
        )


@dataclass(frozen=True, slots=True)
class Shelf:
    """What histories need of one snapshot."""

    ads: Ads
    caps: Caps = NONE

    @classmethod
    def of(cls, snapshot: Snapshot, user_caps: Sequence[Cap] = ()) -> Shelf:
        """`user_caps` are the site's own, on all that one person is shown."""
        ads = snapshot.ads
        return cls(
            Ads(
                ad=ads.ad_id,
                line_item=ads.line_item,
                line_item_id=snapshot.line_items.line_item_id,
                campaign=ads.campaign,
                advertiser=ads.advertiser,
                creative=ads.creative,
                labels=ads.labels,
            ),
            snapshot.caps.with_user(user_caps),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """The histories of a batch, of one moment before its auction."""

    callers: Callers
    shelf: Shelf
    moment: Moment
    settings: HistorySettings
    person: tuple[Records, NDArray[np.int64]]
    """Records, and [B + 1] where each request's begin."""
    page: tuple[Records, NDArray[np.int64]]

    def gate(self, offset: NDArray[np.int32], row: NDArray[np.int32]) -> Codes:
        """[R] FREQUENCY, DUPLICATE or EXCLUSION for candidates that need no score, else 0.

        `row` [R] are rows of the snapshot, `offset` [B + 1] where each request's begin.
        """
        ads, caps = self.shelf.ads, self.shelf.caps
        records, begin = self.page
        code = frequency.page_rejections(
            records, Batch(begin, offset, row), ads, self.settings.rules, self.moment.now_ms
        )
        if caps:
            records, begin = self.person
            batch = Batch(begin, offset, row)
            full = frequency.capped(records, batch, ads, caps, self.moment)
            if self.callers.skipped.any():
                skipped = np.repeat(self.callers.skipped, np.diff(offset))
                full |= skipped & frequency.has_cap(row, ads, caps)
            code[full] = Rejection.FREQUENCY
        return code

    def discounted(self, bids: Bids) -> Bids:
        """Lower click rates where the person has seen the campaign in the last day, if asked."""
        if not self.settings.repeat_discount:
            return bids
        records, begin = self.person
        start_ms = self.moment.now_ms - REMEMBERED_MS + 1
        batch = Batch(begin, bids.offset, bids.ad)
        seen = frequency.seen_counts(records, batch, self.shelf.ads.campaign[bids.ad], start_ms)
        table = frequency.discounts(self.settings.repeat_discount)
        return replace(bids, pctr_ppm=frequency.discounted(bids.pctr_ppm, seen, table))
