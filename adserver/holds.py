"""Reservations of sold slots, given back when nothing came of them.

Knows tickets, the bank and the event log; when something is due comes as an argument.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from adserver.bank import Bank
from adserver.books import payers
from adserver.eventlog import read
from adserver.records import DAY_MS, DecisionRecord, EventRecord, SlotRecord
from adserver.tickets import Mark, TicketBook
from auction.columns import Pricing

BILLABLE = {
    Pricing.CPM: Mark.IMPRESSION,
    Pricing.CPC: Mark.CLICK,
    Pricing.CPA: Mark.CONVERSION,
    Pricing.FLAT: Mark.IMPRESSION,
    Pricing.VCPM: Mark.VIEWABLE,
}


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside for one sold slot until `due_ms`."""

    due_ms: int
    number: int
    accounts: tuple[int, ...]
    reserved_micros: int
    billable: Mark
    seller: int
    """The worker whose lease it is part of."""


class Holds:
    """The reservations that this worker looks after, given back when nothing came."""

    def __init__(self, book: TicketBook, bank: Bank) -> None:
        self.book, self.bank = book, bank
        self._waiting: deque[Hold] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, hold: Hold) -> None:
        """Of a sale just made: due after all others of this worker."""
        self._waiting.append(hold)

    def adopt(self, holds: Iterable[Hold]) -> None:
        """Reservations of an earlier life, or of a worker that is gone."""
        found = list(holds)
        for hold in found:
            if hold.seller == self.bank.worker:
                self.bank.hold(hold.accounts, hold.reserved_micros)
        with self._lock:
            self._waiting = deque(sorted([*self._waiting, *found], key=lambda hold: hold.due_ms))

    def release_due(self, now_ms: int, most: int = 1000) -> int:
        """How many reservations were given back; looks at no more than `most`, so call it often."""
        lost = 0
        others: dict[int, dict[int, int]] = {}
        for hold in self._due(now_ms, most):
            unsold = self.book.release(hold.number, hold.billable)
            lost += unsold
            if hold.seller != self.bank.worker:
                if unsold:
                    _add(others.setdefault(hold.seller, {}), hold)
            elif unsold:
                self.bank.release(hold.accounts, hold.reserved_micros)
            else:
                self.bank.drop(hold.accounts, hold.reserved_micros)
        for seller, micros in others.items():
            self.bank.release_of(seller, micros, now_ms // DAY_MS)
        return lost

    def _due(self, now_ms: int, most: int) -> list[Hold]:
        due: list[Hold] = []
        with self._lock:
            while self._waiting and self._waiting[0].due_ms <= now_ms and len(due) < most:
                due.append(self._waiting.popleft())
        return due


def _add(micros: dict[int, int], hold: Hold) -> None:
    for account in hold.accounts:
        micros[account] = micros.get(account, 0) + hold.reserved_micros


def promised(holds: Iterable[Hold]) -> dict[int, dict[int, int]]:
    """Micros set aside by seller and account."""
    sums: dict[int, dict[int, int]] = {}
    for hold in holds:
        _add(sums.setdefault(hold.seller, {}), hold)
    return sums


def unsettled(
    folder: Path, now_ms: int, hold_s: int, of: Callable[[int], bool] = lambda worker: True
) -> list[Hold]:
    """Reservations of the last `hold_s` whose billable event has not come, says the log.

    Of some workers, for their successor; of all, when all start anew.
    """
    holds: list[Hold] = []
    came: set[tuple[int, Mark]] = set()
    for record in read(folder, since_ms=now_ms - hold_s * 1000):
        if isinstance(record, EventRecord):
            if record.code.counts:
                kind = type(record).__struct_config__.tag
                came.add((record.number, Mark[str(kind).upper()]))
        elif of(record.worker):
            holds += _holds(record, hold_s * 1000)
    return [hold for hold in holds if (hold.number, hold.billable) not in came]


def _holds(record: DecisionRecord, hold_ms: int) -> Iterator[Hold]:
    for slot in record.slots:
        if slot.reserved_micros and not record.test:
            yield Hold(
                record.t + hold_ms,
                slot.number,
                payers(slot.advertiser, slot.campaign, slot.line_item, slot.deal),
                slot.reserved_micros,
                BILLABLE[_pricing(slot)],
                record.worker,
            )


def _pricing(slot: SlotRecord) -> Pricing:
    """Lines from before there were more than two say only `per_click`."""
    return Pricing.CPC if slot.per_click and not slot.pricing else Pricing(slot.pricing)
