"""What every plan has delivered and promised in its period, summed over all workers.

A worker tallies its own steps and adds them to the shared meter once a second; money's truth stays
in the books, this is what pacing looks at. A worker that dies takes along what it had not added
yet: its last second. Knows plans by key only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from threading import Lock
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from adserver.state.store import StateStore, Values
from auction.columns import LEVELS, Level
from auction.pacing import Plans

I64 = NDArray[np.int64]

_PREFIX = b"pace/m/"
_RECORD = np.dtype([("period", np.int64), ("delivered", np.int64), ("promised", np.int64)])
CHUNK = 512
"""Plans in one value of the store."""
AT_ONCE = 64
"""Chunks in one update: others wait for the store meanwhile."""
BATCHES = 4_096
"""Batches of sales put aside before they are added up."""
KEYS = 2 * LEVELS
"""Plan keys of one id: money on each level, and what its line item counts."""


Number = TypeVar("Number", int, I64)


def money_key(level: Level, number: Number) -> Number:
    """Key of the plan for what this owner may spend."""
    return number * KEYS + int(level)


def count_key(line_item: Number, goal: int | I64) -> Number:
    """Key of the plan for what this line item has promised to deliver, in other than money."""
    return line_item * KEYS + (LEVELS + goal - 1)  # type: ignore[return-value]


def key_of(account: int) -> int:
    """Key of the plan for what may be spent from a budget (`auction.columns.account_of`)."""
    number, level = divmod(account, LEVELS)
    return number * KEYS + level


def account_in(key: I64) -> I64:
    """[L] the budgets that these plans are for; -1 where a plan counts other than money."""
    number, kind = np.divmod(key, KEYS)
    account: I64 = np.where(kind < LEVELS, number * LEVELS + kind, -1)
    return account


class Steps(NamedTuple):
    """Changes of plans, by key, ascending."""

    key: I64
    delivered: I64
    promised: I64


class Tally:
    """One worker's own steps since they were last taken. Safe to use from several threads."""

    def __init__(self) -> None:
        self._delivered: defaultdict[int, int] = defaultdict(int)
        self._promised: defaultdict[int, int] = defaultdict(int)
        self._batches: list[tuple[I64, I64]] = []
        self._lock = Lock()

    def promise(self, key: int, units: int) -> None:
        """A sale may deliver this much; negative: it came to nothing."""
        with self._lock:
            self._promised[key] += units

    def promise_all(self, account: I64, micros: NDArray[np.integer]) -> None:
        """The same of a batch of sales: micros [T] from each of the accounts [T, LEVELS], -1 for
        none. Put aside as it is: a page waits for this, and nobody for `take`."""
        with self._lock:
            self._batches.append((account, np.asarray(micros, np.int64)))
            if len(self._batches) >= BATCHES:
                self._fold()

    def deliver(self, key: int, units: int, promised: int = 0) -> None:
        """It was delivered, and this much less is promised."""
        with self._lock:
            self._delivered[key] += units
            self._promised[key] -= promised

    def take(self) -> Steps:
        """All steps so far; the next ones begin anew."""
        with self._lock:
            self._fold()
            delivered, promised = self._delivered, self._promised
            self._delivered, self._promised = defaultdict(int), defaultdict(int)
        keys = sorted(delivered.keys() | promised.keys())
        return Steps(
            np.array(keys, np.int64),
            np.array([delivered[key] for key in keys], np.int64),
            np.array([promised[key] for key in keys], np.int64),
        )

    def _fold(self) -> None:
        if not self._batches:
            return
        account = np.concatenate([some.ravel() for some, _ in self._batches])
        micros = np.concatenate([np.repeat(some, LEVELS) for _, some in self._batches])
        self._batches = []
        accounts, place = np.unique(account, return_inverse=True)
        sums = np.zeros(len(accounts), np.int64)
        np.add.at(sums, place, micros)
        for one, units in zip(accounts.tolist(), sums.tolist(), strict=True):
            if one >= 0:
                self._promised[key_of(one)] += units


class Meter:
    """The shared sums. Any thread, any process."""

    def __init__(self, store: StateStore) -> None:
        self.store = store

    def add(self, steps: Steps, plans: Plans) -> None:
        """Add one worker's steps; those of keys without a plan are forgotten.

        The first step of a period forgets what the period before delivered; promises go on. A
        worker that is late by a period adds its promises only.
        """
        if not len(plans):
            return
        place = np.minimum(np.searchsorted(plans.key, steps.key), len(plans) - 1)
        known = plans.key[place] == steps.key
        some = Steps(*(column[known] for column in steps))
        period = plans.period[place[known]]
        for part in _parts(some.key):
            self._add_part(Steps(*(column[part] for column in some)), period[part])

    def _add_part(self, steps: Steps, period: I64) -> None:
        chunks, owner = np.unique(steps.key // CHUNK, return_inverse=True)

        def change(found: Values) -> tuple[Values, None]:
            record = _joined(found)
            at = owner * CHUNK + steps.key % CHUNK
            known = record["period"][at]
            record["delivered"][at[known < period]] = 0
            record["period"][at] = np.maximum(known, period)
            record["delivered"][at] += np.where(known <= period, steps.delivered, 0)
            record["promised"][at] += steps.promised
            return [chunk.tobytes() for chunk in record.reshape(-1, CHUNK)], None

        self.store.update([_key(chunk) for chunk in chunks.tolist()], change)

    def raise_to(self, known: Steps, period: I64) -> None:
        """These plans have delivered and promised at least this much in their periods."""
        for part in _parts(known.key):
            self._raise_part(Steps(*(column[part] for column in known)), period[part])

    def _raise_part(self, known: Steps, period: I64) -> None:
        chunks, owner = np.unique(known.key // CHUNK, return_inverse=True)

        def change(found: Values) -> tuple[Values, None]:
            record = _joined(found)
            at = owner * CHUNK + known.key % CHUNK
            record["delivered"][at[record["period"][at] < period]] = 0
            record["period"][at] = np.maximum(record["period"][at], period)
            for name, least in (("delivered", known.delivered), ("promised", known.promised)):
                record[name][at] = np.maximum(record[name][at], least)
            return [chunk.tobytes() for chunk in record.reshape(-1, CHUNK)], None

        self.store.update([_key(chunk) for chunk in chunks.tolist()], change)

    def read(self, plans: Plans) -> I64:
        """[L] delivered in the plan's period, and promised; of nearly one moment."""
        total = np.zeros(len(plans), np.int64)
        for part in _parts(plans.key):
            chunks, owner = np.unique(plans.key[part] // CHUNK, return_inverse=True)
            record = _joined(self.store.get([_key(chunk) for chunk in chunks.tolist()]))
            found = record[owner * CHUNK + plans.key[part] % CHUNK]
            current = found["period"] == plans.period[part]
            total[part] = found["promised"] + np.where(current, found["delivered"], 0)
        return total


def _parts(key: I64) -> Iterator[slice]:
    """Slices of ascending keys that lie in few chunks each."""
    stride = CHUNK * AT_ONCE
    group = key // stride
    edges = np.flatnonzero(np.diff(group)) + 1
    bounds = [0, *edges.tolist(), len(key)] if len(key) else [0]
    yield from (slice(begin, end) for begin, end in pairwise(bounds))


def _joined(found: Values) -> NDArray[np.void]:
    """The chunks' records end to end, writeable; what the store does not have is zero."""
    empty = bytes(CHUNK * _RECORD.itemsize)
    return np.frombuffer(bytearray(b"".join(value or empty for value in found)), _RECORD)


def _key(chunk: int) -> bytes:
    return _PREFIX + chunk.to_bytes(6, "big")
