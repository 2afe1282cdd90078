"""Money set aside for sold slots, given back when nothing came of them; and the money's rebuilding.

The shared ledger is a fold over the event log: what was billed today, and what may still be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adserver.eventlog import read
from adserver.events import EventSettings
from adserver.moneybox import Moneybox
from adserver.records import DAY_MS, ClickRecord, DecisionRecord, EventRecord, ViewableRecord
from adserver.tickets import Mark, TicketBook
from auction.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside for one sold slot until `due_ms`."""

    due_ms: int
    number: int
    campaign: int
    reserved_micros: int
    per_click: bool


class Holds:
    """The reservations that this worker made, oldest first, given back when nothing came."""

    def __init__(self, book: TicketBook, box: Moneybox, ledger: Ledger) -> None:
        self.book, self.box, self.ledger = book, box, ledger
        self._waiting: deque[Hold] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, hold: Hold) -> None:
        """Holds are due in the order in which they come."""
        self._waiting.append(hold)

    def release_due(self, now_ms: int, most: int = 1000) -> int:
        """How many reservations were given back; looks at no more than `most`, so call it often."""
        due: list[Hold] = []
        while self._waiting and self._waiting[0].due_ms <= now_ms and len(due) < most:
            due.append(self._waiting.popleft())
        lost = [hold for hold in due if self.book.release(hold.number, _billable(hold))]
        with self.box.lock():
            for hold in lost:
                self.ledger.release(hold.campaign, hold.reserved_micros)
        return len(lost)


def _billable(hold: Hold) -> Mark:
    return Mark.CLICK if hold.per_click else Mark.IMPRESSION


def rebuild(folder: Path, day: int) -> dict[int, int]:
    """Micros billed to each campaign on a UTC day (days since 1970), folded from the log."""
    spent: dict[int, int] = {}
    for record in read(folder, since_ms=day * DAY_MS, decisions=False):
        if isinstance(record, EventRecord) and record.billed_micros and record.t // DAY_MS == day:
            spent[record.campaign] = spent.get(record.campaign, 0) + record.billed_micros
    return spent


def unsettled(
    folder: Path,
    now_ms: int,
    settings: EventSettings,
    of: Callable[[int], bool] = lambda worker: True,
) -> list[Hold]:
    """Reservations of the last `hold_s` whose billable event has not come, says the log.

    Of one worker, for its successor; of all, when all start anew.
    """
    hold_ms = settings.hold_s * 1000
    holds: list[Hold] = []
    came: set[tuple[int, bool]] = set()
    for record in read(folder, since_ms=now_ms - hold_ms):
        if isinstance(record, EventRecord):
            if record.code.counts and not isinstance(record, ViewableRecord):
                came.add((record.number, isinstance(record, ClickRecord)))
        elif of(record.worker):
            holds += _holds(record, hold_ms)
    return [hold for hold in holds if (hold.number, hold.per_click) not in came]


def _holds(record: DecisionRecord, hold_ms: int) -> Iterator[Hold]:
    for slot in record.slots:
        if slot.reserved_micros and not record.test:
            yield Hold(
                record.t + hold_ms,
                slot.number,
                slot.campaign,
                slot.reserved_micros,
                slot.per_click,
            )


def restore(box: Moneybox, ledger: Ledger, folder: Path, now_ms: int, holds: list[Hold]) -> None:
    """Make the shared money say what the log says. Before any worker runs, with limits set."""
    day = now_ms // DAY_MS
    spent = rebuild(folder, day)
    with box.lock():
        box.turn_to(day, ledger)
        ledger.spent[:] = 0
        ledger.reserved[:] = 0
        for campaign, micros in spent.items():
            ledger.spent[campaign] = micros
        for hold in holds:
            ledger.reserved[hold.campaign] += hold.reserved_micros
        promised = ledger.spent + ledger.reserved
        np.maximum(ledger.daily_limit, promised, out=ledger.ceiling)
