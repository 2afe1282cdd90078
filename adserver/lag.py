"""How far the event loop is behind: what a request waits for before anybody sees it.

While a turn of the loop computes, arrivals lie in their sockets, and nobody can ask how old they
are. A timer that should ring every few milliseconds tells: it rings at most once a turn, and by as
much as it is late, whoever is read in that turn may have been waiting.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from adserver.deadline import Clock

BEAT_S: Final = 0.005
"""Of a turn as much goes unnoticed; waking up so often costs a hundredth of a core."""


class Lag:
    """Of the loop that `start` is called in; before that there is none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due, self._late, self._worst = inf, 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = self._clock() + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._due, self._late = inf, 0.0

    def age(self) -> float:
        """Seconds that a request which is seen now may have waited unseen; 0 in an idle loop."""
        return self._late + max(0.0, self._clock() - self._due)

    def worst(self) -> float:
        """Of all turns since this was last asked, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    def _beat(self) -> None:
        self._late = max(0.0, self._clock() - self._due)
        self._worst = max(self._worst, self._late)
        self.start()
