"""Several processes, one budget: whatever dies when, nobody spends more than its limits."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import defaultdict

import numpy as np
import pytest
from money_worker import DAY, LIMITS, NOON_MS, WORKERS, run, settings_of

from adserver.books import Books, payers
from adserver.eventlog import read
from adserver.money import open_drawer, open_store
from adserver.rebuilding import differences, restore_from_log, spend_ever, spend_in_log
from adserver.records import EventRecord
from auction.books import UNLIMITED

LATER = NOON_MS / 1000 + 3600
SPAWN = multiprocessing.get_context("spawn")


def start(folder, number, seed, steps):
    process = SPAWN.Process(target=run, args=(folder, number, seed, steps))
    process.start()
    return process


def billed(folder):
    """Micros by account, says the log."""
    sums = defaultdict(int)
    for record in read(folder / "events", decisions=False):
        if isinstance(record, EventRecord):
            owners = (record.advertiser, record.campaign, record.line_item, record.deal)
            for account in payers(*owners):
                sums[account] += record.billed_micros
    return sums


@pytest.fixture
def folder(tmp_path):
    store = open_store(settings_of(tmp_path))
    Books(store).limit(LIMITS, DAY)
    store.close()
    return tmp_path


def watched(books, processes, folder, kill_at=0):
    """Check the books all the time; kill the first process once so many events are in the log."""
    while any(process.is_alive() for process in processes):
        assert books.check() == []
        if kill_at and (sum(1 for _ in read(folder / "events", decisions=False)) >= kill_at):
            os.kill(processes[0].pid, signal.SIGKILL)
            processes[0].join()
            return
        processes[-1].join(0.02)


@pytest.mark.parametrize("kill_at", [50, 400])
def test_four_processes_and_a_kill_never_overspend_and_lose_no_money(folder, kill_at):
    settings = settings_of(folder)
    processes = [start(folder, number, kill_at, 1_500) for number in range(WORKERS)]
    store = open_store(settings)
    books = Books(store)
    watched(books, processes, folder, kill_at)
    processes[0] = start(folder, 0, kill_at + 1, 500)
    watched(books, processes, folder)
    assert [process.exitcode for process in processes] == [0] * WORKERS

    spent = billed(folder)
    assert min(spent[account] for account in LIMITS) > 0
    for account, (daily, lifetime) in LIMITS.items():
        assert spent[account] <= books.read([account])[0].spent <= min(daily, lifetime)
    store.close()

    restore_from_log(settings, LATER)
    drawer = open_drawer(settings, 0, LATER)
    left = drawer.remaining
    for account, (daily, lifetime) in LIMITS.items():
        assert left[account] == min(daily, lifetime) - spent[account]
    assert drawer.bank.books.check() == []
    assert list(differences(drawer.bank.books, spend_in_log(folder / "events", 0), DAY)) == []
    drawer.store.close()


def test_a_worker_that_comes_back_has_all_its_money_again_without_a_restart_of_the_rest(folder):
    """Killed with reservations and leases: what was not billed is available once it is due."""
    settings = settings_of(folder)
    victim = start(folder, 1, 7, 10**9)
    books = Books(open_store(settings))
    watched(books, [victim], folder, 200)
    assert sum(book.out for _, book in books.all()) > 0

    drawer = open_drawer(settings, 1, LATER, books.store)
    assert (drawer.rose() > 0, drawer.rose()) == (True, 0)
    for second in range(12):
        drawer.tend(LATER + second)

    assert {account: book.out for account, book in books.all() if book.out} == {}
    for account, (daily, lifetime) in LIMITS.items():
        assert drawer.remaining[account] == min(daily, lifetime) - books.read([account])[0].spent
    books.store.close()


def test_a_limit_that_was_lifted_while_nobody_ran_is_lifted(folder):
    """The books know it; the catalogue, which the worker reads first, does not any more."""
    drawer = open_drawer(settings_of(folder), 0, NOON_MS / 1000)
    account = np.array(sorted(LIMITS))
    none = np.full(len(account), UNLIMITED)

    drawer.limit(account, none, none, NOON_MS / 1000)

    assert not any(book.limited for _, book in drawer.bank.books.all())
    assert (drawer.remaining[account] == UNLIMITED).all()
    drawer.store.close()


def test_limits_that_are_right_already_are_not_written_again(folder):
    drawer = open_drawer(settings_of(folder), 0, NOON_MS / 1000)
    account = np.array(sorted(LIMITS))
    daily, lifetime = np.array([LIMITS[a] for a in sorted(LIMITS)]).T
    drawer.bank.books.limit({int(account[0]): (1, 1)}, DAY)

    drawer.limit(account, daily, lifetime, NOON_MS / 1000)

    assert drawer.bank.books.read([int(account[0])])[0].daily == 1
    drawer.store.close()


def test_another_worker_takes_over_what_a_dead_one_sold(folder):
    settings = settings_of(folder)
    victim = start(folder, 1, 9, 10**9)
    books = Books(open_store(settings))
    watched(books, [victim], folder, 200)

    heir = open_drawer(settings, 2, NOON_MS / 1000, books.store)
    heir.tend(LATER)
    heir.holds.release_due(int(LATER * 1000) + 360_000, 10**6)

    assert all(book.leased(1) == 0 for _, book in books.all())
    assert books.check() == []
    books.store.close()


def test_a_lost_store_is_rebuilt_from_the_log_alone(folder):
    settings = settings_of(folder)
    processes = [start(folder, number, 3, 400) for number in range(2)]
    for process in processes:
        process.join()
    restore_from_log(settings, LATER)
    store = open_store(settings)
    before = dict(Books(store).all())
    store.close()

    for path in (folder / "state").iterdir():
        path.unlink()
    restore_from_log(settings, LATER)
    store = open_store(settings)
    Books(store).limit(LIMITS, DAY)

    assert dict(Books(store).all()) == before
    ever = spend_ever(folder / "events", folder / "warehouse")
    assert list(differences(Books(store), ever, DAY)) == []
    store.close()
