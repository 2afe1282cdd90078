"""Pacing shared by workers: one leads, all offer the same, and a death costs a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from adserver.books import Books
from adserver.meter import Meter, Steps, Tally, count_key, key_of, money_key
from adserver.pace import KEEP_S, TURN_S, Pace
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from auction.books import Book
from auction.columns import PPM, Level, account_of
from auction.pacing import Goal, Mode, PacingSettings, Plans

DAY_S = 86_400.0
KEY = money_key(Level.CAMPAIGN, 7)
NOTHING = Tally().take()


def plans(*keys, amount=8_640_000, day=0):
    count = len(keys)
    return Plans(
        key=np.array(sorted(keys), np.int64),
        kind=np.full(count, Goal.SPEND, np.uint8),
        amount=np.full(count, amount, np.int64),
        unit=np.full(count, 100.0),
        mode=np.full(count, Mode.EVEN, np.uint8),
        period=np.full(count, day, np.int64),
        start_s=np.full(count, day * DAY_S),
        end_s=np.full(count, (day + 1) * DAY_S),
    )


def delivered(key, units, promised=0):
    return Steps(np.array([key]), np.array([units]), np.array([promised]))


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else DiskStore(tmp_path, 1 << 24)
    yield store
    store.close()


@pytest.fixture
def new_worker(store):
    made = []

    def make():
        made.append(Pace(store, len(made), PacingSettings()))
        return made[-1]

    yield make
    for pace in made:
        assert pace.check() == []


def beats(worker, begin, end, units_per_second, followed):
    """Beat each second with so many units sold in it; the last multiplier."""
    for second in range(begin, end):
        found = worker.beat(float(second), 10, delivered(KEY, units_per_second), followed)
    return int(found.multiplier_ppm[0])


def test_the_meter_adds_what_all_workers_sold_and_promised(store):
    one, other = Meter(store), Meter(store)
    followed = plans(3, KEY, 90_000_000)

    one.add(delivered(KEY, 5, promised=100), followed)
    other.add(delivered(KEY, 6, promised=-40), followed)
    other.add(delivered(90_000_000, 1), followed)

    assert one.read(followed).tolist() == [0, 71, 1]


def test_a_new_period_forgets_what_was_delivered_but_not_what_is_promised(store):
    meter = Meter(store)
    meter.add(delivered(KEY, 5, promised=100), plans(KEY))

    assert meter.read(plans(KEY, day=1)).tolist() == [100]
    meter.add(delivered(KEY, 7), plans(KEY, day=1))
    meter.add(delivered(KEY, 1_000, promised=-1), plans(KEY))  # a worker still in yesterday
    assert meter.read(plans(KEY, day=1)).tolist() == [106]


def test_steps_without_a_plan_are_forgotten(store):
    meter = Meter(store)

    meter.add(delivered(KEY, 5), plans(KEY + 1))
    meter.add(delivered(KEY, 5), Plans.none())

    assert meter.read(plans(KEY, KEY + 1)).tolist() == [0, 0]


def test_a_batch_of_sales_is_tallied_like_one_sale_after_the_other():
    one, other = Tally(), Tally()
    account = np.array([[4, 9, -1, -1], [4, -1, -1, 19], [-1, -1, -1, -1]])
    for row, micros in zip(account.tolist(), (50, 7, 3), strict=True):
        for payer in row:
            if payer >= 0:
                one.promise(key_of(payer), micros)

    other.promise_all(account, np.array([50, 7, 3]))

    assert all(np.array_equal(a, b) for a, b in zip(one.take(), other.take(), strict=True))


def test_a_tally_is_taken_once():
    tally = Tally()
    tally.promise(KEY, 50)
    tally.promise(KEY + 1, 8)
    tally.deliver(KEY, 40, promised=50)

    taken = tally.take()

    assert [column.tolist() for column in taken] == [[KEY, KEY + 1], [40, 0], [0, 8]]
    assert tally.take().key.size == 0


def test_every_plan_has_a_key_of_its_own():
    money = [money_key(level, number) for level in Level for number in (1, 2)]
    counts = [count_key(number, goal) for goal in list(Goal)[1:] for number in (1, 2)]

    assert len({*money, *counts}) == 14


def test_all_workers_offer_what_the_leader_found(new_worker):
    leader, follower = new_worker(), new_worker()
    followed = plans(KEY)

    for second in range(20):
        leader.beat(float(second), 5, delivered(KEY, 1_000), followed)
        found = follower.beat(second + 0.5, 5, delivered(KEY, 1_000), followed)

    assert found.multiplier_ppm[0] < PPM
    assert_array_equal(found.multiplier_ppm, leader.published.multiplier_ppm)


def test_the_sales_of_all_workers_count(new_worker):
    """Each alone would be within the plan; together they are at twice of it."""
    leader, follower = new_worker(), new_worker()
    followed = plans(KEY)

    for second in range(30):
        leader.beat(float(second), 5, delivered(KEY, 100), followed)
        follower.beat(float(second), 5, delivered(KEY, 100), followed)

    assert leader.published.multiplier_ppm[0] < PPM


def test_when_the_leader_dies_another_goes_on_where_it_stopped(new_worker):
    leader, successor = new_worker(), new_worker()
    followed = plans(KEY)
    before = beats(leader, 0, 30, 1_000, followed)

    last = 29 + int(TURN_S) + 1
    waiting = [int(successor.beat(s, 0, NOTHING, followed).multiplier_ppm[0]) for s in (30.0, 31.0)]
    after = int(successor.beat(float(last), 0, NOTHING, followed).multiplier_ppm[0])

    assert waiting == [before, before]
    assert before <= after < PPM
    assert last - 29 <= TURN_S + KEEP_S


def test_what_is_sold_between_two_leaders_is_not_lost(store, new_worker):
    leader, successor = new_worker(), new_worker()
    followed = plans(KEY)
    beats(leader, 0, 30, 100, followed)

    successor.beat(30.0, 0, delivered(KEY, 50_000), followed)
    successor.beat(33.0, 0, NOTHING, followed)

    assert successor.pacer.state["seen"][0] == 30 * 100 + 50_000
    assert successor.published.multiplier_ppm[0] < PPM


def test_requests_of_all_workers_teach_the_curve(new_worker):
    leader, follower = new_worker(), new_worker()
    followed = plans(KEY)

    for second in range(0, 3_700, 2):
        leader.beat(float(second), 10, NOTHING, followed)
        follower.beat(float(second), 30, NOTHING, followed)

    assert leader.learner.mean[0] == pytest.approx(1_800 * 40, rel=0.02)


def test_a_beat_is_due_once_a_second(new_worker):
    worker = new_worker()

    assert [worker.is_due(at) for at in (10.0, 10.5, 11.0, 11.5, 5.0)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_budget_that_pacing_did_not_know_begins_with_what_the_books_know(store, new_worker):
    """The state was lost and the books were rebuilt: 5 000 of today's are spent, 700 promised."""
    account = account_of(Level.CAMPAIGN, 7)
    book = Book(day=3, spent_day=5_000, spent_before=90_000, lease=((0, 700),))
    Books(store).put({account: book})
    today, later = plans(KEY, day=3), replace(plans(KEY, day=3), period=np.array([4]))

    new_worker().beat(3 * DAY_S, 0, delivered(KEY, 5), today)

    assert Meter(store).read(today).tolist() == [5_700]
    assert Meter(store).read(later).tolist() == [700]


def test_a_flight_that_pacing_did_not_know_begins_with_all_that_was_ever_spent(store, new_worker):
    Books(store).put({account_of(Level.CAMPAIGN, 7): Book(3, spent_day=5_000, spent_before=90_000)})

    new_worker().beat(3 * DAY_S, 0, NOTHING, plans(KEY))

    assert Meter(store).read(plans(KEY)).tolist() == [95_000]


def test_a_successor_believes_the_meter(store, new_worker):
    """Its books may be a second ahead of what the others have added."""
    leader, successor = new_worker(), new_worker()
    beats(leader, 0, 30, 100, plans(KEY))
    Books(store).put({account_of(Level.CAMPAIGN, 7): Book(spent_day=9_000_000)})

    successor.beat(33.0, 0, NOTHING, plans(KEY))

    assert Meter(store).read(plans(KEY)).tolist() == [3_000]
