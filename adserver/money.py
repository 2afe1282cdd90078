"""A worker's hold on the money that all workers share: budgets, tickets, what is set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver import shifts
from adserver.bank import Bank
from adserver.books import Books
from adserver.events import EventSettings
from adserver.holds import Hold, Holds, promised, unsettled
from adserver.records import DAY_MS
from adserver.settings import Settings
from adserver.state.disk import DiskStore
from adserver.state.store import StateStore
from adserver.tickets import TicketBook, capacity_for
from auction.books import UNLIMITED

SYNC_EVERY_MS = 1000
"""What a crash of the machine may take from the store; the event log has it all the same."""


@dataclass(slots=True)
class Drawer:
    """The shared money as one worker sees it."""

    store: StateStore
    bank: Bank
    book: TicketBook
    holds: Holds
    events: Path
    """Folder of the event log."""
    day: int
    _daily: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _lifetime: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _synced_ms: int = 0
    _taken_back: int = 0

    @property
    def remaining(self) -> NDArray[np.int64]:
        """[A] micros that each account can still promise; changes in place as sales are made."""
        return self.bank.ledger.left

    def limit(
        self,
        account: NDArray[np.integer],
        daily_micros: NDArray[np.int64],
        lifetime_micros: NDArray[np.int64],
        now_s: float,
    ) -> None:
        """Set the limits of these accounts for all workers; `UNLIMITED` is none.

        Only what has changed since the last call is written: call it with all accounts.
        """
        self.cover(int(account.max(initial=-1)) + 1)
        changed = np.flatnonzero(
            (self._daily[account] != daily_micros) | (self._lifetime[account] != lifetime_micros)
        )
        limits = {
            int(account[at]): (int(daily_micros[at]), int(lifetime_micros[at])) for at in changed
        }
        self.bank.limit(limits, int(now_s * 1000) // DAY_MS)
        self._daily[account], self._lifetime[account] = daily_micros, lifetime_micros

    def cover(self, accounts: int) -> None:
        """Know the accounts below this number, limited or not."""
        self.bank.cover(accounts)
        more = max(0, accounts - len(self._daily))
        if more:
            none = np.full(more, UNLIMITED, np.int64)
            self._daily = np.concatenate([self._daily, none])
            self._lifetime = np.concatenate([self._lifetime, none])

    def know(self, limits: Mapping[int, tuple[int, int]]) -> None:
        """These limits are in the books already."""
        self.cover(max(limits, default=-1) + 1)
        for account, (daily, lifetime) in limits.items():
            self._daily[account], self._lifetime[account] = daily, lifetime

    def tend(self, now_s: float) -> None:
        """Twice a second, off the event loop: leases, the day, workers that died, the disk."""
        now_ms = int(now_s * 1000)
        if not shifts.renew(self.store, self.bank.worker, now_ms):
            self.bank.forfeit()
            shifts.begin(self.store, self.bank.worker, now_ms)
        self.day = max(self.day, now_ms // DAY_MS)
        self.bank.tend(self.day, now_s)
        gone = set(shifts.overdue(self.store, now_ms)) - {self.bank.worker}
        if gone:
            self.succeed(gone.__contains__, now_ms)
            for worker in gone:
                shifts.end(self.store, worker)
        if now_ms - self._synced_ms >= SYNC_EVERY_MS:
            self._synced_ms = now_ms
            self.store.sync()

    def succeed(self, of: Callable[[int], bool], now_ms: int) -> None:
        """Look after the open reservations of these workers, and return what else they leased."""
        found = unsettled(self.events, now_ms, EventSettings().hold_s, of)
        holds = [hold for hold in found if not self.book.marks(hold.number) & hold.billable]
        sums = promised(holds)
        backed: set[tuple[int, int]] = set()
        for account, book in self.bank.books.all():
            for seller, leased in book.lease:
                if not of(seller):
                    continue
                keep = sums.get(seller, {}).get(account, 0)
                if keep < leased:
                    self._taken_back += 1
                    self.bank.books.give_back(seller, {account: keep}, now_ms // DAY_MS)
                backed.add((seller, account))
        self.holds.adopt(_only_backed(holds, backed))

    def rose(self) -> int:
        """Leases taken from workers that died, since the last call."""
        taken, self._taken_back = self._taken_back, 0
        return taken

    def close(self) -> None:
        """Give back what is not promised. The rest is another worker's, or the next start's."""
        self.bank.surrender(self.day)
        shifts.leave(self.store, self.bank.worker)
        self.store.sync()


def _only_backed(holds: list[Hold], backed: set[tuple[int, int]]) -> Iterator[Hold]:
    """Without the levels that had no limit, and so no lease."""
    for hold in holds:
        accounts = tuple(a for a in hold.accounts if (hold.seller, a) in backed)
        yield Hold(
            hold.due_ms, hold.number, accounts, hold.reserved_micros, hold.billable, hold.seller
        )


def open_store(settings: Settings) -> StateStore:
    """The state that all workers of this machine share. Once per process, after any fork."""
    return DiskStore(settings.adserver_data / "state", settings.state_bytes)


def open_drawer(
    settings: Settings, worker: int, now_s: float, store: StateStore | None = None
) -> Drawer:
    """The shared money and tickets; reservations that this worker left open are its own again."""
    now_ms = int(now_s * 1000)
    store = store or open_store(settings)
    book = TicketBook(
        settings.adserver_data / "tickets", capacity_for(settings.clicks_per_day), now_ms * 1000
    )
    bank = Bank(Books(store), worker, settings.workers)
    drawer = Drawer(
        store, bank, book, Holds(book, bank), settings.adserver_data / "events", now_ms // DAY_MS
    )
    shifts.begin(store, worker, now_ms)
    drawer.succeed(
        lambda seller: seller == worker or (worker == 0 and seller >= settings.workers), now_ms
    )
    drawer.know(bank.look_at_all(drawer.day))
    return drawer
