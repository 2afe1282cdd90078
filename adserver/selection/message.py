"""What the selector and those who ask it agree on: the answer's columns, and what changes.

Of the live part of a snapshot the receiver needs every change once; one that comes twice does no
harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.query import Live

ASK: Final = 0
CHANGE: Final = 1
MOST_ROWS: Final = 100_000
"""Ads of one message: below the 4 MB that gRPC takes."""
OUTPUTS: Final = MappingProxyType[str, type[np.int32 | np.float32]](
    {
        "AD": np.int32,
        "VALUE": np.float32,
        "LOGIT": np.float32,
        "WORTH": np.float32,
        "SLOTS": np.int32,
        "ELIGIBLE": np.int32,
    }
)
"""Columns of `retrieval.gpu.selector.Ranked`, in its order; slots travel as signed numbers."""
Key = tuple[int, int]
"""Versions of a snapshot and of a model."""
Words = NDArray[np.uint64]


class Garbled(ValueError):
    """A message that is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """Ads with their pauses and bids now, and all line items with theirs."""

    ad: NDArray[np.int32]
    alive: NDArray[np.uint8]
    base: NDArray[np.float32]
    running: Words
    first: Words | None
    last: Words | None

    def packed(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Whole numbers, and floats."""
        tiers = [one for one in (self.first, self.last) if one is not None]
        which = (self.first is not None) + 2 * (self.last is not None)
        head = np.array([len(self.ad), len(self.running), which], np.int32)
        words = [one.view(np.int32) for one in (self.running, *tiers)]
        parts = (head, self.ad, self.alive.astype(np.int32), *words)
        return np.concatenate(parts), np.append(self.base, np.float32(0))

    @classmethod
    def of(cls, whole: NDArray[np.int32], base: NDArray[np.float32]) -> Change:
        """What `packed` packed; Garbled if it cannot have."""
        if len(whole) < 3 or whole[:3].min() < 0 or whole[2] > 3:
            raise Garbled("a change begins with three numbers of what follows")
        ads, words, which = whole[:3].tolist()
        bitmaps = 1 + (which & 1) + (which >> 1)
        if len(whole) != 3 + 2 * ads + 2 * words * bitmaps or len(base) != ads + 1:
            raise Garbled(f"{len(whole)} numbers and {len(base)} bids are no change of {ads} ads")
        ad, alive, lines = np.split(whole[3:], [ads, 2 * ads])
        bits = np.ascontiguousarray(lines).view(np.uint64).reshape(bitmaps, words)
        return cls(
            ad,
            (alive != 0).astype(np.uint8),
            base[:-1],
            bits[0],
            bits[1] if which & 1 else None,
            bits[-1] if which >> 1 else None,
        )

    def check(self, ads: int, words: int) -> None:
        """Garbled unless it speaks of a snapshot of so many ads and words of line items."""
        if len(self.running) != words:
            raise Garbled(f"{words} words hold the line items, not {len(self.running)}")
        if len(self.ad) and not 0 <= self.ad.min() <= self.ad.max() < ads:
            raise Garbled(f"ads are rows from 0 to {ads - 1}")


def changes(old: Live | None, new: Live) -> Iterator[Change]:
    """What the receiver lacks who has `old`, or nothing yet; the line items come with the last."""
    rows = (
        np.arange(len(new.ad))
        if old is None
        else np.flatnonzero((new.ad != old.ad) | (new.base != old.base))
    )
    for start in range(0, max(1, len(rows)), MOST_ROWS):
        part = rows[start : start + MOST_ROWS]
        lines = new if start + MOST_ROWS >= len(rows) else (old or _nothing_runs(new))
        yield Change(
            part.astype(np.int32),
            new.ad[part],
            new.base[part],
            *(lines.line_item, lines.first, lines.last),
        )


def _nothing_runs(live: Live) -> Live:
    return Live(np.zeros_like(live.line_item), live.ad, live.base)
