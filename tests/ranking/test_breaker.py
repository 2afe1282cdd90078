"""A sick scorer must not tax each request, and a healthy one must not be kept waiting."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ranking.breaker import Circuit, CircuitBreaker

NOW = 100.0


@pytest.fixture
def opened() -> CircuitBreaker:
    """Opened at NOW."""
    breaker = CircuitBreaker(failures_to_open=3, probe_every_s=0.5)
    for _ in range(3):
        assert breaker.admits(NOW)
        breaker.failed(NOW)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row():
    breaker = CircuitBreaker(failures_to_open=3)

    for expected in (Circuit.CLOSED, Circuit.CLOSED, Circuit.OPEN):
        breaker.failed(NOW)
        assert breaker.circuit is expected


def test_a_success_between_failures_starts_the_count_again():
    breaker = CircuitBreaker(failures_to_open=2)

    for _ in range(10):
        breaker.failed(NOW)
        breaker.succeeded()

    assert breaker.circuit is Circuit.CLOSED


def test_an_open_circuit_lets_nobody_through_before_the_first_probe(opened):
    assert not opened.admits(NOW)
    assert not opened.admits(NOW + 0.49)


def test_one_probe_goes_through_per_interval(opened):
    admitted = [opened.admits(NOW + at) for at in (0.5, 0.5, 0.6, 0.99, 1.0, 1.01)]

    assert admitted == [True, False, False, False, True, False]


def test_a_probe_that_is_answered_closes_the_circuit(opened):
    opened.admits(NOW + 0.5)
    assert opened.circuit is Circuit.HALF_OPEN

    opened.succeeded()

    assert opened.circuit is Circuit.CLOSED
    assert all(opened.admits(NOW + 0.5) for _ in range(100))


def test_a_probe_that_fails_leaves_it_open(opened):
    opened.admits(NOW + 0.5)

    opened.failed(NOW + 0.55)

    assert opened.circuit is Circuit.OPEN
    assert not opened.admits(NOW + 0.9)


def test_a_probe_that_never_reports_back_only_costs_its_interval(opened):
    opened.admits(NOW + 0.5)

    assert opened.admits(NOW + 1.0)


def test_calls_that_were_under_way_when_it_opened_do_not_put_off_the_probe(opened):
    opened.failed(NOW + 0.45)

    assert opened.admits(NOW + 0.5)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is reported and whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(failures_to_open=3, probe_every_s=0.5)
        self.now = NOW
        self.in_a_row = 0
        self.last_probe = -1.0

    @rule(seconds=st.floats(0.0, 2.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_fails(self) -> None:
        self.breaker.failed(self.now)
        self.in_a_row += 1

    @rule()
    def a_call_succeeds(self) -> None:
        self.breaker.succeeded()
        self.in_a_row = 0

    @precondition(lambda self: self.in_a_row >= 3)
    @rule()
    def a_call_is_wanted_while_it_is_open(self) -> None:
        if self.breaker.admits(self.now):
            assert self.now >= self.last_probe + 0.5
            self.last_probe = self.now

    @invariant()
    def it_is_closed_until_enough_failures_came_in_a_row(self) -> None:
        assert (self.breaker.circuit is Circuit.CLOSED) == (self.in_a_row < 3)

    @invariant()
    def a_closed_circuit_admits_everyone(self) -> None:
        assert self.in_a_row >= 3 or self.breaker.admits(self.now)


test_any_history = AnyHistory.TestCase
