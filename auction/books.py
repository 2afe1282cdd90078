"""The books of one budget: what was spent of it, what is out on lease to workers, what is left.

Values in, values out, whole micros; a book knows neither its account's number nor where it is
kept. Days are whole days since 1970 UTC and come as arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

UNLIMITED = 1 << 62
"""As a limit: none. Larger than any money there is, small enough to add to."""
Leases = tuple[tuple[int, int], ...]
"""Worker number and micros, each worker once, none with nothing."""


class Book(NamedTuple):
    """One budget. Spent + out never exceeds a limit, except by what was out when it was lowered."""

    day: int = 0
    daily: int = UNLIMITED
    lifetime: int = UNLIMITED
    spent_day: int = 0
    spent_before: int = 0
    """Spent on the days before `day`."""
    day_ceiling: int = UNLIMITED
    """Most that may be spent on `day` or out: the daily limit, or what was so when it was set."""
    life_ceiling: int = UNLIMITED
    lease: Leases = ()
    """Money that workers hold: promised to sales, or free for the next ones."""

    @property
    def out(self) -> int:
        return sum([micros for _, micros in self.lease])

    @property
    def spent(self) -> int:
        return self.spent_before + self.spent_day

    @property
    def limited(self) -> bool:
        return self.daily != UNLIMITED or self.lifetime != UNLIMITED

    @property
    def room(self) -> int:
        """What the stricter limit leaves; negative where a limit was lowered below what is out."""
        return min(self.daily - self.spent_day, self.lifetime - self.spent) - self.out

    @property
    def available(self) -> int:
        """What may still be leased."""
        return max(0, self.room)

    def leased(self, worker: int) -> int:
        for holder, micros in self.lease:
            if holder == worker:
                return micros
        return 0


class Sale(NamedTuple):
    """A billable event: who pays how much, of whose reservation."""

    accounts: tuple[int, ...]
    seller: int
    """The worker whose lease holds the reservation."""
    reserved: int
    """0: nothing is set aside any more."""
    cost: int


class Bill(NamedTuple):
    """What a settled event did."""

    books: tuple[Book, ...]
    billed: int
    spare_used: tuple[int, ...]
    """Per book: what was taken from the settler's own free money."""


def on_day(book: Book, day: int) -> Book:
    """The book as it opens that day: leases go on, the day's spend belongs to the past."""
    if day <= book.day:
        return book
    return book._replace(
        day=day,
        spent_day=0,
        spent_before=book.spent,
        day_ceiling=max(book.daily, book.out),
    )


def with_limits(book: Book, daily: int, lifetime: int) -> Book:
    """New limits; what is spent or out already stays so."""
    return book._replace(
        daily=daily,
        lifetime=lifetime,
        day_ceiling=max(daily, book.spent_day + book.out),
        life_ceiling=max(lifetime, book.spent + book.out),
    )


def with_lease(book: Book, worker: int, micros: int) -> Book:
    """The worker's lease is `micros` from now on: less than it had, or what is available."""
    others = [pair for pair in book.lease if pair[0] != worker]
    mine = [(worker, micros)] if micros > 0 else []
    return book._replace(lease=tuple(sorted(others + mine)))


def lend(book: Book, worker: int, least: int, extra: int, shares: int) -> tuple[Book, int]:
    """The book and the micros lent: `least`, and up to `extra` more but never more than one of
    `shares` of what is available, so that near the end everybody still gets something. All of
    `least` or nothing."""
    available = book.available
    if least > available:
        return book, 0
    lent = min(available, least + min(extra, available // shares))
    return with_lease(book, worker, book.leased(worker) + lent), lent


def give_back(book: Book, worker: int, keep: int) -> Book:
    """The worker keeps at most `keep` of its lease."""
    return book if book.leased(worker) <= keep else with_lease(book, worker, keep)


def settle(books: Sequence[Book], sale: Sale, spare: Sequence[int], settler: int, day: int) -> Bill:
    """Turn a reservation into spend, on all levels alike; `books` are those of the sale's accounts.

    Billed is the cost, or as much of it as every level still has: the reservation, what is
    available, and `spare`, which the settler leased and has not promised. A bill of a day that
    the book has closed is spent "before".
    """
    _, seller, reserved, cost = sale
    taken = [min(reserved, book.leased(seller)) for book in books]
    own = [
        min(most, book.leased(settler) - (part if settler == seller else 0))
        for most, book, part in zip(spare, books, taken, strict=True)
    ]
    room = [book.room + part for book, part in zip(books, taken, strict=True)]
    billed = max(0, min([cost, *(free + mine for free, mine in zip(room, own, strict=True))]))
    used = tuple(
        min(mine, max(0, billed - max(free, 0))) for free, mine in zip(room, own, strict=True)
    )
    return Bill(
        tuple(
            _spent(book, billed, day, _less(_less(book.lease, seller, part), settler, mine))
            for book, part, mine in zip(books, taken, used, strict=True)
        ),
        billed,
        used,
    )


def _less(lease: Leases, worker: int, micros: int) -> Leases:
    if not micros:
        return lease
    after = [(holder, had - micros * (holder == worker)) for holder, had in lease]
    return tuple([pair for pair in after if pair[1] > 0])


def _spent(book: Book, micros: int, day: int, lease: Leases) -> Book:
    old, daily, lifetime, today, before, day_ceiling, life_ceiling, _ = book
    if day < old:
        before += micros
    else:
        today += micros
    return Book(old, daily, lifetime, today, before, day_ceiling, life_ceiling, lease)


def restored(book: Book, day: int, spent_day: int, spent_before: int, lease: Leases) -> Book:
    """The book as the event log tells it, its limits kept."""
    told = book._replace(day=day, spent_day=spent_day, spent_before=spent_before, lease=lease)
    return with_limits(told, book.daily, book.lifetime)


def faults(book: Book) -> Iterator[str]:
    """Broken invariants, in words."""
    if book.spent_day < 0 or book.spent_before < 0:
        yield "negative spend"
    if any(micros <= 0 for _, micros in book.lease):
        yield "a lease of nothing or less"
    if len({worker for worker, _ in book.lease}) < len(book.lease):
        yield "two leases of one worker"
    if book.spent_day + book.out > book.day_ceiling:
        yield "spent and out above the limit of the day"
    if book.spent + book.out > book.life_ceiling:
        yield "spent and out above the lifetime limit"
