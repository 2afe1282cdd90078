"""Pacing for all workers of one store: one of them leads, learns and publishes; all follow.

Once a second each worker adds what it sold to the shared meter. The worker whose turn it is ticks
the pacer on the sums and publishes the multipliers, so all offer the same; when it dies, another
takes its turn within `TURN_S` and goes on from the state it kept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adserver.books import Books
from adserver.meter import Meter, Steps, account_in
from adserver.state.store import StateStore, Values
from auction.books import Book, on_day
from auction.pacing import STATE, Pacer, PacingSettings, Plans
from auction.traffic import HOURS, CurveLearner

I64 = NDArray[np.int64]

TICK_S = 0.9
"""Least time between two beats of a worker; the server asks twice a second."""
TURN_S = 3.0
"""A leader that has not ticked for so long has lost its turn."""
KEEP_S = 5.0
"""How often the pacer's state is kept for a successor."""
CURVE_S = 60.0
"""How often the curve is drawn anew from what was learnt."""

_TURN, _PUBLISHED, _STATE = b"pace/turn", b"pace/published", b"pace/state/2"
_TurnRecord = struct.Struct("<dqq")
_KeptRecord = struct.Struct("<d")


class Turn(NamedTuple):
    """Whose turn it is, since when it was last used, and the requests that all have counted."""

    at_s: float
    leader: int
    requests: int


@dataclass(frozen=True, slots=True)
class Published:
    """What the pacer says now, by plan key."""

    key: I64
    multiplier_ppm: I64
    urgency_ppm: I64

    @classmethod
    def none(cls) -> Published:
        return cls(*np.zeros((3, 0), np.int64))

    def pack(self) -> bytes:
        return np.stack([self.key, self.multiplier_ppm, self.urgency_ppm]).tobytes()

    @classmethod
    def unpack(cls, value: bytes | None) -> Published:
        return cls(*np.frombuffer(value or b"", np.int64).reshape(3, -1))


class Pace:
    """One worker's part in pacing. `beat` is called from one thread at a time."""

    def __init__(
        self,
        store: StateStore,
        worker: int,
        settings: PacingSettings,
        learner: CurveLearner | None = None,
    ) -> None:
        """`learner`: what to begin with where no leader has kept anything yet."""
        self.store, self.worker = store, worker
        self.meter = Meter(store)
        self.learner = learner or CurveLearner()
        self.pacer = Pacer(settings, self.learner.curve())
        self.published = Published.unpack(store.get([_PUBLISHED])[0])
        self._leading = False
        self._beat_s = self._kept_s = self._drawn_s = -np.inf

    def beat(self, now_s: float, requests: int, steps: Steps, plans: Plans) -> Published:
        """Tell the others what this worker sold and how many it answered; what they all offer.

        `plans` are the same for all workers but for the moment in which a catalogue changes.
        """
        self.meter.add(steps, plans)
        mine, turn = self._take_turn(now_s, requests)
        if mine:
            self._lead(now_s, turn, plans)
        else:
            self._leading = False
            self.published = Published.unpack(self.store.get([_PUBLISHED])[0])
        return self.published

    def is_due(self, now_s: float) -> bool:
        """Whether a second has passed since it last was."""
        if 0 <= now_s - self._beat_s < TICK_S:
            return False
        self._beat_s = now_s
        return True

    def check(self) -> list[str]:
        """Broken invariants, in words; empty when all hold."""
        return [*self.pacer.check(), *self.learner.check()] if self._leading else []

    def _take_turn(self, now_s: float, requests: int) -> tuple[bool, Turn]:
        """Whether this worker leads now; the turn before, with the requests since then."""

        def change(found: Values) -> tuple[Values, tuple[bool, Turn]]:
            turn = Turn(-np.inf, self.worker, 0)
            if found[0] is not None:
                turn = Turn(*_TurnRecord.unpack(found[0]))
            turn = turn._replace(requests=turn.requests + requests)
            mine = turn.leader == self.worker or not 0 <= now_s - turn.at_s < TURN_S
            left = Turn(now_s, self.worker, 0) if mine else turn
            return [_TurnRecord.pack(*left)], (mine, turn)

        return self.store.update([_TURN], change)

    def _lead(self, now_s: float, turn: Turn, plans: Plans) -> None:
        pacer = self.pacer
        kept = None if self._leading else self._resume()
        self._leading = True
        if kept is not None or plans is not pacer.plans:
            known = pacer.state if kept is None else kept
            self._seed(plans, ~np.isin(plans.key, known["key"]))
            pacer.follow(plans, kept)
        if 0 < now_s - turn.at_s < pacer.settings.longest_gap_s:
            self.learner.observe(turn.at_s, now_s, turn.requests)
        if not 0 <= now_s - self._drawn_s < CURVE_S:
            self._drawn_s, pacer.curve = now_s, self.learner.curve()
        pacer.tick(now_s, self.meter.read(plans))
        self.published = Published(plans.key, pacer.multiplier_ppm(), pacer.urgency_ppm(now_s))
        values = {_PUBLISHED: self.published.pack()}
        if not 0 <= now_s - self._kept_s < KEEP_S:
            self._kept_s = now_s
            values[_STATE] = self._kept()
        self.store.update(list(values), lambda _: (list(values.values()), None))

    def _seed(self, plans: Plans, new: NDArray[np.bool_]) -> None:
        """Budgets that no leader has paced yet begin with no less than the books know of their
        period: limits may be set late, and the books survive a loss of the state in the log."""
        account = account_in(plans.key)
        rows = np.flatnonzero(new & (account >= 0))
        if not rows.size:
            return
        period = plans.period[rows]
        books = Books(self.store).read(account[rows].tolist())
        spent = [_spent(book, since) for book, since in zip(books, period.tolist(), strict=True)]
        out = np.array([book.out for book in books], np.int64)
        self.meter.raise_to(Steps(plans.key[rows], np.array(spent, np.int64), out), period)

    def _kept(self) -> bytes:
        return b"".join(
            (
                _KeptRecord.pack(self.pacer.now_s),
                self.learner.mean.tobytes(),
                self.pacer.state.tobytes(),
            )
        )

    def _resume(self) -> NDArray[np.void] | None:
        """What the leader before kept; what was sold since then is in the meter."""
        value = self.store.get([_STATE])[0]
        if value is None:
            return None
        self.pacer.now_s = _KeptRecord.unpack_from(value)[0]
        learnt = _KeptRecord.size
        mean = np.frombuffer(value, np.float64, HOURS, learnt)
        self.learner = CurveLearner(mean, self.learner.hour_s)
        return np.frombuffer(value, STATE, offset=learnt + 8 * HOURS)


def _spent(book: Book, period: int) -> int:
    """Micros billed in a plan's period: a day, or, as period 0, ever."""
    return on_day(book, period).spent_day if period else book.spent
