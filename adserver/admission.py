"""Whether a request can still be answered in time: learnt from the batches before it.

A batch of n takes a + b n seconds, and while requests wait, the event loop does other things
between two batches. Such a forecast errs, so a margin is kept back: it grows with each moment at
which answers came late and shrinks as time goes by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from adserver.deadline import Clock

FORGET: Final = 0.02
"""Weight of the newest batch in what a batch costs."""
FORGET_GAP: Final = 0.1
"""Weight of the newest pause in how long pauses are."""
STEP_S: Final = 0.002
"""What a moment of late answers adds to the margin."""
BACK: Final = 0.002
"""What a second takes from it: one moment of late answers a second is borne."""
WIDEST_S: Final = 0.020
"""A wider one keeps p99 at 50 ms, but makes batches so small, and hence dear, that far fewer are
decided in time."""
PRESSED_S: Final = 0.005
"""At this margin answers are late one moment after the other: that is load, no hiccup."""
GRACE_S: Final = 0.020
"""What a request has left at least when it is read and there is no load."""
MOMENT_S: Final = 0.050
"""Answers that are late within this are so for one reason, and count once."""


@dataclass(slots=True)
class BatchCost:
    """Seconds of a batch of n as a + b n, by least squares over the recent ones."""

    fixed_s: float = 0.0
    each_s: float = 0.0
    _weight: float = 0.0
    _n: float = 0.0
    _s: float = 0.0
    _nn: float = 0.0
    _ns: float = 0.0

    def learn(self, n: int, seconds: float) -> None:
        self._weight += FORGET * (1 - self._weight)
        self._n += FORGET * (n - self._n)
        self._s += FORGET * (seconds - self._s)
        self._nn += FORGET * (n * n - self._nn)
        self._ns += FORGET * (n * seconds - self._ns)
        mean_n, mean_s = self._n / self._weight, self._s / self._weight
        spread = self._nn / self._weight - mean_n**2
        slope = (self._ns / self._weight - mean_n * mean_s) / spread if spread > 1e-3 else inf
        self.each_s = min(max(slope, 0.0), mean_s / mean_n)
        self.fixed_s = mean_s - self.each_s * mean_n

    def of(self, n: int) -> float:
        return self.fixed_s + self.each_s * n


@dataclass(slots=True)
class Admission:
    """What one queue knows of its own speed."""

    clock: Clock
    reserve_s: float
    """Kept back from every deadline for writing the answer."""
    cost: BatchCost = field(default_factory=BatchCost)
    gap_s: float = 0.0
    """From the end of a batch to the start of the next while somebody waits."""
    margin_s: float = 0.0
    _answered_at: float = -inf
    _late_at: float = -inf

    def due(self, deadline_at: float) -> float:
        """Until when a request may wait that is seen now; under load no longer than its deadline.

        Without load, whom a hiccup of the machine kept waiting is answered by the fallback: an ad
        that is late is better than an empty page which nobody would gain by.
        """
        return max(deadline_at, self.clock() + GRACE_S) if not self.pressed else deadline_at

    @property
    def pressed(self) -> bool:
        """Whether there is load."""
        return self.margin_s >= PRESSED_S

    def hopeless(self, remaining_s: float, queued: int) -> bool:
        """Whether a request with so much time left had better be declined at once.

        One that finds nobody before it is decided with as many candidates as its time allows, so
        its own cost is no reason: one slow batch never shuts the door for good.
        """
        if not queued:
            return self.too_late(remaining_s - self.margin_s)
        forecast_s = self.gap_s + self.cost.of(queued + 1)
        return forecast_s + self.reserve_s + self.margin_s > remaining_s

    def too_late(self, remaining_s: float) -> bool:
        """Whether what is left is past, or under load needed for writing the answer."""
        return remaining_s <= (self.reserve_s if self.pressed else 0.0)

    def fitting(self, remaining_s: float, most: int) -> int:
        """Requests that a batch may hold if its first one has so much time left; at least 1."""
        spare_s, each_s = remaining_s - self.reserve_s - self.cost.fixed_s, self.cost.each_s
        return max(1, min(most, int(spare_s / each_s))) if each_s > 0 else most

    def decided(self, requests: int, seconds: float) -> None:
        self.cost.learn(requests, seconds)

    def paused(self, seconds: float) -> None:
        """So long nothing was decided although somebody waited."""
        self.gap_s += FORGET_GAP * (seconds - self.gap_s)

    def answered(self, remaining_s: float) -> None:
        """An answer, whatever it says, is ready to be written with so much time left."""
        now = self.clock()
        self.margin_s = max(0.0, self.margin_s - BACK * (now - self._answered_at))
        self._answered_at = now
        if remaining_s <= self.reserve_s and now - self._late_at > MOMENT_S:
            self._late_at = now
            self.margin_s = min(WIDEST_S, self.margin_s + STEP_S)
