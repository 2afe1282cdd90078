"""What a scan knows of whole line items, made anew when the live part of the catalogue is replaced.

Knows bids and pauses only as columns; who changed them, and why, is the catalogue's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.kinds import Kinds
from retrieval.query import Live
from retrieval.vectors import AdVectors


class Standing:
    """Columns and bounds of ads and line items, for the `Live` that was looked at last.

    Relies on the arrays of a `Live` never being written again once it has been handed out: a new
    array is what says that something changed.
    """

    def __init__(self, ad_start: NDArray[np.int32], kinds: Kinds, vectors: AdVectors) -> None:
        self._start = ad_start
        self._kind = kinds.kind
        self._vectors = vectors
        self._nowhere = len(kinds.size)
        self._alive: NDArray[np.uint8] | None = None
        self._base: NDArray[np.float32] | None = None
        self.highest = np.zeros(3, np.float32)
        """Greatest base by impression, greatest by click, longest vector."""
        self.line = np.zeros((len(ad_start) - 1, 16), np.float32)
        """[L, 16] what a scan reads of a line item, in one cache line: `kernels.Ads.line`."""
        kernels.middle_of_lines(
            self.line,
            self.line.view(np.int8),
            ad_start,
            vectors.head,
            vectors.fact,
            vectors.per_click,
        )
        self.kind = kinds.kind.copy()
        """[N] kinds; a paused ad is of one more kind, which fits nowhere."""
        self.near = np.empty((len(self.kind), 6), np.float32)
        """[N, 6] what a scan reads of an ad side by side, so that it comes with one look at memory:
        base, length of the vector, the columns of `AdVectors.fact`."""
        self.near[:, 1] = vectors.norm
        self.near[:, 2:] = vectors.fact

    def follow(self, live: Live) -> bool:
        """Take over what changed; tells whether anything did."""
        paused, rebid = live.ad is not self._alive, live.base is not self._base
        if paused or rebid:
            self._alive, self._base = live.ad, live.base
            self.near[:, 0] = live.base
            self.kind[:] = np.where(live.ad, self._kind, self._nowhere)
            vectors, line, highest = self._vectors, self.line, self.highest
            kernels.top_of_lines(
                line, highest, self._start, live.ad, live.base, vectors.norm, vectors.per_click
            )
        return paused or rebid
