"""What one batch cost, stage by stage, and the numbers its decisions are known by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from adserver.deadline import Clock


@dataclass(slots=True)
class Trace:
    """Seconds per stage of one batch."""

    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[name] = self.clock() - began

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def milliseconds(self) -> dict[str, float]:
        return {name: round(seconds * 1000, 3) for name, seconds in self.seconds.items()}


@dataclass(slots=True)
class Numbers:
    """Decision numbers: unique over workers and restarts, ascending within a worker.

    8 bits of worker, 32 of the second it started, 24 of sequence; the sequence may run over into
    the seconds, which stay behind the clock at any rate below 16 million decisions per second.
    """

    next: int

    @classmethod
    def of(cls, worker: int, started_s: int) -> Numbers:
        return cls((worker & 0xFF) << 56 | (started_s & 0xFFFFFFFF) << 24)

    def take(self, count: int) -> range:
        first = self.next
        self.next += count
        return range(first, first + count)
