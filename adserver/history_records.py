"""Histories as the store keeps them: records end to end in bytes, and regions with room to add."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adserver.state.store import Values
from auction import frequency
from auction.caps import Caps
from auction.frequency import PAGE_MS, SIGHTING, STANDING, Moment, Regions

Records = NDArray[np.void]


def records_of(value: bytes | None, kind: np.dtype[np.void]) -> Records:
    return np.frombuffer(bytearray(value or b""), kind)


def joined(values: Values, kind: np.dtype[np.void]) -> tuple[Records, NDArray[np.int64]]:
    """All records, and [n + 1] where each value's begin."""
    begin = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value or b"") // kind.itemsize for value in values], out=begin[1:])
    return records_of(b"".join(value for value in values if value), kind), begin


def with_room(values: Values, room: Sequence[int], kind: np.dtype[np.void]) -> Regions:
    """One region per value, with room for that many more records."""
    parts: list[bytes] = []
    size = np.zeros((2, len(values)), np.int64)
    for at, (value, more) in enumerate(zip(values, room, strict=True)):
        found = value or b""
        parts += [found, bytes(more * kind.itemsize)]
        size[:, at] = len(found) // kind.itemsize, more
    start = np.cumsum(size.sum(axis=0)) - size.sum(axis=0)
    return Regions(records_of(b"".join(parts), kind), start, start + size[0])


def packed(regions: Regions, most: int) -> list[bytes | None]:
    """Each region's last `most` records as the store keeps them; None for an empty one."""
    spans = zip(regions.start.tolist(), regions.end.tolist(), strict=True)
    return [regions.record[max(start, end - most) : end].tobytes() or None for start, end in spans]


def drop_old_pages(regions: Regions, now_ms: int, page_ms: int = PAGE_MS) -> None:
    """Move what still stands to the front of each region, in its order."""
    spans = zip(regions.start.tolist(), regions.end.tolist(), strict=True)
    for at, (start, end) in enumerate(spans):
        part = regions.record[start:end]
        fresh = part[part["t_ms"] > now_ms - page_ms]
        if len(fresh) < len(part):
            regions.record[start : start + len(fresh)] = fresh
            regions.end[at] = start + len(fresh)


def uncounted(values: Values, caps: Caps, moment: Moment) -> NDArray[np.bool_]:
    """Histories in which no cap's window holds anything any more."""
    records, begin = joined(values, SIGHTING)
    return ~frequency.needed(records, begin, caps, moment)


def idle(values: Values, kind: np.dtype[np.void], since_ms: int) -> NDArray[np.bool_]:
    """Records of which nothing happened since then."""
    records, begin = joined(values, kind)
    latest = np.zeros(len(values), np.int64)
    owner = np.repeat(np.arange(len(values)), np.diff(begin))
    for name in ("t_ms",) if kind is STANDING else ("impression_ms", "soft_until_ms"):
        np.maximum.at(latest, owner, records[name])
    return np.asarray(latest < since_ms)
