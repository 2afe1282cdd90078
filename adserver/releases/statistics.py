"""What one model did in one phase of its release: counts that add up over workers.

Plain sums, so that the statistics of two workers or two seconds are one by addition. It knows
neither where they are counted nor what they are judged by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
Took = tuple[int, ...]
SLOWEST_MS: Final = 100
"""Batches of this and more are counted as one bucket."""


class Scored(msgspec.Struct, frozen=True, array_like=True):
    """A shadow's scores beside production's of the same candidates; x are production's log-odds."""

    requests: int = 0
    rows: int = 0
    skipped: int = 0
    """Requests not scored because there was no time."""
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0
    rate: float = 0.0
    """Sum of production's click rates."""
    shadow_rate: float = 0.0
    slots: int = 0
    """Sold, and sold again with the shadow's rates."""
    flips: int = 0
    """Of these, to another ad."""
    took_ms: Took = ()
    """Requests by whole milliseconds of scoring."""

    def __add__(self, other: Scored) -> Scored:
        return totalled([self, other])

    @property
    def correlation(self) -> float:
        """Of log-odds; 0 where there is nothing to correlate."""
        n = max(self.rows, 1)
        across = self.xy - self.x * self.y / n
        own = (self.xx - self.x**2 / n) * (self.yy - self.y**2 / n)
        return across / math.sqrt(own) if own > 1e-12 else 0.0

    @property
    def mean_ratio(self) -> float:
        """Mean click rate over production's; 1 where nothing was scored."""
        return self.shadow_rate / self.rate if self.rate > 0 else 1.0

    @property
    def flip_share(self) -> float:
        return self.flips / max(self.slots, 1)


class Stats(msgspec.Struct, frozen=True, array_like=True):
    """One model's. Impressions, clicks and money are those of its own decisions in the phase."""

    requests: int = 0
    errors: int = 0
    """Requests that it failed on; production answered them, if it was not production itself."""
    degraded: int = 0
    """Requests answered by the fallback model."""
    impressions: int = 0
    clicks: int = 0
    expected: float = 0.0
    """Clicks that were predicted for these impressions."""
    revenue: int = 0
    """Micros billed."""
    revenue_squares: float = 0.0
    """Sum of the squares of the amounts billed."""
    took_ms: Took = ()
    """Requests by whole milliseconds from their batch's start to its decisions."""
    scored: Scored = Scored()
    slots: int = 0
    """Asked for by the requests that it decided itself."""
    sold: int = 0
    """Of these."""
    batch_squares: int = 0
    """Sum of the squares of the requests of its batches."""

    def __add__(self, other: Stats) -> Stats:
        return totalled([self, other])

    @property
    def answered(self) -> int:
        """Requests that it decided itself: impressions, clicks and money are theirs."""
        return self.requests - self.degraded

    @property
    def burst(self) -> float:
        """Requests of a batch, as a request sees it: they are late or fail together, so that many
        are no more evidence than one."""
        return max(1.0, self.batch_squares / max(self.requests, 1))

    @property
    def copc(self) -> float:
        """Clicks over predicted clicks; 1 where none were predicted."""
        return self.clicks / self.expected if self.expected > 0 else 1.0

    @property
    def ctr(self) -> float:
        return self.clicks / max(self.impressions, 1)

    @property
    def predicted_rate(self) -> float:
        return self.expected / max(self.impressions, 1)

    @property
    def error_share(self) -> float:
        return self.errors / max(self.requests, 1)

    @property
    def degraded_share(self) -> float:
        return self.degraded / max(self.requests, 1)

    @property
    def p99_ms(self) -> float:
        return p99_ms(self.took_ms)


def took(seconds: float, requests: int) -> Took:
    """So many requests of one batch that took so long."""
    return (*[0] * min(int(1000 * seconds), SLOWEST_MS), requests)


def p99_ms(took: Took) -> float:
    """Upper end of the millisecond that holds the 99th percentile; 0 of nothing."""
    left = 0.01 * sum(took)
    for ms in range(len(took) - 1, -1, -1):
        left -= took[ms]
        if left < 0:
            return float(ms + 1)
    return 0.0


def slower_than(took: Took, ms: float) -> int:
    """Requests that took at least this."""
    return sum(took[math.ceil(ms) :])


def totalled(parts: Sequence[S]) -> S:
    """The sum of one or more, far quicker than one addition each."""
    kind = type(parts[0])
    columns = zip(*map(attrgetter(*kind.__struct_fields__), parts), strict=True)
    return kind(*map(_total, columns))


def _total(column: tuple[Any, ...]) -> Any:
    if isinstance(column[0], tuple):
        return tuple(map(sum, zip_longest(*filter(None, column), fillvalue=0)))
    return totalled(column) if isinstance(column[0], msgspec.Struct) else sum(column)
