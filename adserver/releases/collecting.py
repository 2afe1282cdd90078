"""What each model does while others are on trial, summed by worker, phase and version.

A worker adds its own counts to its own record of a phase, twice a second; who judges adds up the
records of all workers. A worker that dies takes along what it had not added yet, and its successor
goes on in the same record, so that nothing is counted twice. Knows decisions and the tokens of
their events; not what is judged by the sums.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from adserver.decision import Decision
from adserver.releases.statistics import Scored, Stats, took, totalled
from adserver.state.store import StateStore, StoreFailed, Values, everything
from adserver.tokens import Kind, Token
from auction.columns import PPM
from ranking.scorer import FALLBACK

if TYPE_CHECKING:
    from adserver.arms import Arm
    from adserver.verdict import Verdict

RECENT: Final = 8
"""Phases counted at the same time: clicks come minutes after their decision, and releases move
seldom more than twice an hour."""
_PREFIX: Final = b"trial/2/"
"""A new layout of `Stats` takes a new one: what another layout counted is of releases long over."""
ByVersion = dict[int, Stats]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ByVersion).decode
Key = tuple[int, int]
"""Phase and version."""


@dataclass(slots=True)
class Collector:
    """One worker's counts. Everything but `flush` belongs to the thread that decides."""

    store: StateStore
    worker: int
    phase: int = 0
    """Of the releases now: events of phases long before it count no more."""
    lost: int = 0
    """Events that came for a phase which is not counted any more."""
    _waiting: deque[tuple[Key, Stats]] = field(default_factory=deque)
    _unsaved: dict[Key, Stats] = field(default_factory=dict)
    _flushing: Lock = field(default_factory=Lock)

    def decided(self, verdict: Verdict, decisions: Sequence[Decision], took_s: float) -> None:
        """One batch of one model, `took_s` from its start to its decisions; tests are left out."""
        real = [one for one in decisions if not one.request.test]
        full = [one.outcomes for one in real if one.quality < FALLBACK]
        counts = Stats(
            requests=len(real),
            batch_squares=len(real) ** 2,
            degraded=len(real) - len(full),
            took_ms=took(took_s, len(real)),
            slots=sum(map(len, full)),
            sold=sum(outcome.sold is not None for page in full for outcome in page),
        )
        self._add(verdict.arm.phase, verdict.edition.bundle.version, counts)

    def failed(self, arm: Arm, model: int, requests: int) -> None:
        """Requests that the model was to decide, and another did."""
        counts = Stats(requests=requests, batch_squares=requests**2, errors=requests)
        self._add(arm.phase, model, counts)

    def shadowed(self, arm: Arm, model: int, scored: Scored) -> None:
        """A shadow's scores beside those of the model that decided."""
        self._add(arm.phase, model, Stats(scored=scored, batch_squares=scored.requests**2))

    def witness(self, kind: Kind, token: Token, billed: int) -> None:
        """An event that counts, once; to be told of none of a test's. `billed` in micros."""
        if not token.model:
            return
        if not 0 <= self.phase - token.phase < RECENT:
            self.lost += 1
            return
        shown = kind is Kind.IMPRESSION
        counts = Stats(
            impressions=int(shown),
            expected=token.pctr_ppm / PPM if shown else 0.0,
            clicks=int(kind is Kind.CLICK),
            revenue=billed,
            revenue_squares=float(billed) ** 2,
        )
        self._add(token.phase, token.model, counts)

    def flush(self) -> None:
        """Add what was counted to the store, in any thread; what it does not take waits for the
        next time."""
        with self._flushing:
            self._flush()

    def _add(self, phase: int, version: int, counts: Stats) -> None:
        self._waiting.append(((phase, version), counts))  # summed where no request waits for it

    def _flush(self) -> None:
        parts = defaultdict(list, {key: [known] for key, known in self._unsaved.items()})
        for _ in range(len(self._waiting)):
            key, counts = self._waiting.popleft()
            parts[key].append(counts)
        self._unsaved = {key: totalled(every) for key, every in parts.items()}
        for phase in sorted({phase for phase, _ in self._unsaved}):
            new = {key: one for key, one in self._unsaved.items() if key[0] == phase}
            try:
                add(self.store, phase, self.worker, {v: one for (_, v), one in new.items()})
            except StoreFailed:
                continue
            self._unsaved = {k: one for k, one in self._unsaved.items() if k not in new}


def add(store: StateStore, phase: int, worker: int, new: Mapping[int, Stats]) -> None:
    """To a worker's record of a phase; StoreFailed, and then nothing was added."""

    def change(found: Values) -> tuple[Values, None]:
        return [_encode(_sum(_decode(found[0]) if found[0] else {}, new))], None

    store.update([_key(phase, worker)], change)


def statistics(store: StateStore, first: int, last: int) -> ByVersion:
    """What every version did in these phases, over all workers; StoreFailed."""
    sums: ByVersion = {}
    for key, value in everything(store, _PREFIX):
        if first <= _phase(key) <= last:
            sums = _sum(sums, _decode(value))
    return sums


def forget(store: StateStore, before: int) -> None:
    """Drop the records of phases before this one; StoreFailed."""
    old = [key for key, _ in everything(store, _PREFIX) if _phase(key) < before]
    if old:
        store.update(old, lambda found: ([None] * len(found), None))


def _sum(one: Mapping[int, Stats], other: Mapping[int, Stats]) -> ByVersion:
    return {
        version: one.get(version, Stats()) + other.get(version, Stats())
        for version in {*one, *other}
    }


def _key(phase: int, worker: int) -> bytes:
    return _PREFIX + phase.to_bytes(4, "big") + worker.to_bytes(2, "big")


def _phase(key: bytes) -> int:
    return int.from_bytes(key[len(_PREFIX) : len(_PREFIX) + 4], "big")
