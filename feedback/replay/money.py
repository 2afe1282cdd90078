"""Daily budgets in a replay, and the pacer that makes them last, as they serve.

Budgets are by account (`auction.columns.account_of`). A sample of the traffic has the same share of
the money.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from auction.columns import PPM, Bids
from auction.pacing import Goal, Mode, Pacer, PacingSettings, Plans, paced
from auction.traffic import Curve
from feedback.replay.held import DAY_S, full_bid_of

ENDLESS = 2**62
TICK_S = 60.0
GONE = 0.01
"""Part of a day's money below which it counts as gone."""
SLOW = PacingSettings(react_s=4 * TICK_S, longest_gap_s=3 * 3600.0)
"""A sample sells so seldom that the pacer looks once a minute."""


class Money:
    """What is left of each day. `check()` proves that nothing was overspent."""

    def __init__(
        self, daily_micros: Mapping[int, int], typical_micros: float, curve: Curve, pace: bool
    ) -> None:
        """`typical_micros`: price of one impression; `pace` False spends as fast as it can."""
        self.account = np.array(sorted(daily_micros), np.int64)
        self.daily = np.array([daily_micros[int(a)] for a in self.account], np.int64)
        self.ended: dict[int, list[float]] = {}
        """By account, the hours of day at which its money was gone."""
        self._pacer = Pacer(SLOW, curve) if pace else None
        self._typical, self._day, self._next = max(1.0, typical_micros), -1, -np.inf
        self.left = np.full(int(self.account.max(initial=0)) + 1, ENDLESS, np.int64)
        self._share = np.full(len(self.left), PPM, np.int64)
        self._limited = np.zeros(len(self.left), np.bool_)
        self._limited[self.account] = True

    def cover(self, bids: Bids) -> None:
        """Accounts without a budget never run out."""
        missing = int(bids.account.max(initial=0)) + 1 - len(self.left)
        if missing > 0:
            self.left = np.append(self.left, np.full(missing, ENDLESS, np.int64))
            self._share = np.append(self._share, np.full(missing, PPM, np.int64))
            self._limited = np.append(self._limited, np.zeros(missing, np.bool_))

    def turn(self, now_s: float) -> None:
        """Begin a new day when it is one, and let the pacer look; time never goes back."""
        day = int(now_s // DAY_S)
        if day > self._day:
            self._day = day
            self.left[self.account] = self.daily
            if self._pacer is not None:
                self._pacer.follow(self._plans(day))
        if self._pacer is not None and now_s >= self._next:
            self._next = now_s + TICK_S
            self._pacer.tick(now_s, self.spent())
            self._share[self.account] = self._pacer.multiplier_ppm()

    def _plans(self, day: int) -> Plans:
        n = len(self.account)
        return Plans(
            key=self.account,
            kind=np.full(n, Goal.SPEND, np.uint8),
            amount=self.daily,
            unit=np.full(n, self._typical),
            mode=np.full(n, Mode.EVEN, np.uint8),
            period=np.full(n, day),
            start_s=np.full(n, day * DAY_S),
            end_s=np.full(n, (day + 1) * DAY_S),
        )

    def spent(self) -> NDArray[np.int64]:
        """[budgets] today."""
        spent: NDArray[np.int64] = self.daily - self.left[self.account]
        return spent

    def offered(self, bids: Bids) -> NDArray[np.int64]:
        """[R] bids as paced now; those without a budget as they are in `bids`."""
        if self._pacer is None or not len(self.account):
            return bids.bid_micros
        known = bids.account >= 0
        account = np.where(known, bids.account, 0)
        share = np.where(known, self._share[account], PPM).min(axis=1)
        limited = (known & self._limited[account]).any(axis=1)
        again = paced(full_bid_of(bids), bids.per_click, share)
        return np.where(limited, again, bids.bid_micros)

    def pay(
        self, bids: Bids, row: NDArray[np.integer], cost: NDArray[np.int64], now_s: float
    ) -> None:
        """Take sales off every budget that pays for them."""
        for level in bids.account[row].T:
            known = level >= 0
            np.subtract.at(self.left, level[known], cost[known])
        gone = self.left[self.account] < GONE * self.daily
        for account in self.account[gone].tolist():
            hours = self.ended.setdefault(account, [])
            if len(hours) == 0 or hours[-1] < self._day * 24.0:
                hours.append(now_s / 3600.0)

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        over = self.account[self.left[self.account] < 0].tolist()
        return [f"account {account} has spent more than its day's money" for account in over]
