"""One worker's money: leased, promised, free again; never more promised than leased."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import CALM
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.books import UNLIMITED
from auction.ledger import Ledger

FREE = {1: 100, 2: 1_000}


@pytest.fixture
def ledger() -> Ledger:
    """Account 1 has 100 micros of a lease free, account 2 has 1 000; 3 to 7 are unlimited."""
    ledger = Ledger(8)
    for account, micros in FREE.items():
        ledger.see(account, limited=True, available=micros)
        ledger.lend(account, micros)
        ledger.see(account, limited=True, available=0)
    yield ledger
    assert ledger.check() == []


def reserve(ledger: Ledger, *rows: tuple[list[int], int]) -> list[bool]:
    account = np.array([[*paying, *[-1] * (4 - len(paying))] for paying, _ in rows])
    return ledger.reserve(account, np.array([micros for _, micros in rows]))[0].tolist()


def test_rows_of_one_call_draw_on_the_same_money(ledger):
    """All or nothing per row, in order: a row too dear does not block a cheaper one after it."""
    assert reserve(ledger, ([1], 60), ([1], 60), ([2], 60), ([1], 40), ([1], 1)) == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert ledger.left[:3].tolist() == [UNLIMITED, 0, 940]


def test_a_sale_is_paid_on_every_level_or_on_none(ledger):
    assert reserve(ledger, ([2, 1], 100), ([2, 1], 1)) == [True, False]
    assert ledger.free[[1, 2]].tolist() == [0, 900]


def test_an_account_without_a_limit_pays_anything_and_is_not_written_to(ledger):
    assert reserve(ledger, ([3, 4, 5], 10**15)) == [True]
    assert not ledger.held[3:].any()


def test_a_reservation_says_which_accounts_it_is_in(ledger):
    account = np.array([[1, 3, 2, -1], [1, 2, -1, -1]])

    _, payer = ledger.reserve(account, np.array([60, 60]))

    assert payer.tolist() == [[1, -1, 2, -1], [-1] * 4]


def test_unknown_accounts_and_negative_amounts_get_nothing(ledger):
    assert reserve(ledger, ([8], 1), ([1, 99], 1), ([1], -5)) == [False] * 3


def test_a_released_reservation_can_be_promised_again(ledger):
    reserve(ledger, ([1], 100))

    ledger.release([1], 100)

    assert reserve(ledger, ([1], 100)) == [True]


def test_a_billed_reservation_is_gone(ledger):
    reserve(ledger, ([1], 100))

    ledger.drop([1], 100)

    assert (ledger.held[1], ledger.free[1]) == (0, 0)


def test_what_is_missing_is_what_must_be_leased(ledger):
    assert ledger.missing([1, 2, 3, -1], 150) == {1: 50}
    assert ledger.missing([1, 2], 100) == {}
    assert ledger.missing([8], 1) is None
    assert ledger.missing([1], -1) is None


def test_a_lease_moves_money_from_the_books_to_here_and_leaves_what_is_left(ledger):
    ledger.see(1, limited=True, available=500)
    assert ledger.left[1] == 600

    ledger.lend(1, 200)
    ledger.see(1, limited=True, available=300)

    assert (ledger.left[1], ledger.free[1]) == (600, 300)


def test_a_grown_ledger_keeps_its_money_and_knows_more_accounts(ledger):
    ledger.grow(100)
    ledger.grow(50)

    assert len(ledger) == 100
    assert ledger.free[2] == 1_000
    assert reserve(ledger, ([99], 1)) == [True]


def test_the_pace_rises_at_once_and_falls_in_steps(ledger):
    account = np.array([2])
    reserve(ledger, ([2], 300))
    ledger.pace(account, 0.5)
    assert ledger.rate[2] == 600

    ledger.pace(account, 0.5)
    assert ledger.rate[2] == 150


def test_check_names_what_is_broken():
    ledger = Ledger(3)
    ledger.free[1] = -1
    ledger.left[2] = 5

    assert ledger.check() == [
        "negative free money: accounts [1]",
        "an unlimited account that can run out: accounts [2]",
    ]


def plain_reserve(
    rows: list[tuple[list[int], int]], limited: list[bool], free: list[int]
) -> list[bool]:
    """The oracle: the same in plain Python."""
    granted = []
    for accounts, micros in rows:
        paying = [a for a in accounts if a >= 0]
        known = all(a < len(free) for a in paying)
        limits = [a for a in paying if known and limited[a]]
        granted.append(known and micros >= 0 and all(free[a] >= micros for a in limits))
        if granted[-1]:
            for a in limits:
                free[a] -= micros
    return granted


ACCOUNTS = st.lists(st.integers(-4, 9), min_size=4, max_size=4, unique=True)
ROWS = st.lists(
    st.tuples(ACCOUNTS.map(lambda row: [max(a, -1) for a in row]), st.integers(-5, 60)),
    max_size=30,
)


@given(ROWS, st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 200))
@settings(CALM, max_examples=300)
def test_the_kernel_reserves_as_the_plain_version_does(rows, limited, free):
    ledger, plain_free = Ledger(8), [free] * 8
    for account, has in enumerate(limited):
        ledger.lend(account, free if has else 0)
        ledger.see(account, limited=has, available=7)

    granted = reserve(ledger, *rows) if rows else []

    assert granted == plain_reserve(rows, limited, plain_free)
    expected = [micros if has else 0 for micros, has in zip(plain_free, limited, strict=True)]
    assert ledger.free.tolist() == expected
    assert ledger.check() == []
