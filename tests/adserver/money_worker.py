"""A process that sells and receives events at random with the real money, tickets and log.

What it sold it appends to a file, one signed token a line, where the others find it.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np

from adserver.eventlog import EventLog, LogSettings
from adserver.events import EventSettings, Turnstile
from adserver.history import Histories
from adserver.holds import BILLABLE, Hold
from adserver.money import Drawer, open_drawer
from adserver.records import DAY_MS, DecisionRecord, SlotRecord
from adserver.seen import HistorySettings
from adserver.settings import Settings
from adserver.tokens import ON_PAGE, Kind, Token, event_token, signer_of
from auction.books import UNLIMITED
from auction.columns import Level, Pricing, account_of

DAY = 20_000
NOON_MS = DAY * DAY_MS + DAY_MS // 2
WORKERS = 4
SIGNER = signer_of("k" * 32)
LIMITS = {
    account_of(Level.ADVERTISER, 1): (60_000, 100_000),
    account_of(Level.CAMPAIGN, 1): (30_000, UNLIMITED),
    account_of(Level.CAMPAIGN, 2): (UNLIMITED, 40_000),
    account_of(Level.LINE_ITEM, 2): (20_000, UNLIMITED),
    account_of(Level.DEAL, 1): (15_000, 15_000),
}
"""Small enough to run out, and crossing each other."""


def settings_of(folder: Path) -> Settings:
    return Settings(adserver_data=folder, workers=WORKERS, clicks_per_day=200_000)


class Seller:
    """One worker; the clock is the number of its steps."""

    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self.folder, self.number = folder, number
        self.rng = random.Random(f"{seed} {number}")
        self.now_ms = NOON_MS
        self.drawer: Drawer = open_drawer(settings_of(folder), number, NOON_MS / 1000)
        self.drawer.cover(100)
        self.log = EventLog(
            folder / "events", number, lambda: NOON_MS / 1000, LogSettings(linger_ms=1)
        )
        histories = Histories(self.drawer.store, b"x" * 32, HistorySettings())
        self.turnstile = Turnstile(
            SIGNER, self.drawer.book, self.drawer.bank, self.log, number, EventSettings(), histories
        )
        self.sold = (folder / f"sold-{number}").open("a", buffering=1)

    def work(self, steps: int) -> None:
        """Sales, events of anybody's sales, expiry and the background's rounds, in any order."""
        asyncio.run(self._work(steps))

    def close(self) -> None:
        self.log.close()
        self.sold.close()
        self.drawer.close()
        self.drawer.book.close()
        self.drawer.store.close()

    async def _work(self, steps: int) -> None:
        for step in range(steps):
            self.now_ms += 20
            self._sell()
            if self.rng.random() < 0.5:
                await self._receive()
            self.drawer.holds.release_due(self.now_ms)
            if step % 25 == 0:
                self.drawer.tend(self.now_ms / 1000)

    def _sell(self) -> None:
        rng, drawer = self.rng, self.drawer
        campaign, item, deal = rng.randint(1, 2), rng.randint(1, 3), rng.randint(0, 1)
        pricing = rng.choice([Pricing.CPM, Pricing.CPC])
        charge = rng.randrange(1, 300)
        reserved = charge if pricing is Pricing.CPM else charge // 10
        ids = zip(Level, (1, campaign, item, deal), strict=True)
        row = [account_of(level, number) if number else -1 for level, number in ids]
        granted, limited = drawer.bank.reserve(np.array([row]), np.array([reserved]), DAY)
        if not granted[0]:
            return
        serial = drawer.book.take()
        token = Token(
            "d", 0, serial, 1, "c", campaign, 1, "p", self.now_ms, charge, 0, reserved,
            pricing, line_item=item, deal=deal, worker=self.number,
        )  # fmt: skip
        paying = tuple(a for a in limited[0].tolist() if a >= 0)
        due = self.now_ms + rng.choice([500, 360_000])
        drawer.holds.add(Hold(due, serial, paying, reserved, BILLABLE[pricing], self.number))
        slot = SlotRecord(
            "s", number=serial, line_item=item, campaign=campaign, advertiser=1, deal=deal,
            charge_micros=charge, reserved_micros=reserved, pricing=int(pricing),
        )  # fmt: skip
        self.log.append(DecisionRecord(self.now_ms, "d", (slot,), worker=self.number))
        self.sold.write(SIGNER.sign(token) + "\n")

    async def _receive(self) -> None:
        path = self.folder / f"sold-{self.rng.randrange(WORKERS)}"
        if not path.exists():
            return
        signed = self.rng.choice(path.read_text().splitlines()[:-1] or [""])
        if signed:
            kind = self.rng.choice([Kind.IMPRESSION, Kind.IMPRESSION, *ON_PAGE])
            await self.turnstile.receive(kind, event_token(signed, kind), self.now_ms)


def run(folder: Path, number: int, seed: int, steps: int) -> None:
    """The body of a spawned process."""
    seller = Seller(folder, number, seed)
    seller.work(steps)
    seller.close()
