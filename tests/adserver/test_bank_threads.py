"""Threads of one process that sell, settle and return money at the same time."""

from __future__ import annotations

import random
import threading

import pytest
from banking import CAMPAIGN, DAY, LINE_ITEM, bank_of, book_of, reserve

from auction.books import UNLIMITED, Sale


def test_while_the_store_is_slow_what_is_leased_can_be_sold(store, books, monkeypatch):
    """Idle money goes back meanwhile; what is left here is not behind the same lock."""
    bank, slow, going = bank_of(books, 0), threading.Event(), threading.Event()
    reserve(bank, 100)
    free = int(bank.ledger.free[CAMPAIGN])
    bank.tend(DAY, 1)
    update = store.update

    def held(keys, change):
        going.set()
        assert slow.wait(30)
        return update(keys, change)

    monkeypatch.setattr(store, "update", held)
    bank.ledger.rate[CAMPAIGN] = 10  # that it will need is not idle
    tending = threading.Thread(target=bank._return, args=([CAMPAIGN], DAY))
    tending.start()
    assert going.wait(30)
    selling = threading.Thread(target=reserve, args=(bank, 1), daemon=True)
    selling.start()
    selling.join(10)
    stuck = selling.is_alive()
    slow.set()
    tending.join()

    assert free > 50
    assert not stuck
    assert bank.check() == []


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_sell_and_settle_at_random_bill_exactly_what_was_reserved(books, seed):
    """Whoever settles: a reservation is billed in full, and is available again if it is not."""
    books.limit({CAMPAIGN: (20_000, 30_000), LINE_ITEM: (UNLIMITED, 15_000)}, DAY)
    banks = [bank_of(books, worker, 4) for worker in range(4)]
    settled = []
    threads = [
        threading.Thread(target=sell_and_settle, args=(banks, number, seed, settled))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for bank in banks:
        bank.surrender(DAY)

    assert all(reserved == billed for reserved, billed in settled)
    book = book_of(books)
    assert book.spent == sum(billed for _, billed in settled) <= 20_000
    assert (book.out, book.available) == (0, 20_000 - book.spent)
    assert all(bank.check() == [] for bank in banks)


@pytest.mark.parametrize("seed", range(3))
def test_money_that_goes_back_beside_the_sales_is_never_lost_or_sold_twice(books, seed):
    """In a worker a thread of its own returns what lies idle, at any moment."""
    books.limit({CAMPAIGN: (20_000, 30_000), LINE_ITEM: (UNLIMITED, 15_000)}, DAY)
    banks, settled, over = [bank_of(books, worker, 2) for worker in range(2)], [], threading.Event()

    def tend(bank):
        second = 0
        while not over.is_set():
            second += 1
            bank.tend(DAY, second)

    tending = [threading.Thread(target=tend, args=(bank,)) for bank in banks]
    selling = [
        threading.Thread(target=sell_and_settle, args=(banks, number, seed, settled))
        for number in range(2)
    ]
    for thread in tending + selling:
        thread.start()
    for thread in selling:
        thread.join()
    over.set()
    for thread in tending:
        thread.join()
    checked = [bank.check() for bank in banks]
    for bank in banks:
        bank.surrender(DAY)

    assert checked == [[], []]
    assert all(reserved == billed for reserved, billed in settled)
    book = book_of(books)
    assert book.spent == sum(billed for _, billed in settled) <= 20_000
    assert (book.out, book.available) == (0, 20_000 - book.spent)


def sell_and_settle(banks, number, seed, settled):
    """Six of ten sales are billed, by any of the banks; the others come to nothing."""
    bank, rng = banks[number], random.Random(f"{seed} {number}")
    for step in range(300):
        micros, item = rng.randrange(1, 200), rng.choice([LINE_ITEM, LINE_ITEM + 4])
        limited = [CAMPAIGN, LINE_ITEM][: 1 + (item == LINE_ITEM)]
        if step % 20 == 0:
            bank.tend(DAY, step / 10)
        if reserve(bank, micros, accounts=(-1, CAMPAIGN, item, -1)) == [False]:
            continue
        if rng.random() < 0.6:
            sale = Sale((CAMPAIGN, item), number, micros, micros)
            settled.append((micros, rng.choice(banks).settle(sale, DAY)))
            bank.drop(limited, micros)
        else:
            bank.release(limited, micros)
