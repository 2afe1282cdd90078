"""Whose money is spent, whose is set aside, and what is left of the day.

Knows campaigns as dense ids and money as int64 micros. It has no clock (the caller says when a day
ends), no files and no locks: the arrays may be memory-mapped and shared by processes, and whoever
shares them holds the lock around each call.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auction import kernels


class Step(IntEnum):
    """What an entry of the ledger's history did."""

    LIMIT = 1
    RESERVE = 2
    SETTLE = 3
    RELEASE = 4
    NEW_DAY = 5


class Entry(NamedTuple):
    """One step of the history; amounts that a step does not need are 0."""

    step: Step
    campaign: int = 0
    micros: int = 0
    """The new limit, or the reservation made, settled or released."""
    cost_micros: int = 0
    """What a settled event costs."""


class Ledger:
    """Never lets a campaign spend or promise more than the highest limit of its day.

    A sale is reserved at its expected cost, settled at its real cost when the billable event
    comes, released when it does not. What a click costs beyond the money left is not billed.
    """

    def __init__(
        self,
        daily_limit: NDArray[np.int64],
        spent: NDArray[np.int64],
        reserved: NDArray[np.int64],
        ceiling: NDArray[np.int64] | None = None,
    ) -> None:
        """Work on these arrays [C] in place; `ceiling` is the highest limit since the day began."""
        self.daily_limit = np.asarray(daily_limit)
        self.spent = np.asarray(spent)
        self.reserved = np.asarray(reserved)
        if ceiling is None:
            ceiling = np.maximum(self.daily_limit, self.spent + self.reserved)
        self.ceiling = np.asarray(ceiling)

    @classmethod
    def empty(cls, campaigns: int) -> Ledger:
        """All zero, in this process's memory."""
        return cls(*np.zeros((4, campaigns), np.int64))

    def remaining(self) -> NDArray[np.int64]:
        """[C] money neither spent nor set aside; a new array."""
        left: NDArray[np.int64] = self.daily_limit - self.spent - self.reserved
        left[left < 0] = 0
        return left

    def set_limit(self, campaign: int, micros: int) -> None:
        """Change the limit of the day; what is spent or promised already stays so."""
        self.daily_limit[campaign] = micros
        self.ceiling[campaign] = max(int(self.ceiling[campaign]), micros)

    def reserve(
        self, campaign: NDArray[np.integer], micros: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Row by row, all or nothing: True where the campaign had the money, now set aside."""
        granted = np.zeros(len(campaign), np.bool_)
        kernels.reserve(
            np.ascontiguousarray(campaign, np.int64),
            np.ascontiguousarray(micros, np.int64),
            self.daily_limit,
            self.spent,
            self.reserved,
            granted,
        )
        return granted

    def settle(self, campaign: int, reserved_micros: int, cost_micros: int) -> int:
        """Turn a reservation into spend; the micros billed, at most the cost and what is left."""
        self.release(campaign, reserved_micros)
        free = int(self.daily_limit[campaign] - self.spent[campaign] - self.reserved[campaign])
        billed = max(0, min(cost_micros, free))
        self.spent[campaign] += billed
        return billed

    def release(self, campaign: int, micros: int) -> None:
        """Give back what was set aside; never more than is."""
        self.reserved[campaign] -= min(micros, int(self.reserved[campaign]))

    def roll_day(self) -> None:
        """Begin a day: nothing spent, reservations still under way carried over."""
        self.spent[:] = 0
        np.maximum(self.daily_limit, self.reserved, out=self.ceiling)

    def replay(self, history: Iterable[Entry]) -> Ledger:
        """Take the steps of a history again; from an empty ledger this rebuilds the state."""
        for step, campaign, micros, cost in history:
            match step:
                case Step.LIMIT:
                    self.set_limit(campaign, micros)
                case Step.RESERVE:
                    self.reserve(np.array([campaign]), np.array([micros]))
                case Step.SETTLE:
                    self.settle(campaign, micros, cost)
                case Step.RELEASE:
                    self.release(campaign, micros)
                case Step.NEW_DAY:
                    self.roll_day()
        return self

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        faults = [
            ("negative spend", self.spent < 0),
            ("negative reservations", self.reserved < 0),
            ("spent and reserved above the limit", self.spent + self.reserved > self.ceiling),
        ]
        return [
            f"{what}: campaigns {np.flatnonzero(where)[:5].tolist()}"
            for what, where in faults
            if where.any()
        ]
