"""Money set aside, spent and given back; never more than the limit of the day."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import CALM
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.ledger import Entry, Ledger, Step


@pytest.fixture
def ledger() -> Ledger:
    """Campaign 1 may spend 100 micros a day, campaign 2 may spend 1 000."""
    books = Ledger.empty(3)
    books.set_limit(1, 100)
    books.set_limit(2, 1_000)
    yield books
    assert books.check() == []


def reserve(ledger: Ledger, *pairs: tuple[int, int]) -> list[bool]:
    campaign, micros = zip(*pairs, strict=True)
    return ledger.reserve(np.array(campaign), np.array(micros)).tolist()


def test_rows_of_one_call_draw_on_the_same_money(ledger):
    """All or nothing per row, in order: a row too dear does not block a cheaper one after it."""
    assert reserve(ledger, (1, 60), (1, 60), (2, 60), (1, 40), (1, 1)) == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert ledger.remaining().tolist() == [0, 0, 940]


def test_unknown_campaigns_and_negative_amounts_get_nothing(ledger):
    assert reserve(ledger, (3, 1), (-1, 1), (1, -5), (0, 1)) == [False] * 4


def test_a_budget_of_one_impression_refuses_the_second_before_it_is_shown(ledger):
    assert reserve(ledger, (1, 100)) == [True]
    assert reserve(ledger, (1, 100)) == [False]


def test_a_settled_sale_becomes_spend_and_frees_its_reservation(ledger):
    reserve(ledger, (2, 30))

    assert ledger.settle(2, reserved_micros=30, cost_micros=30) == 30
    assert ledger.spent[2] == 30
    assert ledger.reserved[2] == 0


def test_a_click_dearer_than_the_money_left_is_billed_only_as_far_as_it_goes(ledger):
    """A click costs far more than the expected cost that was set aside for it."""
    reserve(ledger, (1, 5), (1, 20))

    assert ledger.settle(1, reserved_micros=5, cost_micros=400) == 80
    assert ledger.spent[1] + ledger.reserved[1] == 100


def test_a_released_reservation_can_be_promised_again(ledger):
    reserve(ledger, (1, 100))

    ledger.release(1, 100)

    assert reserve(ledger, (1, 100)) == [True]


def test_more_is_never_released_than_was_set_aside(ledger):
    reserve(ledger, (1, 10))

    ledger.release(1, 25)

    assert ledger.reserved[1] == 0


def test_a_lowered_limit_stops_sales_but_not_what_was_promised(ledger):
    reserve(ledger, (2, 600))

    ledger.set_limit(2, 500)

    assert ledger.remaining()[2] == 0
    assert reserve(ledger, (2, 1)) == [False]
    assert ledger.settle(2, reserved_micros=600, cost_micros=600) == 500


def test_a_new_day_forgets_spend_and_carries_reservations(ledger):
    reserve(ledger, (1, 40), (1, 50))
    ledger.settle(1, reserved_micros=40, cost_micros=40)

    ledger.roll_day()

    assert ledger.remaining().tolist() == [0, 50, 1_000]
    assert ledger.settle(1, reserved_micros=50, cost_micros=50) == 50


def test_the_arrays_given_are_the_state(tmp_path):
    """Two processes that map the same file keep one set of books."""
    path = tmp_path / "ledger"
    np.zeros((4, 8), np.int64).tofile(path)
    one, other = (Ledger(*np.memmap(path, np.int64, "r+", shape=(4, 8))) for _ in range(2))
    one.set_limit(5, 70)

    assert reserve(one, (5, 50)) == [True]
    assert reserve(other, (5, 50)) == [False]
    assert other.settle(5, reserved_micros=50, cost_micros=50) == 50
    assert one.spent[5] == 50
    assert one.check() == other.check() == []


def test_the_history_rebuilds_the_state(ledger):
    history = [
        Entry(Step.LIMIT, 1, 100),
        Entry(Step.LIMIT, 2, 1_000),
        Entry(Step.RESERVE, 1, 40),
        Entry(Step.NEW_DAY),
        Entry(Step.RESERVE, 2, 30),
        Entry(Step.SETTLE, 2, 30, 200),
        Entry(Step.RELEASE, 1, 40),
    ]

    rebuilt = Ledger.empty(3).replay(history)

    assert rebuilt.spent.tolist() == [0, 0, 200]
    assert rebuilt.reserved.tolist() == [0, 0, 0]
    assert rebuilt.remaining().tolist() == [0, 100, 800]


def test_check_names_what_is_broken():
    ledger = Ledger.empty(3)
    ledger.spent[1] = 5
    ledger.reserved[2] = -1

    assert ledger.check() == [
        "negative reservations: campaigns [2]",
        "spent and reserved above the limit: campaigns [1]",
    ]


AMOUNTS = st.integers(0, 120)
STEPS = st.builds(
    Entry,
    st.sampled_from([Step.RESERVE] * 4 + list(Step)),
    st.integers(0, 2),
    AMOUNTS,
    AMOUNTS,
)


@given(st.lists(STEPS, max_size=60))
@settings(CALM, max_examples=200)
def test_no_sequence_of_steps_overspends(history):
    ledger, spent_today, limit_today = Ledger.empty(3), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for entry in history:
        before = ledger.spent.copy()
        ledger.replay([entry])

        if entry.step is Step.NEW_DAY:
            spent_today[:] = 0
            limit_today = np.maximum(ledger.daily_limit, ledger.reserved)
        else:
            spent_today += ledger.spent - before
            limit_today = np.maximum(limit_today, ledger.daily_limit)
        assert (spent_today <= limit_today).all()
        assert (ledger.remaining() >= 0).all()
        assert ledger.check() == []
