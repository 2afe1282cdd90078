"""What windows would look like without drift: the reference's own hours, matched by the clock.

Traffic differs by the hour of the day and of the week, so each hour is compared with the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.drift.hours import Hours
from feedback.drift.measures import psi, shares

Floats = NDArray[np.float64]
WEEK = 168
SUNDAY_FROM_1970 = 3
"""1970-01-01 was a Thursday: hours since then + 3 days begin on a Monday."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What the reference says of one window."""

    count: Floats
    """[bins] as if the window's own requests had come as the reference's did."""
    noise: float
    """1/N + 1/M of the comparison, for requests of the window and of the matched hours."""


def alike(hour: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[H, T] which of the other hours each hour may be compared with.

    The same hours of the week if there are any, else the same of the day among workdays or among
    weekends, else the same of the day.
    """
    week = (hour + SUNDAY_FROM_1970 * 24) % WEEK
    weeks = (other + SUNDAY_FROM_1970 * 24) % WEEK
    same_day = week[:, None] % 24 == weeks % 24
    same_kind = same_day & ((week[:, None] >= 120) == (weeks >= 120))
    found: NDArray[np.bool_] = week[:, None] == weeks
    for wider in (same_kind, same_day):
        found = np.where(found.any(axis=1, keepdims=True), found, wider)
    return found


def matched(window: Hours, reference: Hours) -> Matched | None:
    """None where the reference knows nothing of some of the window's hours."""
    pair = alike(window.hour, reference.hour).astype(np.float64)
    known = pair @ reference.request
    if not len(window) or (known == 0).any():
        return None
    scale = window.request / known
    count = (pair @ reference.count * scale[:, None]).sum(axis=0)
    requests = window.request.sum()
    noise = 1 / requests + ((window.request / requests) ** 2 / known).sum()
    return Matched(count, float(noise))


def blocks(hours: Hours, size: int) -> list[Hours]:
    """The hours in groups of windows of `size`; midnight begins one."""
    name = hours.hour // size
    ends = np.flatnonzero(np.diff(name)) + 1
    parts = np.split(np.arange(len(hours)), ends)
    keep = np.arange(len(hours))
    return [hours.where(np.isin(keep, part)) for part in parts if len(part)]


def dispersion(reference: Hours, start: NDArray[np.int64], size: int, most: float) -> Floats:
    """[F] by how much more than chance the reference's own windows differ from the same hours of
    its other days; 1 with a single day, which says nothing.

    The mean of what would be chi-squared over its degrees of freedom (Rao and Scott 1984, first
    order): requests of one person, and moods of a day, make observations depend on each other.
    """
    found = []
    day = reference.hour // 24
    for block in blocks(reference, size):
        others = reference.where(~np.isin(day, block.hour // 24))
        expected = matched(block, others)
        if expected is None:
            continue
        own = shares(block.count.sum(axis=0).astype(np.float64), start)
        distance = psi(own, shares(expected.count, start), start)
        found.append(distance / expected.noise / np.maximum(np.diff(start) - 1, 1))
    mean = np.mean(found, axis=0) if found else np.ones(len(start) - 1)
    return np.clip(mean, 1.0, most)
