"""`adserver ledger` on the data of a few hundred sales."""

from __future__ import annotations

import pytest
from money_worker import DAY, LIMITS, Seller, settings_of
from typer.testing import CliRunner

from adserver import shifts
from adserver.books import Books
from adserver.cli_ledger import app
from adserver.deadline import wall
from adserver.money import open_store


@pytest.fixture
def books_after_sales(tmp_path, monkeypatch):
    """Opens the store that the command line opens too; only one of them at a time."""
    monkeypatch.setenv("ADSERVER_DATA", str(tmp_path))
    store = open_store(settings_of(tmp_path))
    Books(store).limit(LIMITS, DAY)
    store.close()
    seller = Seller(tmp_path, 0, 5)
    seller.work(300)
    seller.close()
    return lambda: Books(open_store(settings_of(tmp_path)))


def ledger(*arguments):
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_every_budget_is_shown_with_what_is_left_of_it(books_after_sales):
    code, output = ledger("show", "campaign")

    lines = [line.split() for line in output.splitlines()]
    assert code == 0
    assert [line[:4] for line in lines[1:]] == [
        ["campaign", "1", "30000", "-"],
        ["campaign", "2", "-", "40000"],
    ]
    lifetime, spent_before, out, available = (int(lines[2][at]) for at in (3, 5, 6, 7))
    assert available == lifetime - spent_before - out


def test_books_that_agree_with_the_log_are_proven(books_after_sales):
    assert ledger("check") == (0, "0 faults\n")


def test_a_book_that_says_something_else_than_the_log_is_found_and_rebuilt(books_after_sales):
    books = books_after_sales()
    account, book = next((a, b) for a, b in books.all() if b.spent)
    books.put({account: book._replace(spent_day=book.spent_day + 7)})
    books.store.close()

    assert ledger("check")[0] == 1
    assert ledger("rebuild")[0] == 0
    assert ledger("check") == (0, "0 faults\n")


def test_books_are_not_rebuilt_while_a_worker_runs(books_after_sales):
    books = books_after_sales()
    shifts.begin(books.store, 0, int(wall() * 1000))
    books.store.close()

    assert ledger("rebuild")[0] == 2
