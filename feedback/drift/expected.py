"""What windows would look like without drift: the reference's own hours, matched by the clock.

Traffic differs by the hour of the day, and at weekends, so each hour is compared with the like.
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

    The same hours of the day among workdays or among weekends, else the same of the day. The same
    of the week would be one in a reference of a week: its own chance would hide half of what
    differs. How much Fridays differ from Mondays is in the `dispersion`.
    """
    week = (hour + SUNDAY_FROM_1970 * 24) % WEEK
    weeks = (other + SUNDAY_FROM_1970 * 24) % WEEK
    same_day = week[:, None] % 24 == weeks % 24
    same_kind = same_day & ((week[:, None] >= 120) == (weeks >= 120))
    found: NDArray[np.bool_] = np.where(same_kind.any(axis=1, keepdims=True), same_kind, same_day)
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


def horizon(window: Hours, reference: Hours) -> float:
    """Days from the reference to the window, as the variance of what wanders counts them: the mean
    of n days of a random walk lies a third of n before its end."""
    first, last = int(reference.hour[0]) // 24, int(reference.hour[-1]) // 24
    return max(1, int(window.hour[0]) // 24 - last) + (last - first + 1) / 3


@dataclass(frozen=True, slots=True)
class Wandering:
    """[F] by how much more than chance windows differ from the days before them, a day of the
    horizon; 0 with a single day, which says nothing."""

    share: Floats
    """Of the chance of the comparison."""
    own: Floats
    """In itself, as 1/N + 1/M is given."""


def wandering(reference: Hours, start: NDArray[np.int64], size: int, most: float) -> Wandering:
    """From the windows of the second half of the days, of which the bins know nothing.

    What would be chi-squared over its degrees of freedom has a mean of 1 by chance alone (Rao and
    Scott 1984, first order). Requests of one person depend on each other, and the interests of a
    few people are carried away day by day: the days before say less of a day than those around it
    would. The mean of a few days is uncertain by about its own size over their root: two such
    deviations are added.
    """
    day, days = reference.hour // 24, 0.0
    share, own = np.zeros(len(start) - 1), np.zeros(len(start) - 1)
    late = reference.where(day > (day.min() + day.max()) // 2)
    for block in blocks(late, size):
        before = reference.where(day < block.hour[0] // 24)
        expected = matched(block, before)
        if expected is None:
            continue
        found = shares(block.count.sum(axis=0).astype(np.float64), start)
        distance = psi(found, shares(expected.count, start), start)
        excess = distance / expected.noise / np.maximum(np.diff(start) - 1, 1) - 1
        share, own = share + excess, own + excess * expected.noise
        days += horizon(block, before)
    doubt = (1 + 2 / max(1, len(np.unique(late.hour // 24))) ** 0.5) / max(days, 1.0)
    return Wandering(np.clip(doubt * share, 0.0, most), np.maximum(doubt * own, 0.0))
