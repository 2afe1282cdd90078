"""One budget for several workers: leased, spent and given back; never more than its limits."""

from __future__ import annotations

from auction_market import CALM
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.books import (
    UNLIMITED,
    Book,
    Sale,
    faults,
    give_back,
    lend,
    on_day,
    restored,
    settle,
    with_limits,
)

DAY = 20_000
ONE, OTHER = 0, 1


def opened(daily=1_000, lifetime=UNLIMITED, **values):
    return with_limits(on_day(Book(), DAY), daily, lifetime)._replace(**values)


def test_a_lease_is_all_that_is_missing_or_nothing():
    book, lent = lend(opened(100), ONE, 60, 0, shares=4)
    same, nothing = lend(book, OTHER, 60, 0, shares=4)

    assert (lent, nothing) == (60, 0)
    assert same == book
    assert book.available == 40


def test_a_lease_in_advance_leaves_a_share_for_everybody():
    book, lent = lend(opened(1_000), ONE, 10, 10_000, shares=4)

    assert lent == 10 + 1_000 // 4
    assert book.leased(ONE) == lent


def test_the_stricter_of_the_limits_counts():
    book = opened(daily=1_000, lifetime=5_000, spent_before=4_900)

    assert book.available == 100
    assert on_day(book, DAY + 1).available == 100


def test_a_new_day_begins_with_nothing_spent_and_keeps_leases():
    book, _ = lend(opened(100, spent_day=40), ONE, 50, 0, shares=4)

    tomorrow = on_day(book, DAY + 1)

    assert (tomorrow.spent_day, tomorrow.spent_before) == (0, 40)
    assert (tomorrow.out, tomorrow.available) == (50, 50)
    assert on_day(tomorrow, DAY) is tomorrow


def test_a_settled_sale_becomes_spend_and_ends_that_part_of_the_lease():
    book, _ = lend(opened(), ONE, 30, 0, shares=4)

    bill = settle([book], Sale((), ONE, 30, 30), [0], OTHER, DAY)

    assert bill.billed == 30
    assert (bill.books[0].spent_day, bill.books[0].out) == (30, 0)


def test_a_click_dearer_than_its_reservation_takes_what_is_left_and_no_more():
    book, _ = lend(opened(100), ONE, 5, 0, shares=4)
    book, _ = lend(book, OTHER, 20, 0, shares=4)

    bill = settle([book], Sale((), ONE, 5, 400), [0], ONE, DAY)

    assert bill.billed == 80
    assert bill.books[0].available == 0
    assert bill.books[0].leased(OTHER) == 20


def test_the_settlers_own_free_money_pays_too():
    book, _ = lend(opened(100), ONE, 5, 0, shares=4)
    book, _ = lend(book, OTHER, 95, 0, shares=4)

    bill = settle([book], Sale((), ONE, 5, 50), [30], OTHER, DAY)

    assert (bill.billed, bill.spare_used) == (35, (30,))
    assert bill.books[0].leased(OTHER) == 65


def test_all_levels_pay_the_same_and_the_poorest_says_how_much():
    rich, poor = opened(1_000), opened(300)

    bill = settle([rich, poor], Sale((), ONE, 0, 500), [0, 0], ONE, DAY)

    assert bill.billed == 300
    assert [book.spent for book in bill.books] == [300, 300]


def test_a_reservation_that_nobody_leased_is_paid_from_what_is_available():
    """Its worker was taken for dead; what it sold is checked where it is billed."""
    bill = settle([opened(100, spent_day=70)], Sale((), ONE, 50, 50), [0], ONE, DAY)

    assert bill.billed == 30


def test_a_bill_of_a_day_that_is_closed_counts_for_life_only():
    book, _ = lend(opened(100), ONE, 30, 0, shares=4)

    bill = settle([on_day(book, DAY + 1)], Sale((), ONE, 30, 30), [0], ONE, DAY)

    assert (bill.books[0].spent_day, bill.books[0].spent_before) == (0, 30)


def test_a_lowered_limit_stops_leases_but_not_what_is_out():
    book, _ = lend(opened(1_000), ONE, 600, 0, shares=4)

    lowered = with_limits(book, 500, UNLIMITED)

    assert lowered.available == 0
    assert not list(faults(lowered))
    assert settle([lowered], Sale((), ONE, 600, 600), [0], ONE, DAY).billed == 500


def test_what_is_given_back_can_be_leased_by_another():
    book, _ = lend(opened(100), ONE, 100, 0, shares=4)

    book = give_back(book, ONE, keep=20)

    assert lend(book, OTHER, 80, 0, shares=4)[1] == 80
    assert give_back(book, OTHER, keep=5) == book


def test_faults_name_what_is_broken():
    assert list(faults(opened(100, spent_day=101))) == ["spent and out above the limit of the day"]
    assert list(faults(opened(100, lease=((0, -1),)))) == ["a lease of nothing or less"]
    assert list(faults(opened(100, spent_before=-1))) == ["negative spend"]
    assert list(faults(opened(100, lease=((0, 1), (0, 1))))) == ["two leases of one worker"]
    over = opened(UNLIMITED, 50, spent_before=50, lease=((1, 1),))
    assert list(faults(over)) == ["spent and out above the lifetime limit"]


MONEY = st.integers(0, 400)
WORKER = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("lend"), WORKER, MONEY, MONEY),
    st.tuples(st.just("lend"), WORKER, MONEY, MONEY),
    st.tuples(st.just("settle"), WORKER, MONEY, MONEY, MONEY, WORKER, st.integers(-1, 0)),
    st.tuples(st.just("give back"), WORKER, MONEY),
    st.tuples(st.just("limits"), MONEY | st.just(UNLIMITED), MONEY | st.just(UNLIMITED)),
    st.tuples(st.just("day")),
    st.tuples(st.just("restored"), MONEY, MONEY),
)


def taken(book, step, day):
    """The book after a step, and what the step billed."""
    match step:
        case ("lend", worker, least, extra):
            return lend(book, worker, least, extra, shares=4)[0], 0
        case ("settle", seller, reserved, cost, spare, settler, late):
            bill = settle([book], Sale((), seller, reserved, cost), [spare], settler, day + late)
            return bill.books[0], bill.billed
        case ("give back", worker, keep):
            return give_back(book, worker, keep), 0
        case ("limits", daily, lifetime):
            return with_limits(book, daily, lifetime), 0
        case ("restored", spent_day, spent_before):
            return restored(book, day, spent_day, spent_before, ()), 0
    return on_day(book, day + 1), 0


@given(st.lists(STEPS, max_size=40))
@settings(CALM, max_examples=400)
def test_no_sequence_of_steps_overspends(steps):
    """Whatever workers ask for, settled or not, and whoever lies about reservations."""
    book, day = opened(300, 900), DAY
    for step in steps:
        before = book
        book, billed = taken(book, step, day)
        day = max(day, book.day)

        assert not list(faults(book))
        if step[0] == "restored":
            continue
        assert book.spent == before.spent + billed
        room = min(before.daily - before.spent_day, before.lifetime - before.spent)
        assert billed <= max(0, room)
        if step[0] == "settle":
            assert book.out <= before.out
            assert min(0, before.room) <= book.room


@given(st.lists(STEPS, max_size=20), MONEY, MONEY, WORKER)
@settings(CALM, max_examples=200)
def test_an_event_is_billed_in_full_whenever_everything_is_there(steps, reserved, cost, worker):
    book = opened(300, 900)
    for step in steps:
        book, _ = taken(book, step, book.day)

    bill = settle([book], Sale((), worker, reserved, cost), [0], worker, book.day)

    behind = min(reserved, book.leased(worker))
    assert bill.billed == max(0, min(cost, book.room + behind))
