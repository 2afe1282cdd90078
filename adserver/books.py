"""The books of all budgets in the state store: one key per account, each step atomic.

Knows how a book is written down and which books a step needs; what the step does is in
`auction.books`. Every number is checked where it is changed, so whatever workers believe about
their leases, and whichever of them dies when, no account is billed more than its limits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from adserver.state.store import StateStore, Values, everything
from auction import books
from auction.books import Book, Leases, Sale
from auction.columns import Level, account_of

_PREFIX = b"money/a/"
_HEAD = struct.Struct(">7q")
_LEASE = struct.Struct(">Bq")
AT_ONCE = 32
"""Books in one update: others wait for the store meanwhile."""


@dataclass(frozen=True, slots=True)
class Want:
    """Money to lease: all of `least`, and up to `extra` more."""

    account: int
    least: int
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A book as a step left it, and what the step moved."""

    account: int
    limited: bool
    available: int
    moved: int = 0


def payers(advertiser: int, campaign: int, line_item: int, deal: int) -> tuple[int, ...]:
    """The accounts of all levels that a sale is paid from; ids that are 0 have none."""
    levels = zip(Level, (advertiser, campaign, line_item, deal), strict=True)
    return tuple(account_of(level, number) for level, number in levels if number > 0)


def key_of(account: int) -> bytes:
    return _PREFIX + account.to_bytes(4, "big")


def account_in(key: bytes) -> int:
    return int.from_bytes(key[len(_PREFIX) :], "big")


def pack(book: Book) -> bytes:
    head = _HEAD.pack(*book[:7])
    return head + b"".join([_LEASE.pack(*lease) for lease in book.lease])


def unpack(value: bytes | None) -> Book:
    """The book; a new one, without limits, where the store has none."""
    if value is None:
        return Book()
    lease: Leases = tuple(_LEASE.iter_unpack(value[_HEAD.size :])) if len(value) > 56 else ()
    day, daily, lifetime, spent_day, before, day_ceiling, life_ceiling = _HEAD.unpack_from(value)
    return Book(day, daily, lifetime, spent_day, before, day_ceiling, life_ceiling, lease)


class Books:
    """The books of every account, for all workers that open the same store."""

    def __init__(self, store: StateStore) -> None:
        self.store = store

    def all(self) -> Iterator[tuple[int, Book]]:
        """Every account that has a limit or was spent from; not of one moment."""
        for key, value in everything(self.store, _PREFIX):
            yield account_in(key), unpack(value)

    def read(self, accounts: Sequence[int]) -> list[Book]:
        return [unpack(value) for value in self.store.get([key_of(a) for a in accounts])]

    def limit(self, limits: Mapping[int, tuple[int, int]], day: int) -> list[Seen]:
        """Set (daily, lifetime) of each account; a book that is right already is not written."""
        return [
            seen for part in _parts(list(limits)) for seen in self._limit_part(part, limits, day)
        ]

    def _limit_part(
        self, accounts: Sequence[int], limits: Mapping[int, tuple[int, int]], day: int
    ) -> list[Seen]:
        def change(found: Values) -> tuple[Values, list[Seen]]:
            kept, seen = list(found), []
            for at, (account, value) in enumerate(zip(accounts, found, strict=True)):
                book = books.on_day(unpack(value), day)
                if value is None or (book.daily, book.lifetime) != limits[account]:
                    book = books.with_limits(book, *limits[account])
                    kept[at] = pack(book)
                seen.append(_seen(account, book))
            return kept, seen

        return self.store.update([key_of(a) for a in accounts], change)

    def lend(
        self, worker: int, wants: Sequence[Want], shares: int, day: int
    ) -> tuple[bool, list[Seen]]:
        """Whether all wants were met; if one cannot be, nothing is lent."""

        def change(found: Values) -> tuple[Values, tuple[bool, list[Seen]]]:
            old = [books.on_day(unpack(value), day) for value in found]
            lent = [
                books.lend(book, worker, want.least, want.extra, shares)
                for book, want in zip(old, wants, strict=True)
            ]
            met = all(micros >= want.least for (_, micros), want in zip(lent, wants, strict=True))
            if not met:
                seen = [_seen(w.account, book) for w, book in zip(wants, old, strict=True)]
                return found, (False, seen)
            seen = [_seen(w.account, *one) for w, one in zip(wants, lent, strict=True)]
            return [pack(book) for book, _ in lent], (True, seen)

        return self.store.update([key_of(want.account) for want in wants], change)

    def settle(
        self, sale: Sale, spare: Sequence[int], settler: int, day: int
    ) -> tuple[int, list[Seen]]:
        """Bill an event; micros billed, and per account what was used of the settler's spare."""

        def change(found: Values) -> tuple[Values, tuple[int, list[Seen]]]:
            old = [books.on_day(unpack(value), day) for value in found]
            bill = books.settle(old, sale, spare, settler, day)
            seen = [
                _seen(account, book, used)
                for account, book, used in zip(
                    sale.accounts, bill.books, bill.spare_used, strict=True
                )
            ]
            return [pack(book) for book in bill.books], (bill.billed, seen)

        return self.store.update([key_of(a) for a in sale.accounts], change)

    def give_back(self, worker: int, keep: Mapping[int, int], day: int) -> list[Seen]:
        """The worker keeps at most so much of its lease of each account."""
        return [
            seen
            for part in _parts(list(keep))
            for seen in self._change(
                part, lambda account, book: books.give_back(book, worker, keep[account]), day
            )
        ]

    def take_back(self, worker: int, micros: Mapping[int, int], day: int) -> list[Seen]:
        """So much of the worker's lease is available again; `moved` says how much it had."""
        return [
            seen
            for part in _parts(list(micros))
            for seen in self._change(
                part,
                lambda account, book: books.give_back(
                    book, worker, max(0, book.leased(worker) - micros[account])
                ),
                day,
            )
        ]

    def put(self, restored: Mapping[int, Book]) -> None:
        """Write whole books. Nobody else may be at work."""
        for part in _parts(list(restored)):
            written = [pack(restored[account]) for account in part]
            self.store.update([key_of(a) for a in part], _write(written))

    def _change(
        self, accounts: Sequence[int], step: Callable[[int, Book], Book], day: int
    ) -> list[Seen]:
        def change(found: Values) -> tuple[Values, list[Seen]]:
            kept, seen = list(found), []
            for at, (account, value) in enumerate(zip(accounts, found, strict=True)):
                old = books.on_day(unpack(value), day)
                book = step(account, old)
                if book is not old:
                    kept[at] = pack(book)
                seen.append(_seen(account, book, old.out - book.out))
            return kept, seen

        return self.store.update([key_of(a) for a in accounts], change)

    def check(self) -> list[str]:
        """Broken invariants of any account, in words."""
        return [
            f"account {account}: {fault}"
            for account, book in self.all()
            for fault in books.faults(book)
        ]


def _write(values: list[bytes]) -> Callable[[Values], tuple[Values, None]]:
    return lambda _: (values, None)


def _seen(account: int, book: Book, moved: int = 0) -> Seen:
    return Seen(account, book.limited, book.available, moved)


def _parts(accounts: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(accounts), AT_ONCE):
        yield accounts[start : start + AT_ONCE]
