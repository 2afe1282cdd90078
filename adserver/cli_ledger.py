"""`adserver ledger`: look at the budgets' books, prove them, or make them anew from the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from adserver import shifts
from adserver.books import Books
from adserver.cli_refusals import refuse, settings_given
from adserver.deadline import wall
from adserver.events import EventSettings
from adserver.holds import unsettled
from adserver.money import open_store
from adserver.rebuilding import differences, rebuild, spend_ever
from adserver.records import DAY_MS
from adserver.settings import Settings
from auction.books import UNLIMITED, Book, on_day
from auction.columns import LEVELS, Level

app = typer.Typer(no_args_is_help=True)


@contextmanager
def _opened() -> Iterator[tuple[Settings, Books]]:
    with settings_given() as settings:
        store = open_store(settings)
        yield settings, Books(store)
        store.close()


@app.command()
def show(
    level: Annotated[str, typer.Argument(help="advertiser, campaign, line_item or deal")] = "",
    row_id: Annotated[int, typer.Argument(help="its id")] = 0,
) -> None:
    """Every limited budget in micros, or those of one level, or one."""
    day = int(wall()) * 1000 // DAY_MS
    typer.echo("level id daily lifetime spent_today spent_before out available")
    with _opened() as (_, books):
        for account, book in books.all():
            name = Level(account % LEVELS).name.lower()
            wanted = row_id in {0, account // LEVELS} and level in {"", name}
            if wanted and (book.limited or level):
                typer.echo(_line(name, account // LEVELS, on_day(book, day)))


def _line(name: str, row_id: int, book: Book) -> str:
    limits = ["-" if limit == UNLIMITED else limit for limit in (book.daily, book.lifetime)]
    left = book.available if book.limited else "-"
    return " ".join(
        map(str, (name, row_id, *limits, book.spent_day, book.spent_before, book.out, left))
    )


@app.command()
def check() -> None:
    """Prove that no budget is overspent and that the books and the log say the same.

    Exit 1 if not. While the server runs, events of the last moments may still differ.
    """
    with _opened() as (settings, books):
        log, warehouse = settings.adserver_data / "events", settings.adserver_data / "warehouse"
        day = int(wall()) * 1000 // DAY_MS
        found = [*books.check(), *differences(books, spend_ever(log, warehouse), day)]
    for fault in found:
        typer.echo(fault)
    typer.echo(f"{len(found)} faults")
    raise typer.Exit(1 if found else 0)


@app.command(name="rebuild")
def rebuild_all() -> None:
    """Make the books from all that was ever billed. Stop the server first."""
    with _opened() as (settings, books):
        now_ms = int(wall() * 1000)
        late = shifts.overdue(books.store, now_ms)
        if working := sorted(set(shifts.at_work(books.store)) - set(late)):
            refuse([f"workers {working} are running; stop them first"])
        log, warehouse = settings.adserver_data / "events", settings.adserver_data / "warehouse"
        holds = unsettled(log, now_ms, EventSettings().hold_s)
        rebuild(books, spend_ever(log, warehouse), holds, now_ms // DAY_MS)
        books.store.sync()
        typer.echo(f"{sum(1 for _ in books.all())} accounts rebuilt")
