"""What admission learns: the price of a batch, the pauses between, and how wrong it was."""

from __future__ import annotations

import numpy as np
import pytest

from adserver.admission import (
    BACK,
    GRACE_S,
    MOMENT_S,
    PRESSED_S,
    STEP_S,
    WIDEST_S,
    Admission,
    BatchCost,
)

RESERVE_S = 0.006


@pytest.fixture
def admission(clock):
    return Admission(clock, RESERVE_S)


def learnt(admission, sizes, fixed_s=0.004, each_s=0.001):
    for n in sizes:
        admission.decided(n, fixed_s + each_s * n)
    return admission


@pytest.mark.parametrize(("fixed_s", "each_s"), [(0.004, 0.001), (0.0, 0.002), (0.010, 0.0)])
def test_the_cost_of_a_batch_is_learnt_from_batches_of_other_sizes(fixed_s, each_s):
    cost, sizes = BatchCost(), np.random.default_rng(1).integers(1, 9, 200)
    for n in sizes.tolist():
        cost.learn(n, fixed_s + each_s * n)

    assert cost.of(20) == pytest.approx(fixed_s + 20 * each_s, rel=1e-6)


def test_noise_does_not_make_larger_batches_cheaper():
    cost, rng = BatchCost(), np.random.default_rng(2)
    for _ in range(500):
        n = int(rng.integers(1, 4))
        cost.learn(n, 0.010 - 0.001 * n + 0.001 * rng.random())

        assert cost.each_s >= 0
        assert cost.fixed_s >= -1e-12


def test_batches_of_one_size_are_taken_to_cost_by_the_request():
    cost = BatchCost()
    for _ in range(10):
        cost.learn(4, 0.008)

    assert cost.of(8) == pytest.approx(0.016)


def test_the_first_request_of_all_is_admitted(admission):
    assert not admission.hopeless(0.010, 0)
    assert admission.fitting(0.010, 20) == 20


def test_a_request_is_hopeless_when_those_before_it_take_its_time(admission):
    learnt(admission, [1, 2, 4, 8] * 20)

    assert not admission.hopeless(0.0501, 39)  # 4 + 40 ms of batch and 6 of writing
    assert admission.hopeless(0.0501, 40)


def test_pauses_between_batches_count(admission):
    learnt(admission, [1, 2, 4, 8] * 20)
    for _ in range(100):
        admission.paused(0.010)

    assert not admission.hopeless(0.050, 29)
    assert admission.hopeless(0.050, 31)


def test_a_batch_holds_what_its_first_request_has_time_for(admission):
    learnt(admission, [1, 2, 4, 8] * 20)

    assert admission.fitting(0.0205, 20) == 10
    assert admission.fitting(0.050, 20) == 20
    assert admission.fitting(0.001, 20) == 1


def pressed(admission, clock, late=40):
    """After so many late moments, as fast as they can count."""
    for _ in range(late):
        clock.now += 1.01 * MOMENT_S
        admission.answered(0.0)
    return admission


def test_late_answers_of_one_moment_widen_the_margin_once(admission, clock):
    for _ in range(30):
        clock.now += MOMENT_S / 40
        admission.answered(RESERVE_S)

    assert admission.margin_s == pytest.approx(STEP_S, rel=0.05)


def test_the_margin_is_bounded_and_goes_with_time(admission, clock):
    assert pressed(admission, clock).margin_s == WIDEST_S

    for _ in range(10):
        clock.now += WIDEST_S / BACK / 20
        admission.answered(0.040)
    assert admission.margin_s == pytest.approx(WIDEST_S / 2)
    clock.now += WIDEST_S / BACK
    admission.answered(0.040)
    assert admission.margin_s == 0.0


def test_one_late_moment_a_second_is_borne(admission, clock):
    for _ in range(100):
        clock.now += 1.0
        admission.answered(0.0)

    assert admission.margin_s <= 2 * STEP_S < PRESSED_S


def test_without_load_whom_a_hiccup_kept_waiting_has_some_time_yet(admission, clock):
    assert admission.due(clock() - 1.0) == clock() + GRACE_S
    assert admission.due(clock() + 1.0) == clock() + 1.0
    assert not admission.hopeless(GRACE_S, 0)
    assert not admission.too_late(0.001)
    assert admission.too_late(0.0)


def test_under_load_time_for_writing_the_answer_must_be_left(admission, clock):
    pressed(admission, clock)

    assert admission.due(clock() - 1.0) == clock() - 1.0
    assert admission.hopeless(WIDEST_S + RESERVE_S - 0.0001, 0)
    assert not admission.hopeless(WIDEST_S + RESERVE_S + 0.0001, 0)
    assert admission.too_late(RESERVE_S)
    assert not admission.too_late(RESERVE_S + 0.0001)


def test_one_slow_batch_does_not_shut_the_door_for_good(admission):
    learnt(admission, [1], fixed_s=2.0)

    assert admission.hopeless(0.050, 1)
    assert not admission.hopeless(0.050, 0)
