"""The money columns of all campaigns, shared by the workers of one machine.

A mapped sparse file holds them; `auction.Ledger` works on the arrays and knows nothing of files.
Whoever changes them holds `lock()`.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

import numpy as np

from adserver.errors import ConfigError
from auction.ledger import Ledger

MAGIC = 0x3159454E4F4D  # reads MONEY1
HEADER = 4096
CAMPAIGNS = 1 << 20
"""Largest campaign id plus one. The file is sparse: only pages of ids in use take space."""
_COLUMNS = 4


class Moneybox:
    """Columns indexed by campaign id, int64 micros, that live as long as the data folder."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._thread = threading.Lock()
        size = HEADER + _COLUMNS * CAMPAIGNS * 8
        with self.lock():
            if os.fstat(self._descriptor).st_size == 0:
                os.ftruncate(self._descriptor, size)
                os.pwrite(self._descriptor, MAGIC.to_bytes(8, "little"), 0)
        if os.fstat(self._descriptor).st_size != size:
            raise ConfigError([f"{path} is not a file of campaign budgets; remove it"])
        self._map = mmap.mmap(self._descriptor, size)
        self._header = np.frombuffer(self._map, np.int64, 3)
        if self._header[0] != MAGIC:
            raise ConfigError([f"{path} is not a file of campaign budgets; remove it"])

    def close(self) -> None:
        """Let go of the file; ledgers stay readable until the last reference to them goes."""
        os.close(self._descriptor)

    @property
    def day(self) -> int:
        """Days since 1970-01-01 UTC that the spend belongs to; 0 in a new box."""
        return int(self._header[1])

    def ledger(self, campaigns: int) -> Ledger:
        """A ledger of the campaign ids below `campaigns`, on the shared columns.

        A longer one, for a snapshot with more campaigns, works on the same money.
        """
        if campaigns > CAMPAIGNS:
            raise ConfigError([f"campaign ids must be below {CAMPAIGNS}, not {campaigns - 1}"])
        with self.lock():
            self._header[2] = max(campaigns, int(self._header[2]))
        return self._view(campaigns)

    def _view(self, campaigns: int) -> Ledger:
        columns = np.frombuffer(self._map, np.int64, offset=HEADER).reshape(_COLUMNS, CAMPAIGNS)
        return Ledger(*columns[:, :campaigns])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else, of any process or thread, changes the columns meanwhile. Not reentrant."""
        with self._thread:
            flock(self._descriptor, LOCK_EX)
            try:
                yield
            finally:
                flock(self._descriptor, LOCK_UN)

    def turn_to(self, day: int, ledger: Ledger) -> bool:
        """Whether this call began the day: then nothing is spent yet. Hold the lock.

        Every worker may call it as often as it likes; a clock that goes back turns nothing. A
        worker whose ledger is short still turns the day for the campaigns that others know.
        """
        if day <= self.day:
            return False
        self._header[1] = day
        self._view(max(len(ledger.spent), int(self._header[2]))).roll_day()
        return True
