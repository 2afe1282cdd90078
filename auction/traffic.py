"""When requests come: the hours of a week by weight, learnt from what was counted.

Knows seconds as its caller counts them (wall seconds begin an hour 0 on a Thursday) and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

HOURS = 168
DAY = 24
SHORTEST = 0.25
"""Share of an hour that must have been watched before it teaches anything."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Expected requests of each hour of the week, up to a factor."""

    weight: F64
    """[168] positive; hour h holds the seconds whose `s // hour_s % 168` is h."""
    hour_s: float = 3600.0
    """Seconds of an hour; a simulation may compress them."""
    _until: F64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.weight.shape != (HOURS,) or not (self.weight > 0).all():
            raise ValueError(f"a curve is {HOURS} positive weights")
        object.__setattr__(self, "_until", np.concatenate([[0.0], np.cumsum(self.weight)]))

    @classmethod
    def flat(cls, hour_s: float = 3600.0) -> Curve:
        return cls(np.ones(HOURS), hour_s)

    def until(self, at_s: F64) -> F64:
        """Mass from the beginning of time to these moments, in mean weights times hours."""
        hours = np.asarray(at_s, np.float64) / self.hour_s
        weeks, hour = np.divmod(hours, HOURS)
        whole = np.minimum(hour.astype(np.int64), HOURS - 1)
        part = self._until[whole] + (hour - whole) * self.weight[whole]
        mass: F64 = weeks * self._until[HOURS] + part
        return mass

    def between(self, start_s: F64, end_s: F64) -> F64:
        """Expected requests from each start to each end, up to the curve's factor."""
        return self.until(end_s) - self.until(start_s)


class CurveLearner:
    """The curve of a server's own traffic, by exponential averaging over the weeks.

    An hour of the week that was never watched takes the same hour of other days, or the mean of
    what was watched: one day teaches the next.
    """

    def __init__(
        self, mean: F64 | None = None, hour_s: float = 3600.0, memory: float = 0.3
    ) -> None:
        """`mean` [168] requests of an hour as learnt before, NaN where never watched; `memory` is
        the weight of the newest week: higher follows a changed site faster, lower forgives a
        holiday."""
        self.mean = np.full(HOURS, np.nan) if mean is None else np.array(mean, np.float64)
        self.hour_s, self.memory = hour_s, memory
        self._hour = -1
        self._requests = self._watched_s = 0.0

    def observe(self, from_s: float, to_s: float, requests: int) -> None:
        """Count requests of a stretch of at most an hour; its end says to which hour it belongs."""
        hour = int(to_s // self.hour_s)
        if hour != self._hour:
            self._close()
            self._hour, self._requests, self._watched_s = hour, 0.0, 0.0
        self._requests += requests
        self._watched_s += min(max(0.0, to_s - from_s), self.hour_s)

    def _close(self) -> None:
        share = self._watched_s / self.hour_s
        if self._hour < 0 or share < SHORTEST:
            return
        place, found = self._hour % HOURS, self._requests / share
        known = self.mean[place]
        weight = self.memory * min(1.0, share)
        self.mean[place] = found if np.isnan(known) else known + weight * (found - known)

    def curve(self) -> Curve:
        """What is known now; flat when nothing is. No hour weighs less than a hundredth of the
        mean: a quiet hour must not stop what it was never asked about."""
        by_hour = self.mean.reshape(-1, DAY)
        seen = ~np.isnan(by_hour)
        if not seen.any():
            return Curve.flat(self.hour_s)
        total = np.where(seen, by_hour, 0.0)
        overall = total.sum() / seen.sum()
        count = seen.sum(axis=0)
        daily = np.where(count > 0, total.sum(axis=0) / np.maximum(1, count), overall)
        filled = np.where(seen, by_hour, daily).ravel()
        if overall <= 0:
            return Curve.flat(self.hour_s)
        return Curve(np.maximum(filled / overall, 0.01), self.hour_s)

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        known = self.mean[~np.isnan(self.mean)]
        if self.mean.shape != (HOURS,) or (known < 0).any():
            return ["the learnt hours are not 168 counts"]
        return []
