"""One worker's dealings with the books: leases money, promises it, gives back what lies idle.

A reservation and its release touch only this worker's arrays; the store is asked when free money
runs short, when an event is billed, and twice a second. Knows no tokens, tickets or files.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from adserver.books import AT_ONCE, Books, Seen, Want
from adserver.meter import Tally, key_of
from auction.books import Sale, on_day
from auction.columns import LEVELS, Level
from auction.ledger import Ledger

AHEAD_S = 5.0
"""A lease is for this long at the speed of the last seconds."""
FIRST_EVENTS = 4
"""A lease of an account that has not sold lately is for so many more events."""
PARTS = 4
"""No lease takes more than this part of what each worker's share would be."""
LOW = 16
"""An account is looked at again and again once less than this part of its first `left` is left."""
LOOKS = 512
"""Accounts looked at in one round; more take turns."""


class Bank:
    """Money of all workers as one worker sees it. Safe to use from several threads."""

    def __init__(self, books: Books, worker: int, workers: int, accounts: int = 0) -> None:
        self.books, self.worker = books, worker
        self.ledger = Ledger(max(1, accounts))
        self._shares = PARTS * workers
        self._lock = threading.Lock()
        self.tally = Tally()
        """What this worker promised and billed, for pacing."""
        self._leased: set[int] = set()
        self._most = np.zeros(len(self.ledger), np.int64)
        self._looked, self._paced_s, self._day = 0, 0.0, 0

    def cover(self, accounts: int) -> None:
        """Know the accounts below this number."""
        with self._lock:
            self._grow(accounts)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Nobody changes the ledger's arrays meanwhile. Not reentrant."""
        with self._lock:
            yield

    def limit(self, limits: Mapping[int, tuple[int, int]], day: int) -> None:
        """Set (daily, lifetime) micros of these accounts for all workers.

        What was leased under the old limits and is free goes back: a lower one counts at once.
        """
        with self._lock:
            self._grow(max(limits, default=-1) + 1)
            back = {a: int(self.ledger.free[a]) for a in limits if self.ledger.free[a]}
            for account, micros in back.items():
                self.ledger.lend(account, -micros)
            self.books.take_back(self.worker, back, day)
            self._see(self.books.limit(limits, day))

    def reserve(
        self, account: NDArray[np.integer], micros: NDArray[np.integer], day: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """[T] which rows of `account` [T, 4] are paid for now, leasing what is missing; and [T, 4]
        the accounts that their reservations are in, -1 where there is none."""
        with self._lock:
            granted, payer = self.ledger.reserve(account, micros)
            for row in np.flatnonzero(~granted).tolist():
                if self._lease(account[row].tolist(), int(micros[row]), day):
                    part = slice(row, row + 1)
                    granted[part], payer[part] = self.ledger.reserve(account[part], micros[part])
        self.tally.promise_all(payer, micros)
        return granted, payer

    def _promise(self, accounts: Iterable[int], micros: int) -> None:
        for account in accounts:
            if account >= 0:
                self.tally.promise(key_of(account), micros)

    def hold(self, accounts: Sequence[int], micros: int) -> None:
        """A reservation of this worker's earlier life; see that its lease is kept."""
        with self._lock:
            self._grow(max(accounts, default=-1) + 1)
            self.ledger.hold(accounts, micros)
            self._leased.update(accounts)

    def drop(self, accounts: Iterable[int], micros: int) -> None:
        """A reservation was billed, whoever billed it."""
        with self._lock:
            self.ledger.drop(accounts, micros)

    def release(self, accounts: Collection[int], micros: int) -> None:
        """A reservation that this worker made came to nothing."""
        with self._lock:
            self.ledger.release(accounts, micros)
        self._promise(accounts, -micros)

    def release_of(self, worker: int, micros: Mapping[int, int], day: int) -> None:
        """The same for reservations of a worker that is gone, summed by account."""
        with self._lock:
            self._see(self.books.take_back(worker, micros, day))
        for account, sum_micros in micros.items():
            self._promise([account], -sum_micros)

    def settle(self, sale: Sale, day: int) -> int:
        """Bill an event; the micros billed, at most its cost and what all its levels have."""
        with self._lock:
            self._grow(max(sale.accounts, default=-1) + 1)
            spare = [int(self.ledger.free[a]) for a in sale.accounts]
            billed, seen = self.books.settle(sale, spare, self.worker, day)
            for one in seen:
                self.ledger.lend(one.account, -one.moved)
            self._see(seen)
        for one in seen:
            self.tally.deliver(key_of(one.account), billed, sale.reserved if one.limited else 0)
        return billed

    def look(self, accounts: Sequence[int], day: int) -> None:
        """Bring `left` up to date with the books."""
        for start in range(0, len(accounts), AT_ONCE):
            part = accounts[start : start + AT_ONCE]
            found = [on_day(book, day) for book in self.books.read(part)]
            with self._lock:
                self._grow(max(part) + 1)
                self._see(
                    Seen(a, book.limited, book.available)
                    for a, book in zip(part, found, strict=True)
                )

    def look_at_all(self, day: int) -> dict[int, tuple[int, int]]:
        """The same for every account there is, some microseconds each: when a worker starts.

        The limits (daily, lifetime) that the books know, by account.
        """
        self._day, limits = day, {}
        for account, book in self.books.all():
            today = on_day(book, day)
            with self._lock:
                self._grow(account + 1)
                self._see([Seen(account, today.limited, today.available)])
            if book.limited:
                limits[account] = (book.daily, book.lifetime)
        return limits

    def tend(self, day: int, now_s: float) -> None:
        """Give back what lies idle, see what others gave back. Call it once or twice a second.

        A new day's money is seen at once where the old day's had run out; elsewhere when it is
        leased.
        """
        with self._lock:
            leased = np.fromiter(self._leased, np.int64, len(self._leased))
            self.ledger.pace(leased, now_s - self._paced_s)
            self._paced_s = now_s
            idle = self._idle(leased)
        self._return(idle, day)
        self.look(self._low(LOOKS if day == self._day else len(self.ledger)), day)
        self._day = day

    def out(self) -> NDArray[np.int64]:
        """[2, 4] micros of this worker's leases by level: free, and promised to sales."""
        with self._lock:
            leased = np.fromiter(self._leased, np.int64, len(self._leased))
            sides, level = (self.ledger.free[leased], self.ledger.held[leased]), leased % LEVELS
        return np.array([[side[level == one].sum() for one in Level] for side in sides])

    def check(self) -> list[str]:
        """Broken invariants of the books, of this worker's side, and between them, in words."""
        with self._lock:
            free = np.flatnonzero(self.ledger.free).tolist()
            kept = zip(free, self.books.read(free), strict=True)
            unbacked = [
                f"account {account}: free money without a lease"
                for account, book in kept
                if self.ledger.free[account] > book.leased(self.worker)
            ]
            return [*self.books.check(), *self.ledger.check(), *unbacked]

    def surrender(self, day: int) -> None:
        """Give back all that is not promised: this worker ends, or was taken for dead."""
        with self._lock:
            leased = sorted(self._leased)
            self.ledger.rate[leased] = 0
        self._return(leased, day)

    def forfeit(self) -> None:
        """Others took this worker for dead and gave its free money back."""
        with self._lock:
            for account in self._leased:
                self.ledger.lend(account, -int(self.ledger.free[account]))

    def _lease(self, account: Sequence[int], micros: int, day: int) -> bool:
        missing = self.ledger.missing(account, micros)
        if missing is None:
            return False
        if not missing:
            return True  # an earlier row's lease is enough for this one too
        wants = [Want(a, least, self._extra(a, micros)) for a, least in missing.items()]
        met, seen = self.books.lend(self.worker, wants, self._shares, day)
        for one in seen:
            self.ledger.lend(one.account, one.moved)
        self._see(seen)
        self._leased.update(missing)
        return met

    def _extra(self, account: int, micros: int) -> int:
        speed = max(int(self.ledger.rate[account]), int(self.ledger.used[account]))
        return max(FIRST_EVENTS * micros, int(AHEAD_S * speed))

    def _idle(self, leased: NDArray[np.int64]) -> list[int]:
        """Accounts with twice the free money that they will soon need, or with nothing going on."""
        ledger = self.ledger
        soon = (AHEAD_S * ledger.rate[leased]).astype(np.int64)
        quiet = (ledger.rate[leased] == 0) & (ledger.held[leased] == 0)
        idle: list[int] = leased[(ledger.free[leased] > 2 * soon) | quiet].tolist()
        return idle

    def _return(self, accounts: Sequence[int], day: int) -> None:
        """The store may be slow, and whoever sells needs the lock: what is free is no longer ours
        before it goes back, so that nobody can sell it meanwhile."""
        for start in range(0, len(accounts), AT_ONCE):
            part = accounts[start : start + AT_ONCE]
            with self._lock:
                back = self._to_return(part)
            seen = self.books.take_back(self.worker, back, day)
            books = zip(part, self.books.read(part), strict=True)
            left = [account for account, book in books if book.leased(self.worker)]
            with self._lock:
                self._see(seen)
                self._end_leases(part, left, day)

    def _to_return(self, accounts: Sequence[int]) -> dict[int, int]:
        """Free money that is not needed soon, taken from the ledger."""
        ledger, back = self.ledger, dict[int, int]()
        for account in accounts:
            soon = int(AHEAD_S * ledger.rate[account])
            back[account] = max(0, int(ledger.free[account]) - soon)
            ledger.lend(account, -back[account])
        return back

    def _end_leases(self, accounts: Sequence[int], left: Sequence[int], day: int) -> None:
        """Where nothing is promised the lease ends, whatever became of it: a process that dies
        while it bills an event leaves the reservation out. Those `left` have a lease still."""
        ledger = self.ledger
        over = {a for a in accounts if ledger.held[a] == 0 and ledger.free[a] == 0}
        self._see(self.books.give_back(self.worker, {a: 0 for a in left if a in over}, day))
        self._leased.difference_update(over)

    def _low(self, most: int) -> list[int]:
        """The next accounts that may have run out; money may have come back to them."""
        known = len(self._most)
        low = np.flatnonzero(self.ledger.left[:known] < self._most // LOW)
        start = self._looked % max(1, len(low))
        self._looked = start + most
        chosen: list[int] = np.roll(low, -start)[:most].tolist()
        return chosen

    def _grow(self, accounts: int) -> None:
        if accounts > len(self.ledger):
            self.ledger.grow(accounts + accounts // 8)
            more = np.zeros(len(self.ledger) - len(self._most), np.int64)
            self._most = np.concatenate([self._most, more])

    def _see(self, seen: Iterable[Seen]) -> None:
        for one in seen:
            self.ledger.see(one.account, one.limited, one.available)
            if one.limited:
                left = self.ledger.left[one.account]
                self._most[one.account] = max(self._most[one.account], left)
