"""The books made anew from what the event log says: the log is the truth, the store its sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from adserver import shifts
from adserver.books import Books, payers
from adserver.eventlog import read
from adserver.events import EventSettings
from adserver.holds import Hold, promised, unsettled
from adserver.money import open_store
from adserver.records import DAY_MS, EventRecord
from adserver.settings import Settings
from auction.books import Book, Leases, restored
from feedback import warehouse
from feedback.compaction import compact

Spend = Mapping[int, Mapping[int, int]]
"""Account -> day -> micros billed."""


def spend_in_log(events: Path, since_day: int) -> Spend:
    """What was billed since the day began, folded from the log."""
    spend: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for record in read(events, since_ms=since_day * DAY_MS, decisions=False):
        if isinstance(record, EventRecord) and record.billed_micros:
            owners = (record.advertiser, record.campaign, record.line_item, record.deal)
            for account in payers(*owners):
                spend[account][record.t // DAY_MS] += record.billed_micros
    return spend


def spend_ever(events: Path, folder: Path) -> Spend:
    """What was ever billed: the warehouse, brought up to the log's end."""
    compact(events, folder)
    spend: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    query = (
        f"SELECT t // {DAY_MS}, advertiser, campaign, line_item, deal, sum(billed_micros)::BIGINT "
        "FROM events WHERE billed_micros > 0 GROUP BY ALL"
    )
    with warehouse.connect(folder) as connection:
        for day, *owners, micros in connection.execute(query).fetchall():
            for account in payers(*(owner or 0 for owner in owners)):
                spend[account][day] += micros
    return spend


def restore(books: Books, events: Path, holds: Iterable[Hold], day: int) -> None:
    """Make the books say what the log says of today, and of days they were not closed on.

    Before any worker runs. Leases become what sales still hold; earlier days stay as they are.
    """
    kept = dict(books.all())
    since = min((book.day for book in kept.values()), default=day)
    spend = spend_in_log(events, min(since, day))
    books.put(dict(_restored(kept, spend, _leases(holds), day)))


def rebuild(books: Books, spend: Spend, holds: Iterable[Hold], day: int) -> None:
    """Make the books from all that was ever billed; limits that they know are kept."""
    kept = {
        account: book._replace(day=0, spent_day=0, spent_before=0) for account, book in books.all()
    }
    books.put(dict(_restored(kept, spend, _leases(holds), day)))


def differences(books: Books, spend: Spend, day: int) -> Iterator[str]:
    """Where the books and the log do not say the same, in words."""
    kept = dict(books.all())
    for account in sorted({*kept, *spend}):
        book, days = kept.get(account, Book()), spend.get(account, {})
        if book.spent != sum(days.values()):
            yield f"account {account}: {book.spent} spent, {sum(days.values())} in the log"
        elif book.day == day and book.spent_day != days.get(day, 0):
            yield f"account {account}: {book.spent_day} today, {days.get(day, 0)} in the log"


def restore_from_log(settings: Settings, now_s: float) -> None:
    """Make the books say what the log says. Before any worker runs.

    Where there are no books at all, they are made from the warehouse and the log.
    """
    store = open_store(settings)
    books, day = Books(store), int(now_s * 1000) // DAY_MS
    events = settings.adserver_data / "events"
    holds = unsettled(events, int(now_s * 1000), EventSettings().hold_s)
    if next(books.all(), None) is None:
        rebuild(books, spend_ever(events, settings.adserver_data / "warehouse"), holds, day)
    else:
        restore(books, events, holds, day)
    for worker in shifts.at_work(store):
        shifts.end(store, worker)
    store.sync()
    store.close()


def _restored(
    kept: Mapping[int, Book], spend: Spend, leases: Mapping[int, Leases], day: int
) -> Iterator[tuple[int, Book]]:
    for account in {*kept, *spend, *leases}:
        book, days = kept.get(account, Book()), spend.get(account, {})
        since = sum(micros for then, micros in days.items() if book.day <= then < day)
        if book.day < day and book.day not in days:
            since += book.spent_day  # the log of that day is gone, or nothing was billed
        lease = leases.get(account, ()) if book.limited else ()
        yield account, restored(book, day, days.get(day, 0), book.spent_before + since, lease)


def _leases(holds: Iterable[Hold]) -> dict[int, Leases]:
    leases: dict[int, Leases] = defaultdict(tuple)
    for seller, micros in sorted(promised(holds).items()):
        for account, reserved in micros.items():
            leases[account] = (*leases[account], (seller, reserved))
    return leases
