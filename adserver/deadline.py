"""The moment by which a request must be answered, handed from stage to stage.

The only file beside app.py and the edges that may look at a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

Clock = Callable[[], float]
monotonic: Clock = time.monotonic
"""Seconds that never go back; for deadlines and durations."""
wall: Clock = time.time
"""Seconds since 1970, UTC; for flights, day-parts, tokens and events."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a worker reads the time from; a driver that plays simulated days has its own."""

    wall: Clock
    monotonic: Clock
    sleep: Callable[[float], None] = time.sleep
    """Pauses a thread for so many seconds."""


REAL = Clocks(wall, monotonic)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock that every stage of one request shares."""

    at: float
    clock: Clock = monotonic

    def remaining(self) -> float:
        """Seconds left; zero, never negative, once the moment has passed."""
        return max(0.0, self.at - self.clock())

    def reserving(self, seconds: float) -> Deadline:
        """An earlier deadline, leaving `seconds` for the stages still to come."""
        return replace(self, at=self.at - seconds)
