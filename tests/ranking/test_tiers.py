"""Late, refused and gone are answers, each marked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from ranking.breaker import Circuit, CircuitBreaker
from ranking.scorer import Broken, Gone, Late, Pairs, RankerError, Refused
from ranking.tiers import score_in_time

PAIRS = Pairs(
    version=1,
    vector=np.zeros((1, 2), np.float32),
    bias=np.zeros(1, np.float32),
    ad=np.arange(3, dtype=np.int32),
    offset=np.array([0, 3], np.int32),
)
LOGIT = np.array([0.1, 0.2, 0.3], np.float32)


@dataclass
class FixedScorer:
    """Answers, or fails, as told; counts how often it is asked."""

    answer: NDArray[np.float32] | RankerError
    asked: int = 0

    async def score(self, pairs: Pairs, timeout_s: float) -> NDArray[np.float32]:
        self.asked += 1
        if isinstance(self.answer, RankerError):
            raise self.answer
        return self.answer

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return None


def scores(scorer, breaker, clock, timeout_s=0.03):
    return asyncio.run(score_in_time(scorer, breaker, PAIRS, timeout_s, clock))


def test_the_full_models_scores_come_through(clock):
    assert_array_equal(scores(FixedScorer(LOGIT), CircuitBreaker(), clock), LOGIT)


@pytest.mark.parametrize(
    ("failure", "word"),
    [(Late(), "late"), (Refused(), "refused"), (Gone(), "gone"), (Broken(), "broken")],
)
def test_each_failure_is_named(failure, word, clock):
    assert scores(FixedScorer(failure), CircuitBreaker(), clock) == word


def test_a_dead_scorer_is_soon_not_asked_any_more_and_is_noticed_when_it_is_back(clock):
    scorer, breaker = FixedScorer(Gone()), CircuitBreaker(failures_to_open=3)

    for _ in range(100):
        scores(scorer, breaker, clock)
    assert scorer.asked == 3
    assert scores(scorer, breaker, clock) == "open"

    scorer.answer = LOGIT
    clock.advance(breaker.probe_every_s)
    assert_array_equal(scores(scorer, breaker, clock), LOGIT)
    assert breaker.circuit is Circuit.CLOSED


def test_a_request_without_time_does_not_ask(clock):
    scorer = FixedScorer(LOGIT)

    assert scores(scorer, CircuitBreaker(), clock, timeout_s=0.0) == "late"
    assert scorer.asked == 0


def test_a_scorer_is_not_blamed_for_missing_an_impossible_deadline(clock):
    breaker = CircuitBreaker(failures_to_open=1)

    assert scores(FixedScorer(Late()), breaker, clock, timeout_s=0.0005) == "late"

    assert breaker.circuit is Circuit.CLOSED


def test_a_bug_in_a_scorer_is_not_taken_for_lateness(clock):
    class Buggy(FixedScorer):
        async def score(self, pairs: Pairs, timeout_s: float) -> NDArray[np.float32]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scores(Buggy(LOGIT), CircuitBreaker(), clock)
