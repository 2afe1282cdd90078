"""The click model if it answers in time, else the small model in process: never an exception.

Late, refused and gone are answers here, each with its decision quality. This module knows no
request format and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ranking.breaker import CircuitBreaker
from ranking.bundle import Bundle
from ranking.logistic import LogisticScorer
from ranking.scorer import FALLBACK, FULL, Pairs, RankerError, Scorer
from ranking.table import AdTable

FAIR_S: Final = 0.002
"""A call that had less time than this says nothing about the scorer when it is late."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-odds [R] of a click before the slot's share, and which model they are from."""

    logit: NDArray[np.float32]
    quality: int
    degraded: str = ""
    """Why the full model did not score: late, refused, gone, broken or open; empty if it did."""


class Tables(Protocol):
    """One snapshot's tables and the model that they were built with."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def table(self) -> AdTable: ...


async def score_in_time(
    scorer: Scorer,
    breaker: CircuitBreaker,
    pairs: Pairs,
    timeout_s: float,
    clock: Callable[[], float],
) -> NDArray[np.float32] | str:
    """Full scores, or in one word why there are none; no later than the time given."""
    if timeout_s <= 0.0:
        return "late"
    if not breaker.admits(clock()):
        return "open"
    try:
        logit = await scorer.score(pairs, timeout_s)
    except RankerError as error:
        if timeout_s >= FAIR_S:
            breaker.failed(clock())
        return type(error).__name__.lower()
    breaker.succeeded()
    return logit


@dataclass(slots=True)
class Ranks:
    """The scorer of one worker, the judgement on each model, and what stands in for it.

    Each model has a circuit of its own: one that fails must not cost the others their scores.
    """

    scorer: Scorer
    clock: Callable[[], float]
    breakers: dict[int, CircuitBreaker] = field(default_factory=dict)

    def breaker(self, model: int) -> CircuitBreaker:
        """Of one model's version."""
        return self.breakers.setdefault(model, CircuitBreaker())

    def keep(self, models: Collection[int]) -> None:
        """Forget the circuits of all other models."""
        self.breakers = {one: self.breakers[one] for one in self.breakers if one in models}

    async def score(
        self, pairs: Pairs, request: NDArray[np.int32], tables: Tables, timeout_s: float
    ) -> Scores:
        """Scores of every pair, whatever happens; `request` i32[B, W] are the encoded requests."""
        breaker = self.breaker(pairs.model)
        full = await score_in_time(self.scorer, breaker, pairs, timeout_s, self.clock)
        if not isinstance(full, str):
            return Scores(full, FULL)
        small = LogisticScorer(tables.bundle.logistic)
        return Scores(small.score(request, pairs, tables.table), FALLBACK, full)
