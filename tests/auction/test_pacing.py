"""Bids follow the plan: what was delivered against what was due, learnt from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import CALM
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from auction.columns import MILLE, PPM
from auction.pacing import Goal, Mode, Pacer, PacingSettings, Plans, paced
from auction.traffic import Curve

DAY = 8_640.0
"""A day at a tenth of its length."""
HOUR = DAY / 24


def plan(amount=1_000_000, mode=Mode.EVEN, unit=100.0, start=0.0, end=DAY, key=1):
    return plans((amount, mode, unit, start, end, key))


def plans(*rows):
    amount, mode, unit, start, end, key = (np.array(column) for column in zip(*rows, strict=True))
    return Plans(
        key=key.astype(np.int64),
        kind=np.full(len(rows), Goal.SPEND, np.uint8),
        amount=amount.astype(np.int64),
        unit=unit.astype(np.float64),
        mode=mode.astype(np.uint8),
        period=(start / DAY).astype(np.int64),
        start_s=start.astype(np.float64),
        end_s=end.astype(np.float64),
    )


@pytest.fixture
def new_pacer():
    """Makes pacers on a flat curve; proves each when the test ends."""
    made = []

    def make(followed, settings=PacingSettings()):  # noqa: B008 (values only)
        pacer = Pacer(settings, Curve.flat(HOUR))
        pacer.follow(followed)
        made.append(pacer)
        return pacer

    yield make
    for pacer in made:
        assert pacer.check() == []


class Market:
    """Sells one plan impressions at lognormal prices; its full bid is `bid`."""

    def __init__(self, rng, per_tick=40.0, bid=400.0, price=200.0):
        self.rng, self.per_tick, self.bid, self.price = rng, per_tick, bid, price

    def spend(self, multiplier_ppm):
        prices = self.rng.lognormal(np.log(self.price), 1.0, self.rng.poisson(self.per_tick))
        return int(prices[prices < self.bid * multiplier_ppm / PPM].sum())


def run(pacer, market, begin, end, spent=0):
    """Spend of each tick of one second."""
    spends = []
    for second in range(begin, end):
        pacer.tick(float(second), np.array([spent]))
        spends.append(market.spend(int(pacer.multiplier_ppm()[0])))
        spent += spends[-1]
    return spends


def test_a_new_plan_offers_its_whole_bid(new_pacer):
    pacer = new_pacer(plan())

    pacer.tick(0.0, np.array([0]))

    assert pacer.multiplier_ppm().tolist() == [PPM]


def test_a_plan_that_spends_too_fast_lowers_its_bid_until_it_spends_what_is_due(new_pacer, rng):
    pacer, market = new_pacer(plan(8_640_000)), Market(rng)

    spends = run(pacer, market, 0, 1_000)

    assert 0.9 < np.mean(spends[100:]) / 1_000 < 1.1
    assert pacer.multiplier_ppm()[0] < PPM / 2


def test_a_plan_that_cannot_spend_enough_offers_its_whole_bid(new_pacer, rng):
    pacer = new_pacer(plan(8_640_000))

    run(pacer, Market(rng, per_tick=3.0), 0, 500)

    assert pacer.multiplier_ppm()[0] == PPM


def test_as_soon_as_possible_is_never_held_back(new_pacer, rng):
    pacer = new_pacer(plan(8_640_000, Mode.ASAP))

    run(pacer, Market(rng), 0, 100)

    assert pacer.multiplier_ppm()[0] == PPM


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_changed_budget_is_followed_within_ten_seconds(new_pacer, rng, factor):
    pacer, market = new_pacer(plan(86_400_000)), Market(rng, per_tick=400.0)
    spent = sum(run(pacer, market, 0, 600))

    left = 86_400_000 - spent
    pacer.follow(plan(int(spent + left * factor)))
    spends = run(pacer, market, 600, 630, spent)

    due = factor * left / (DAY - 600)
    assert 0.8 < np.mean(spends[10:]) / due < 1.2


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_changed_traffic_is_answered_within_ten_seconds(new_pacer, rng, factor):
    pacer, market = new_pacer(plan(86_400_000)), Market(rng, per_tick=400.0)
    spent = sum(run(pacer, market, 0, 600))

    market.per_tick *= factor
    spends = run(pacer, market, 600, 630, spent)

    due = (86_400_000 - spent) / (DAY - 600)
    assert 0.8 < np.mean(spends[10:]) / due < 1.2


def test_a_front_loaded_plan_is_ahead_at_noon_and_back_on_course_by_night(new_pacer):
    even, early = new_pacer(plan()), new_pacer(plan(mode=Mode.FRONT_LOADED))

    assert even.planned(DAY / 24)[0] == pytest.approx(1_000_000 / 24, abs=1)
    assert early.planned(DAY / 24)[0] / even.planned(DAY / 24)[0] == pytest.approx(1.4, abs=0.02)
    assert early.planned(DAY / 2)[0] == pytest.approx(600_000, abs=1)
    assert early.planned(DAY)[0] == 1_000_000


def test_plans_follow_the_traffic_of_the_hours():
    weight = np.ones(168)
    weight[1] = 3.0
    pacer = Pacer(PacingSettings(), Curve(weight, HOUR))
    pacer.follow(plan(26_000))

    assert pacer.planned(HOUR).tolist() == [1_000]
    assert pacer.planned(2 * HOUR).tolist() == [4_000]


def test_a_restarted_pacer_goes_on_where_the_other_stopped(new_pacer, rng):
    first = new_pacer(plan(8_640_000))
    spent = sum(run(first, Market(rng), 0, 300))

    second = new_pacer(Plans.none())
    second.follow(plan(8_640_000), first.state.copy())
    second.now_s = first.now_s
    for pacer in (first, second):
        pacer.tick(300.0, np.array([spent]))

    assert_array_equal(first.state, second.state)


def test_a_new_day_keeps_the_bid_and_forgets_the_spend(new_pacer, rng):
    pacer = new_pacer(plan(8_640_000))
    spent = sum(run(pacer, Market(rng), 0, 300))
    before = pacer.multiplier_ppm()

    pacer.follow(plan(8_640_000, start=DAY, end=2 * DAY))
    pacer.tick(300.0, np.array([0]))

    assert spent > 0
    assert_array_equal(pacer.multiplier_ppm(), before)


@pytest.mark.parametrize("hours", [{10}, set(range(3, 24))])
@pytest.mark.parametrize("second", [180, 330, 345])
def test_a_burst_costs_its_own_hour_and_the_next_few_a_little(new_pacer, hours, second):
    """Sixfold traffic for a twelfth of an hour of 400 deliveries, once or hour after hour."""
    pacer = new_pacer(plan(9_600, unit=1.0))
    total, hourly = 0.0, np.zeros(24)

    for now in range(int(DAY)):
        hour, since = divmod(now, int(HOUR))
        pacer.tick(float(now), np.array([int(total)]))
        traffic = 6.0 if hour in hours and second <= since < second + 30 else 1.0
        bid = pacer.multiplier_ppm()[0] / PPM
        sold = min(9_600 - total, traffic * bid**2 * 4.0 * 9_600 / DAY)
        total += sold
        hourly[hour] += sold

    assert np.abs(hourly[3:] / 400 - 1).max() <= 0.05
    assert total >= 9_590


def test_promises_that_come_back_raise_the_bid(new_pacer, rng):
    pacer = new_pacer(plan(8_640_000))
    spent = sum(run(pacer, Market(rng), 0, 300))
    pacer.tick(300.0, np.array([spent]))
    before = pacer.multiplier_ppm()[0]

    pacer.tick(301.0, np.array([spent - 20_000]))

    assert pacer.multiplier_ppm()[0] > before


def test_plans_that_come_or_go_leave_the_others_as_they_were(new_pacer):
    row = (1_000_000, Mode.EVEN, 100.0, 0.0, DAY)
    pacer = new_pacer(plans((*row, 1), (*row, 3)))
    for second in range(20):
        pacer.tick(float(second), np.array([0, 2_000 * second]))
    bid = pacer.multiplier_ppm()

    pacer.follow(plans((*row, 2), (*row, 3), (*row, 4)))

    assert bid[1] < PPM
    assert pacer.multiplier_ppm().tolist() == [PPM, bid[1], PPM]


def test_after_a_long_silence_nothing_was_due(new_pacer, rng):
    pacer = new_pacer(plan(8_640_000))
    spent = sum(run(pacer, Market(rng), 0, 300))
    pacer.tick(300.0, np.array([spent]))
    before = pacer.multiplier_ppm()

    pacer.tick(2_000.0, np.array([spent]))

    assert_array_equal(pacer.multiplier_ppm(), before)


def test_urgency_is_what_is_left_over_what_will_come(new_pacer):
    """Half the rate that is needed is an urgency of two; a goal that is met has none."""
    pacer = new_pacer(plans(*((8_640, Mode.EVEN, 1.0, 0.0, DAY, key) for key in (1, 2, 3))))
    for second in range(4_321):
        half = second // 2
        pacer.tick(float(second), np.array([second, half, min(8_640, 3 * second)]))

    urgency = pacer.urgency_ppm(4_320.0) / PPM

    assert urgency[0] == pytest.approx(1.0, abs=0.01)
    assert urgency[1] == pytest.approx(3.0, abs=0.05)  # 6480 left, 2160 to come
    assert urgency[2] == 0


@CALM
@given(st.lists(st.tuples(st.integers(1, 10**13), st.booleans(), st.integers(1, PPM)), min_size=1))
def test_a_paced_bid_is_never_nothing_and_never_above_the_bid(rows):
    bid, per_click, ppm = (np.array(column) for column in zip(*rows, strict=True))
    bid = np.where(per_click, bid, np.maximum(1, bid // MILLE) * MILLE)

    offered = paced(bid, per_click, ppm)

    assert ((offered >= 1) & (offered <= bid)).all()
    assert (offered[~per_click] % MILLE == 0).all()
    exact = [int(b) * int(m) // PPM for b, m in zip(bid, ppm, strict=True)]
    assert (offered <= np.maximum(exact, np.where(per_click, 1, MILLE))).all()
    assert_array_equal(paced(bid, per_click, np.full(len(bid), PPM)), bid)


@CALM
@given(st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=30))
def test_whatever_is_delivered_the_state_stays_in_range(steps):
    pacer = Pacer(PacingSettings(), Curve.flat())
    pacer.follow(plan(10**9, end=86_400.0))

    for second, total in enumerate(np.cumsum(steps)):
        pacer.tick(float(second), np.array([total]))

        assert pacer.check() == []
        assert 1 <= pacer.multiplier_ppm()[0] <= PPM


def test_a_guaranteed_goal_is_kept_to_its_plan_though_it_wins_or_not_by_its_floor_alone(rng):
    """Five a second at any bid above the floor, none below: it stands aside part of the time."""
    pacer = Pacer(PacingSettings(), Curve.flat(HOUR))
    pacer.follow(plan(8_640, unit=1.0))
    total, hourly = 0, np.zeros(24)

    for second in range(int(DAY)):
        pacer.tick(float(second), np.array([total]))
        sold = int(rng.poisson(5)) if pacer.multiplier_ppm()[0] >= 100_000 else 0
        sold = min(sold, 8_640 - total)
        total += sold
        hourly[int(second / HOUR)] += sold

    assert 0.975 <= total / 8_640 <= 1.0
    assert np.abs(hourly[1:] / 360 - 1).max() <= 0.1
    assert pacer.check() == []
