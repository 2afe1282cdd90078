"""Leases of one worker and another, the same on every state store."""

from __future__ import annotations

from banking import ADVERTISER, ALL, CAMPAIGN, DAY, DEAL, LINE_ITEM, bank_of, book_of, reserve

from adserver import shifts
from auction.books import UNLIMITED, Sale


def test_two_workers_never_promise_the_same_money(books):
    one, other = bank_of(books, 0), bank_of(books, 1)

    granted = [*reserve(one, *[100] * 10), *reserve(other, *[100] * 10)]

    assert sum(granted) <= 10
    assert book_of(books).out <= 1_000


def test_near_the_end_the_last_micro_can_still_be_sold_by_anybody(books):
    """What one leased in advance and does not need comes back, and is sold by the other."""
    one, other = bank_of(books, 0), bank_of(books, 1)
    assert reserve(one, 100) == [True]
    for second in range(1, 12):
        one.tend(DAY, second)

    assert reserve(other, 900) == [True]
    assert reserve(one, 1) == [False]


def test_a_reservation_that_is_there_costs_the_store_nothing(books):
    bank = bank_of(books, 0)
    reserve(bank, 1)
    before = book_of(books)

    assert reserve(bank, 1) == [True]
    bank.release([CAMPAIGN], 1)

    assert book_of(books) == before


def test_left_is_what_is_free_here_and_available_there(books):
    bank = bank_of(books, 0)
    assert bank.ledger.left[CAMPAIGN] == 1_000

    reserve(bank, 30, 40)

    assert bank.ledger.left[CAMPAIGN] == 930
    assert bank.ledger.left[LINE_ITEM] == UNLIMITED


def test_money_that_another_gave_back_is_seen_in_the_next_round(books):
    one, other = bank_of(books, 0), bank_of(books, 1)
    reserve(one, 1_000)
    assert reserve(other, 10) == [False]
    assert other.ledger.left[CAMPAIGN] == 0
    one.release([CAMPAIGN], 1_000)
    for second in range(1, 12):
        one.tend(DAY, second)

    other.tend(DAY, 1.0)

    assert other.ledger.left[CAMPAIGN] == 1_000


def test_another_worker_may_settle_what_this_one_sold(books):
    seller, settler = bank_of(books, 0), bank_of(books, 1)
    reserve(seller, 300)

    assert settler.settle(Sale((CAMPAIGN,), 0, 300, 300), DAY) == 300

    seller.drop([CAMPAIGN], 300)
    seller.surrender(DAY)
    assert (book_of(books).spent, book_of(books).out) == (300, 0)
    assert seller.ledger.free[CAMPAIGN] == 0


def test_a_dear_click_takes_the_settlers_free_money_too(books):
    bank = bank_of(books, 0, workers=1)
    reserve(bank, 100)
    free = int(bank.ledger.free[CAMPAIGN])
    assert free > 0

    assert bank.settle(Sale((CAMPAIGN,), 0, 100, 5_000), DAY) == 1_000
    assert bank.ledger.free[CAMPAIGN] == 0
    assert bank.ledger.left[CAMPAIGN] == 0


def test_all_four_levels_are_limits(books):
    limits = {ADVERTISER: (900, 5_000), LINE_ITEM: (UNLIMITED, 400), DEAL: (UNLIMITED, 250)}
    books.limit(limits, DAY)
    bank = bank_of(books, 0)

    assert reserve(bank, 200, 60, 50, accounts=ALL) == [True, False, True]
    bank.surrender(DAY)
    assert [book.out for book in books.read(ALL)] == [250] * 4


def test_an_account_that_is_not_covered_has_nothing(books):
    assert reserve(bank_of(books, 0), 1, accounts=(-1, CAMPAIGN, 10_000, -1)) == [False]


def test_lifetime_goes_on_where_the_day_ends(books):
    books.limit({CAMPAIGN: (300, 500)}, DAY)
    bank = bank_of(books, 0)
    for day in (DAY, DAY + 1):
        reserve(bank, 300, day=day)
        bank.settle(Sale((CAMPAIGN,), 0, 300, 300), day)

    assert book_of(books).spent == 500
    assert reserve(bank, 1, day=DAY + 2) == [False]


def test_after_midnight_the_new_days_money_is_seen(books):
    bank = bank_of(books, 0)
    reserve(bank, 1_000)
    bank.settle(Sale((CAMPAIGN,), 0, 1_000, 1_000), DAY)
    assert bank.ledger.left[CAMPAIGN] == 0

    bank.tend(DAY + 1, 1.0)

    assert bank.ledger.left[CAMPAIGN] == 1_000
    assert reserve(bank, 1_000, day=DAY + 1) == [True]


def test_a_lower_limit_counts_at_once(books):
    bank = bank_of(books, 0)
    reserve(bank, 10)
    assert bank.ledger.free[CAMPAIGN] > 0

    bank.limit({CAMPAIGN: (10, UNLIMITED)}, DAY)

    assert bank.ledger.left[CAMPAIGN] == 0
    assert reserve(bank, 1) == [False]


def test_a_limit_that_is_lifted_gives_its_leases_back(books):
    bank = bank_of(books, 0)
    reserve(bank, 10)
    bank.limit({CAMPAIGN: (UNLIMITED, UNLIMITED)}, DAY)

    assert reserve(bank, 10**15) == [True]
    assert book_of(books).out == 10
    assert bank.ledger.check() == []


def test_a_bill_that_was_lost_with_its_process_comes_back_when_nothing_is_promised(books):
    """Its ticket is used and its money was never spent: no hold remembers it."""
    bank = bank_of(books, 0)
    reserve(bank, 400)
    bank.drop([CAMPAIGN], 400)
    for second in range(1, 12):
        bank.tend(DAY, second)

    assert book_of(books).available == 1_000


def test_a_worker_that_was_taken_for_dead_has_nothing_left_to_promise(store, books):
    bank = bank_of(books, 0)
    shifts.begin(store, 0, 1_000)
    reserve(bank, 10)

    assert shifts.renew(store, 0, 2_000)
    assert shifts.overdue(store, 2_000 + shifts.DEAD_AFTER_MS) == []
    assert shifts.overdue(store, 2_001 + shifts.DEAD_AFTER_MS) == [0]
    shifts.end(store, 0)
    assert not shifts.renew(store, 0, 9_000)
    bank.forfeit()
    assert bank.ledger.free[CAMPAIGN] == 0


def test_what_is_out_is_told_by_level_and_use(books):
    books.limit({ADVERTISER: (10_000, UNLIMITED)}, DAY)
    bank = bank_of(books, 0)
    reserve(bank, 100, 50, accounts=(ADVERTISER, CAMPAIGN, LINE_ITEM, -1))

    free, promised = bank.out().tolist()

    assert promised == [150, 150, 0, 0]
    for account, micros in ((ADVERTISER, free[0]), (CAMPAIGN, free[1])):
        assert micros + 150 == book_of(books, account).leased(0)
    assert free[2:] == [0, 0]


def test_check_finds_money_that_nobody_leased(books):
    bank = bank_of(books, 0)
    assert bank.check() == []

    bank.ledger.lend(CAMPAIGN, 5)
    bank.ledger.see(CAMPAIGN, limited=True, available=0)

    assert bank.check() == [f"account {CAMPAIGN}: free money without a lease"]


def test_a_worker_that_ends_properly_is_succeeded_at_once(store):
    shifts.begin(store, 3, 1_000_000)

    shifts.leave(store, 3)

    assert shifts.overdue(store, 1_000_001) == [3]


def test_many_accounts_are_seen_in_turns_and_all_in_the_end(books):
    books.limit(dict.fromkeys(range(100, 2600), (1000, UNLIMITED)), DAY)
    bank = bank_of(books, 0)
    books.limit(dict.fromkeys(range(100, 2600), (0, UNLIMITED)), DAY)
    bank.look(range(100, 2_600), DAY)
    books.limit(dict.fromkeys(range(100, 2600), (500, UNLIMITED)), DAY)

    for second in range(1, 6):
        bank.tend(DAY, second)

    assert (bank.ledger.left[100:2_600] == 500).all()
