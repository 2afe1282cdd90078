"""What the two plans cost on this machine with this catalogue; figures, no clock.

The times come from probes that `calibration` runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a scan by eligible ads, and of a search by ads fetched; both linear.

    A search includes counting all ads of the catalogue, which a request for fewer does not need:
    in doubt the planner scans.
    """

    ads: int
    line_items: int
    scan_s: float
    scan_ad_s: float
    search_s: float
    search_ad_s: float

    def may_pay(self, words: NDArray[np.uint64]) -> bool:
        """Whether a search could win if every ad of the matched line items were eligible."""
        matched = int(np.bitwise_count(words).sum())
        most = self.ads * matched / max(1, self.line_items)
        return self.search_s < self.scan_s + most * self.scan_ad_s

    def pays(self, eligible: int, fetch: int) -> bool:
        """Whether a search for `fetch` ads beats a scan of the eligible ones."""
        search = self.search_s + fetch * self.search_ad_s
        return search < self.scan_s + eligible * self.scan_ad_s
