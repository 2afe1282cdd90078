"""One worker's side of the budgets: the money that it leased, and what it promised of it.

Knows accounts as indices (`columns.account_of`) and money as int64 micros. It has no clock, no
store and no locks; what was leased, spent and is left for all workers is in `auction.books`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from auction import kernels
from auction.books import UNLIMITED

SHORTEST_S = 0.1
"""Sales of a shorter time say nothing about their pace."""


class Ledger:
    """Never promises more than was leased. Accounts without a limit need no lease and cost nothing.

    A sale is reserved at its expected cost on every level that it is paid from. A reservation
    that came to nothing is free again here; one that was billed leaves with the lease's part that
    was behind it, and this side need not hear of it.
    """

    def __init__(self, accounts: int) -> None:
        self.limited = np.zeros(accounts, np.bool_)
        self.free = np.zeros(accounts, np.int64)
        """[A] leased and not promised."""
        self.left = np.full(accounts, UNLIMITED, np.int64)
        """[A] free, and what the books had available at the last look: kept current in place."""
        self.held = np.zeros(accounts, np.int64)
        """[A] reserved by sales that may still be billed, or were lately."""
        self.used = np.zeros(accounts, np.int64)
        """[A] micros reserved since the last `pace`."""
        self.rate = np.zeros(accounts, np.int64)
        """[A] micros reserved per second."""

    def __len__(self) -> int:
        return len(self.limited)

    def grow(self, accounts: int) -> None:
        """Know the accounts below this number too; new ones are unlimited."""
        more = accounts - len(self)
        if more <= 0:
            return
        for name in ("limited", "free", "held", "used", "rate"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))
        self.left = np.concatenate([self.left, np.full(more, UNLIMITED, np.int64)])

    def reserve(
        self, account: NDArray[np.integer], micros: NDArray[np.integer]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """[T] row by row: True where every level of `account` [T, 4] had the money free; and
        [T, 4] the accounts that it was taken from, -1 for a level without a limit.

        -1 is no account; one that this ledger does not know has nothing.
        """
        granted = np.empty(len(account), np.bool_)
        payer = np.empty(account.shape, np.int64)
        kernels.reserve(
            np.ascontiguousarray(account, np.int32),
            np.ascontiguousarray(micros, np.int64),
            self.limited,
            self.free,
            self.left,
            self.held,
            self.used,
            granted,
            payer,
        )
        return granted, payer

    def missing(self, account: Sequence[int], micros: int) -> dict[int, int] | None:
        """What must be leased before these levels can pay `micros`; None if one is unknown."""
        known = [a for a in account if a >= 0]
        if micros < 0 or any(a >= len(self) for a in known):
            return None
        short = {a: micros - int(self.free[a]) for a in known if self.limited[a]}
        return {a: less for a, less in short.items() if less > 0}

    def hold(self, account: Iterable[int], micros: int) -> None:
        """A sale of an earlier life may be billed this much; its lease is behind it already."""
        for a in account:
            self.held[a] += micros

    def drop(self, account: Iterable[int], micros: int) -> None:
        """It was billed."""
        for a in account:
            self.held[a] -= micros

    def release(self, account: Iterable[int], micros: int) -> None:
        """It was not billed and will not be: free for the next sale."""
        for a in account:
            self.held[a] -= micros
            self.free[a] += micros
            if self.limited[a]:
                self.left[a] += micros

    def lend(self, account: int, micros: int) -> None:
        """More was leased or (negative) given back; what is left stays the same."""
        self.free[account] += micros

    def see(self, account: int, limited: bool, available: int) -> None:
        """What the books say now."""
        self.limited[account] = limited
        self.left[account] = available + self.free[account] if limited else UNLIMITED

    def pace(self, account: NDArray[np.int64], seconds: float) -> None:
        """Measure how fast these accounts are sold from: faster at once, slower in a few steps."""
        fresh = (self.used[account] / max(seconds, SHORTEST_S)).astype(np.int64)
        slowed = (self.rate[account] + 3 * fresh) // 4
        self.rate[account] = np.maximum(fresh, slowed)
        self.used[account] = 0

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        known = [
            ("negative free money", self.free < 0),
            ("negative reservations", self.held < 0),
            ("less left than free", self.left < self.free),
            ("an unlimited account that can run out", ~self.limited & (self.left != UNLIMITED)),
        ]
        return [
            f"{what}: accounts {np.flatnonzero(where)[:5].tolist()}"
            for what, where in known
            if where.any()
        ]
