"""A circuit breaker: whether to ask a scorer that has been failing.

Pure: moments are arguments, in monotonic seconds. It knows nothing of what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Circuit(Enum):
    """CLOSED: every call goes through. OPEN: none. HALF_OPEN: one, to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(slots=True)
class CircuitBreaker:
    """Spares callers a wait that would be in vain, and notices within a probe that it is over.

    Opens after so many failures in a row. While open it lets one call through per `probe_every_s`;
    a probe that never reports back (its caller was cancelled) only costs that time. Any success
    closes it.
    """

    failures_to_open: int = 5
    """Fewer reacts faster to a dead scorer and trips more easily on a slow moment."""
    probe_every_s: float = 0.5
    """How long a scorer that is back may go unnoticed; while it is not, one call per this waits."""
    _failures: int = 0
    _probe_at: float = 0.0
    _probing: bool = False

    @property
    def circuit(self) -> Circuit:
        if self._failures < self.failures_to_open:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self._probing else Circuit.OPEN

    def admits(self, now: float) -> bool:
        """Whether to make this call; if so, report `succeeded` or `failed`."""
        if self._failures < self.failures_to_open:
            return True
        if now < self._probe_at:
            return False
        self._probing = True
        self._probe_at = now + self.probe_every_s
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._probing = False

    def failed(self, now: float) -> None:
        """A call that was refused, late, or met nobody."""
        if self.circuit is Circuit.CLOSED:
            self._probe_at = now + self.probe_every_s
        self._failures += 1
        self._probing = False
