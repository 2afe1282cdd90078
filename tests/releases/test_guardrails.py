"""Who goes up, who is rolled back and who is left alone, on simulated statistics."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver.releases.guardrails import Call, Case, verdict
from adserver.releases.limits import Limits
from adserver.releases.states import State
from adserver.releases.statistics import Scored, Stats, slower_than

RATE = 0.012
LIMITS = Limits()
SECONDS = 4000
SHARE = {State.CANARY_1: 0.01, State.CANARY_10: 0.1}


def second_of(rng, requests, *, ctr=RATE, predicted=RATE, price=0.004, ms=8, degraded=0.0) -> Stats:
    """One second of one arm: an impression per request, a click pays a hundred impressions."""
    pctr = rng.gamma(4.0, predicted / 4.0, requests)
    clicks = int((rng.random(requests) < pctr * ctr / predicted).sum())
    took = np.bincount(np.minimum(rng.poisson(ms, requests), 100), minlength=1)
    return Stats(
        requests=requests,
        degraded=int((rng.random(requests) < degraded).sum()),
        impressions=requests,
        clicks=clicks,
        expected=float(pctr.sum()),
        revenue=clicks * int(price * 1e8),
        revenue_squares=clicks * (price * 1e8) ** 2,
        took_ms=tuple(took.tolist()),
    )


def judged(seed, state=State.CANARY_1, rate=500, control=None, seconds=SECONDS, **canary):
    """The first call that is no KEEP, and the second it came in."""
    rng = np.random.default_rng(seed)
    ours, theirs = Stats(), Stats()
    for age in range(1, seconds):
        ours += second_of(rng, rng.binomial(rate, SHARE[state]), **canary)
        theirs += second_of(rng, rate, **(control or {}))
        found = verdict(Case(state, age, ours, theirs), LIMITS)
        if found.call is not Call.KEEP:
            return found, age
    return found, seconds


@pytest.mark.parametrize("seed", range(4))
def test_a_model_as_good_as_productions_goes_up_when_its_time_and_volume_are_reached(seed):
    found, age = judged(seed)

    assert found.call is Call.ADVANCE
    assert age >= LIMITS.canary1_s


@pytest.mark.parametrize(
    ("fault", "canary", "reason"),
    [
        ("calibration x 3", {"predicted": 3 * RATE}, "order of size"),
        ("calibration / 3", {"predicted": RATE / 3}, "order of size"),
        ("slow scorer", {"ms": 44}, "percentile"),
        ("erring scorer", {"degraded": 1.0}, "degraded"),
        ("a scorer that errs once in five times", {"degraded": 0.2}, "degraded"),
    ],
)
def test_a_fault_is_rolled_back_within_a_minute_at_one_percent(fault, canary, reason):
    for seed in range(5):
        found, age = judged(seed, **canary)

        assert found.call is Call.ROLL_BACK
        assert reason in found.reason
        assert age <= 60


def test_milder_faults_are_rolled_back_before_the_canary_ends():
    """Over predicted by half: not impossible at a glance, found by its clicks."""
    for seed in range(3):
        found, age = judged(seed, State.CANARY_10, predicted=1.5 * RATE)
        assert (found.call, age < LIMITS.canary10_s) == (Call.ROLL_BACK, True)
        assert "calibrated" in found.reason


def test_lost_clicks_and_lost_revenue_are_found_though_the_model_is_calibrated():
    lost, _ = judged(1, State.CANARY_10, rate=2000, ctr=0.6 * RATE, predicted=0.6 * RATE)
    cheap, _ = judged(2, State.CANARY_10, rate=2000, price=0.002)

    assert (lost.call, lost.reason) == (Call.ROLL_BACK, "it loses ctr")
    assert (cheap.call, cheap.reason) == (Call.ROLL_BACK, "it loses revenue")


def test_looking_every_second_rolls_back_fewer_good_models_than_the_stated_chance():
    """150 trials of 120 looks each, at a chance that would show."""
    limits = replace(LIMITS, chance=0.05)
    rng = np.random.default_rng(3)
    rolled_back = 0
    for _ in range(150):
        ours, theirs = Stats(), Stats()
        for age in range(120):
            ours += second_of(rng, 20)
            theirs += second_of(rng, 100)
            if verdict(Case(State.CANARY_1, age, ours, theirs), limits).call is Call.ROLL_BACK:
                rolled_back += 1
                break

    assert rolled_back <= 0.05 * 150


def test_a_market_that_moved_for_all_is_not_the_canarys_fault():
    """Clicks that are still to come, too: both see a third of what they predicted."""
    found, _ = judged(4, ctr=RATE / 3, control={"ctr": RATE / 3})

    assert found.call is Call.ADVANCE


def test_a_canary_that_mends_productions_calibration_goes_up():
    found, _ = judged(5, State.CANARY_10, control={"predicted": 4 * RATE})

    assert found.call is Call.ADVANCE


def test_a_machine_that_is_slow_for_all_is_not_the_canarys_fault():
    found, _ = judged(6, ms=44, control={"ms": 44})

    assert found.call is Call.ADVANCE


@given(st.integers(0, 30), st.integers(0, 3), st.floats(0.5, 2))
def test_a_handful_of_events_says_nothing(requests, clicks, expected):
    ours = Stats(requests, 0, 0, requests, min(clicks, requests), expected)
    theirs = Stats(10_000, 0, 5, 10_000, 120, 120.0, took_ms=(0, 0, 10_000))

    assert verdict(Case(State.CANARY_1, 10**6, ours, theirs), LIMITS).call is Call.KEEP


def test_without_clicks_anywhere_a_canary_needs_no_clicks_if_none_are_asked_for():
    """A trial run under load, where nobody looks at the ads."""
    rng = np.random.default_rng(7)
    none = {"clicks": 0, "impressions": 0, "expected": 0.0, "revenue": 0}
    ours, theirs = (
        msgspec.structs.replace(second_of(rng, n), **none, revenue_squares=0.0)
        for n in (3000, 90_000)
    )

    assert verdict(Case(State.CANARY_1, 10**6, ours, theirs), LIMITS).call is Call.KEEP
    found = verdict(Case(State.CANARY_1, 10**6, ours, theirs), replace(LIMITS, clicks=0))
    assert found.call is Call.ADVANCE


def shadow_of(rng, noise: float, shift: float = 0.0, requests: int = 400) -> Stats:
    x = rng.normal(-4.5, 1.0, requests * 100)
    y = x + shift + rng.normal(0.0, noise, len(x))
    scored = Scored(
        requests, len(x), 0, x.sum(), y.sum(), x @ x, y @ y, x @ y,
        np.exp(x).sum(), np.exp(y).sum(), requests, requests // 50,
    )  # fmt: skip
    return Stats(scored=scored)


@pytest.mark.parametrize(
    ("shadow", "call", "reason"),
    [
        ({"noise": 0.1}, Call.ADVANCE, "every limit"),
        ({"noise": 2.0}, Call.ROLL_BACK, "correlate"),
        ({"noise": 0.1, "shift": np.log(3.0)}, Call.ROLL_BACK, "order of size"),
        ({"noise": 0.1, "requests": 100}, Call.KEEP, "candidates scored"),
        ({"noise": 2.0, "requests": 20}, Call.KEEP, "candidates scored"),
    ],
)
def test_a_shadow_is_judged_by_how_its_scores_go_with_productions(shadow, call, reason):
    stats = shadow_of(np.random.default_rng(8), **shadow)

    found = verdict(Case(State.SHADOW, 10**6, stats, Stats()), LIMITS)

    assert (found.call, reason in found.reason) == (call, True)


def test_a_shadow_that_cannot_score_is_rolled_back():
    stats = Stats(errors=50)

    assert verdict(Case(State.SHADOW, 10, stats, Stats()), LIMITS).call is Call.ROLL_BACK


@pytest.mark.parametrize(
    ("errors", "batch", "call"),
    [(1, 1, Call.KEEP), (2, 1, Call.ROLL_BACK), (4, 4, Call.KEEP), (8, 4, Call.ROLL_BACK)],
)
def test_two_failures_condemn_a_canary_but_one_of_a_whole_batch_does_not(errors, batch, call):
    trial = Stats(requests=300, errors=errors, batch_squares=300 * batch)
    control = Stats(requests=30_000)

    assert verdict(Case(State.CANARY_1, 60, trial, control), LIMITS).call is call


def test_failures_that_production_has_too_condemn_nobody():
    trial, control = Stats(requests=300, errors=2), Stats(requests=30_000, errors=150)

    assert verdict(Case(State.CANARY_1, 60, trial, control), LIMITS).call is Call.KEEP


def test_statistics_of_two_workers_add_up(rng):
    seconds = [second_of(rng, 50), second_of(rng, 70)]

    both = seconds[0] + seconds[1]

    assert both.requests == 120
    assert sum(both.took_ms) == 120
    assert both.clicks == seconds[0].clicks + seconds[1].clicks
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(both), type=Stats) == both
    assert shadow_of(rng, 0.1).scored.correlation > 0.99
    assert (Stats() + seconds[0]).p99_ms == seconds[0].p99_ms


def test_the_99th_percentile_is_that_of_the_requests():
    took = np.bincount([7] * 985 + [30] * 15)

    assert Stats(took_ms=tuple(took.tolist())).p99_ms == 31.0
    assert slower_than(tuple(took.tolist()), 30) == 15
