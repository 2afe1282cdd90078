"""Where one ad stands in the rings: every auction of a window that it came to, and how it ended.

The bytes are searched whole, by numpy and without the interpreter, so that a full ring costs some
tens of milliseconds and no decision waits; only what is looked at closer is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.encoding import Damaged, decode
from adserver.auctions.record import AuctionRecord
from adserver.auctions.ring import Ring

CHUNK = 1 << 20
"""Numbers compared at a time: small enough to stay in a cache."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """One ring's auctions in a window, and those among them that the ad came to."""

    ring: Ring
    entries: NDArray[np.void]
    """[records] of `ring.ENTRY`, oldest first."""
    record: NDArray[np.int64]
    """[hits] place in `entries`."""
    row: NDArray[np.int64]
    """[hits] row in that record."""
    code: NDArray[np.uint8]
    """[hits] what became of the ad there."""

    @property
    def decisions(self) -> int:
        return int(self.entries["pages"].sum())

    def read(self, record: int) -> AuctionRecord | None:
        """A record of `entries`, unless it has been overwritten meanwhile."""
        data = self.ring.read(self.entries[record])
        try:
            return None if data is None else decode(data)
        except Damaged:
            return None


def sightings(ring: Ring, ad: int, since_ms: int) -> Sightings:
    """All in the window that are still whole when the search has ended."""
    entries = ring.entries()
    entries = entries[entries["at_ms"] >= since_ms]
    found = np.concatenate([np.zeros(0, np.int64), *_positions(ring, ad, entries)])
    begins = entries["position"].astype(np.int64)
    record = np.searchsorted(begins, found, "right") - 1
    inside = found - begins[record] - entries["ad_at"][record]
    row = inside // 8
    genuine = (inside >= 0) & (inside % 8 == 0) & (row < entries["rows"][record])
    record, row = record[genuine], row[genuine]
    at = (begins[record] + entries["code_at"][record] + row) % len(ring.raw)
    code = ring.raw[at]
    there = ring.still_there(entries["position"])
    gone = int(np.count_nonzero(~there))  # the oldest ones
    kept = record >= gone
    return Sightings(ring, entries[gone:], record[kept] - gone, row[kept], code[kept])


def _positions(ring: Ring, ad: int, entries: NDArray[np.void]) -> Iterator[NDArray[np.int64]]:
    """Where in all that was ever written the number stands; most are ids of the ad."""
    if not len(entries):
        return
    numbers = ring.raw.view(np.int64)
    begin = int(entries["position"][0]) // 8
    end = (int(entries["position"][-1]) + int(entries["size"][-1])) // 8
    while begin < end:
        place = begin % len(numbers)
        length = min(CHUNK, end - begin, len(numbers) - place)
        yield (np.flatnonzero(numbers[place : place + length] == ad) + begin) * 8
        begin += length


def pages_of(
    found: Sightings, record: NDArray[np.int64], row: NDArray[np.int64]
) -> Iterator[tuple[AuctionRecord, int]]:
    """Each of these hits as a page of its own, with the ad's row in it."""
    for place, at in zip(record.tolist(), row.tolist(), strict=True):
        whole = found.read(place)
        if whole is not None:
            page = int(np.searchsorted(whole.bids.offset, at, "right")) - 1
            yield whole.page(page), at - int(whole.bids.offset[page])


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))[:count]


def shares(counts: Sequence[int], total: int) -> list[int]:
    """`total` divided in proportion to `counts`, in whole numbers that sum to it exactly.

    The largest remainders are rounded up (Hamilton's method); equal ones in order.
    """
    weight = sum(counts)
    if not weight:
        return [0] * len(counts)
    parts = [total * count // weight for count in counts]
    rest = sorted(range(len(counts)), key=lambda n: (-(total * counts[n] % weight), n))
    for n in rest[: total - sum(parts)]:
        parts[n] += 1
    return parts
