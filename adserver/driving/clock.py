"""A clock that moves when it is told to: simulated days take as long as the work in them."""

from __future__ import annotations

from dataclasses import dataclass

from adserver.deadline import Clocks


@dataclass(slots=True)
class SimulatedClock:
    """Wall and monotonic seconds in one: nothing takes any time of its own."""

    now_s: float

    def __call__(self) -> float:
        return self.now_s

    def advance_to(self, now_s: float) -> None:
        """Later or the same; an earlier moment leaves it where it is."""
        self.now_s = max(self.now_s, now_s)

    @property
    def clocks(self) -> Clocks:
        return Clocks(self, self, sleep=lambda seconds: None)
