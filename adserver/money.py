"""A worker's hold on the money that all workers share: budgets, tickets, what is set aside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.events import EventSettings
from adserver.holds import Holds, restore, unsettled
from adserver.moneybox import Moneybox
from adserver.settings import Settings
from adserver.tickets import TicketBook, capacity_for
from auction.ledger import Ledger


@dataclass(slots=True)
class Drawer:
    """The shared columns as one worker sees them; `ledger` is replaced when campaigns are added."""

    box: Moneybox
    ledger: Ledger
    book: TicketBook
    holds: Holds

    def limit(self, daily_budget_micros: NDArray[np.int64]) -> None:
        """Set the day's budgets, by campaign id, for all workers."""
        campaigns = len(daily_budget_micros)
        if campaigns > len(self.ledger.daily_limit):
            self.ledger = self.holds.ledger = self.box.ledger(campaigns)
        limit, ceiling = self.ledger.daily_limit, self.ledger.ceiling
        with self.box.lock():
            limit[:campaigns] = daily_budget_micros
            np.maximum(ceiling, limit, out=ceiling)


def open_drawer(settings: Settings, campaigns: int, worker: int, now_s: float) -> Drawer:
    """The shared money and tickets; reservations that this worker left open are its own again."""
    folder, now_ms = settings.adserver_data, int(now_s * 1000)
    box = Moneybox(folder / "budgets")
    ledger = box.ledger(campaigns)
    book = TicketBook(folder / "tickets", capacity_for(settings.clicks_per_day), now_ms * 1000)
    holds = Holds(book, box, ledger)
    for hold in unsettled(folder / "events", now_ms, EventSettings(), _successor(settings, worker)):
        holds.add(hold)
    return Drawer(box, ledger, book, holds)


def restore_from_log(settings: Settings, campaigns: int, now_s: float) -> None:
    """Make the budgets file say what the event log says. Before any worker runs."""
    now_ms = int(now_s * 1000)
    box = Moneybox(settings.adserver_data / "budgets")
    holds = unsettled(settings.adserver_data / "events", now_ms, EventSettings())
    restore(box, box.ledger(campaigns), settings.adserver_data / "events", now_ms, holds)
    box.close()


def _successor(settings: Settings, worker: int) -> Callable[[int], bool]:
    """Whose reservations a worker takes over: its own, and the first also those of workers that
    there are no more."""
    return lambda earlier: earlier == worker or (worker == 0 and earlier >= settings.workers)
