"""One worker's features: what it counts, what it remembers of people, what it logs.

Knows sales by their tokens; knows no HTTP and no auction. Times are wall milliseconds and come as
arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from adserver.deadline import Clock
from adserver.features.cells import place_hash
from adserver.features.counters import Counters, Fresh
from adserver.features.log import FeatureLog, FeatureLogSettings
from adserver.features.profiles import Known, Profiles
from adserver.features.rests import Rest, at_once
from adserver.identity import Callers, Identities
from adserver.settings import Settings
from adserver.state.store import StateStore, StoreFailed
from adserver.tokens import Kind, Token


@dataclass(slots=True)
class Features:
    """Of one worker; the state in the store is all workers'."""

    counters: Counters
    profiles: Profiles
    log: FeatureLog
    identities: Identities
    sweeps: bool = True
    """It also removes what is remembered of people who do not come any more: one worker does."""
    known: int = 0
    """People asked for of whom something was remembered."""
    _swept: bytes = b""
    _told: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: Settings, worker: int, clock: Clock, identities: Identities,
        store: StateStore,
    ) -> Features:  # fmt: skip
        """In the data folder; `clock` gives wall seconds."""
        limits = FeatureLogSettings(limit_bytes=settings.feature_log_mib << 20)
        log = FeatureLog(settings.features, worker, clock, limits)
        return cls(Counters(store), Profiles(store), log, identities, sweeps=worker == 0)

    def look(self, callers: Callers, now_ms: int) -> Known:
        """What is known of a batch's people."""
        known = self.profiles.look(callers.person, now_ms)
        self.known += known.found
        return known

    def witness(self, kind: Kind, token: Token, now_ms: int) -> None:
        """An event of a sale; to be told of those that count, and never of a test's."""
        if kind not in (Kind.IMPRESSION, Kind.CLICK):
            return
        clicked = kind is Kind.CLICK
        place = place_hash(token.placement)
        self.counters.witness(token.ad, token.advertiser, place, clicked)
        person = self.identities.veil(token.identity, token.number)
        self.profiles.witness(person, token.topic, clicked, now_ms)

    def fetch(self, now_ms: int, rest: Rest = at_once) -> Fresh | None:
        """Exchange counts with the other workers, write what people saw and the log, in any thread;
        None: the store is down. It does `rest` after each step of a millisecond or two."""
        self.log.flush()  # so does its thread, but a driver's days pass faster
        self.counters.flush(now_ms, rest)
        self.profiles.flush(rest)
        try:
            if self.sweeps:
                self._swept = self.profiles.sweep(self._swept, now_ms)
            return self.counters.read(now_ms, rest)
        except StoreFailed:
            return None

    def tend(self, now_ms: int) -> None:
        """The whole of what is due twice a second, for who has one thread only."""
        self.take(self.fetch(now_ms))

    def take(self, fresh: Fresh | None) -> None:
        """Let decisions see what was fetched; between two of them, on their thread."""
        if fresh is not None:
            self.counters.take(fresh)

    def check(self) -> list[str]:
        """What is not as it must be: nothing, unless there is a bug."""
        return self.counters.check()

    def rose(self) -> dict[str, int]:
        """What rose since the last call: people known, failed readings of them, counts lost, rows
        logged and dropped."""
        now = {
            "known": self.known,
            "failed": self.profiles.failed,
            "lost": self.counters.lost,
            "written": self.log.written,
            "dropped": self.log.dropped,
        }
        rose = {what: total - self._told.get(what, 0) for what, total in now.items()}
        self._told = now
        return rose

    def close(self, now_ms: int) -> None:
        """Add and write what was taken. Call it after the last decision."""
        self.counters.flush(now_ms)
        self.profiles.flush()
        self.log.close()
