"""Which editions one worker serves, kept up with the snapshots and the record of releases.

A change takes effect between two batches, all of it at once, when everything for it is open and
warm. A model that cannot be opened is counted, logged once and tried again; whoever decides now
goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from adserver import arm_metrics
from adserver.arms import ALONE, Beside
from adserver.catalogue.snapshot import current_version
from adserver.catalogue.tables import are_there
from adserver.deadline import Clocks
from adserver.edition import Edition
from adserver.editions import Editions
from adserver.releases.states import Traffic
from ranking.bundle import Bundle

AGAIN_S: Final = 5.0
"""Between two attempts to open what could not be opened."""
PATIENCE_S: Final = 15.0
"""A scorer may take this long to load a model before it counts as a failure."""
TABLES_WITHIN_S: Final = 120.0
"""Tables may take this long before their lack counts as a failure: a million ads where all cores
are busy."""
Key = tuple[int, int]
"""Version of a snapshot, and of a model."""
log = structlog.get_logger()


class NotYet(Exception):
    """An edition is not to be had at this moment, for no fault of its own."""


class Failed(NotYet):
    """It cannot be opened, or the scorer does not take it; says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker decides with."""

    production: Edition
    beside: Beside = ALONE

    def editions(self) -> dict[Key, Edition]:
        """All of them."""
        every = [self.production, *self.beside.editions().values()]
        return {key_of(edition): edition for edition in every}

    @property
    def models(self) -> set[int]:
        return {model for _, model in self.editions()}

    def within(self, traffic: Traffic) -> Serving:
        """Without the models that are not on trial any more."""
        canary, shadow = self.beside.canary, self.beside.shadow
        if canary and canary.bundle.version != traffic.canary:
            canary = None
        if shadow and shadow.bundle.version != traffic.shadow:
            shadow = None
        return Serving(self.production, beside_of(traffic, canary, shadow))


def beside_of(traffic: Traffic, canary: Edition | None, shadow: Edition | None) -> Beside:
    return Beside(canary, shadow, traffic.share_ppm, traffic.salt, traffic.phase)


def key_of(edition: Edition) -> Key:
    return edition.version, edition.bundle.version


@dataclass(slots=True)
class Following:
    """One worker's; `step` is called by one task, again and again."""

    editions: Editions
    snapshots: Path
    clocks: Clocks
    _seen: object = None
    """What the folders said when everything was last as they say."""
    _waiting: dict[Key, Edition] = field(default_factory=dict)
    """Open, but not known to the scorer yet."""
    _since_s: dict[Key, float] = field(default_factory=dict)
    """When what these lack now was first found lacking: tables, then the scorer's word."""
    _again_s: dict[Key, float] = field(default_factory=dict)
    _told: set[Key] = field(default_factory=set)

    async def step(self, now: Serving) -> Serving:
        """What to serve from now on; the same object where nothing changes."""
        said = current_version(self.snapshots), self.editions.registry.stamp()
        if said == self._seen:
            self.editions.keep(now.models)  # batches of the last change have ended
            return now
        traffic = self.editions.registry.traffic()
        found = await self._next(now, said[0], traffic)
        if set(found.editions()) == {(said[0], model) for model in traffic.versions}:
            self._seen = said
            self._waiting.clear()
            self._since_s.clear()
            self._told.clear()
        return now if found == now else found

    async def _next(self, now: Serving, snapshot: int, traffic: Traffic) -> Serving:
        """The nearest to what is wanted that can be had now."""
        production = await self._production(now, (snapshot, traffic.production))
        if key_of(production) != (snapshot, traffic.production):
            return now.within(traffic)
        known = now.editions() | {key_of(production): production}
        canary, shadow = [
            await self._on_trial((snapshot, model), production, known)
            for model in (traffic.canary, traffic.shadow)
        ]
        return Serving(production, beside_of(traffic, canary, shadow))

    async def _production(self, now: Serving, key: Key) -> Edition:
        """The edition that is wanted, or that of now while it is not to be had."""
        try:
            return await self._edition(key, now.production, now.editions())
        except NotYet as why:
            self._tell(key, why)
        if key[1] == now.production.bundle.version and key in self._waiting:
            return self._waiting.pop(key)  # the scorer is down: the fallback decides on new ads
        return now.production

    async def _on_trial(
        self, key: Key, production: Edition, known: dict[Key, Edition]
    ) -> Edition | None:
        if not key[1]:
            return None
        try:
            return await self._edition(key, production, known)
        except NotYet as why:
            self._tell(key, why)
            return None

    async def _edition(self, key: Key, beside: Edition, known: dict[Key, Edition]) -> Edition:
        """Open and warm; `beside` is served already."""
        if key in known:
            return known[key]
        if key not in self._waiting:
            self._waiting[key] = await self._opened(key, beside)
        why = await self.editions.introduce(self._waiting[key])
        if why:
            raise self._lacking(key, why, PATIENCE_S)
        self._since_s.pop(key, None)
        return self._waiting.pop(key)

    async def _opened(self, key: Key, beside: Edition) -> Edition:
        if self.clocks.monotonic() < self._again_s.get(key, 0.0):
            raise NotYet
        try:
            bundle = await asyncio.to_thread(self.editions.bundle, key[1])
            self._await_tables(key, bundle)
            edition = await asyncio.to_thread(self._open, key, beside)
        except NotYet:
            raise
        except Exception as error:  # whatever is wrong with a model, others go on
            self._again_s[key] = self.clocks.monotonic() + AGAIN_S
            raise Failed(f"{type(error).__name__}: {error}") from error
        if edition.version != key[0]:
            raise NotYet  # a newer snapshot has come meanwhile
        return edition

    def _open(self, key: Key, beside: Edition) -> Edition:
        if beside.version == key[0]:
            return self.editions.beside(beside, key[1], self.clocks.wall())
        return self.editions.open(self.clocks.wall(), key[1], verify=False)

    def _await_tables(self, key: Key, bundle: Bundle) -> None:
        """NotYet while the model has no tables of the snapshot: the housekeeping makes them."""
        if not are_there(self.snapshots / str(key[0]), bundle):
            raise self._lacking(key, "its tables have not come", TABLES_WITHIN_S)
        self._since_s.pop(key, None)

    def _lacking(self, key: Key, why: str, within_s: float) -> NotYet:
        """What to raise: a failure once it has been lacking for longer than that."""
        now_s = self.clocks.monotonic()
        late = now_s - self._since_s.setdefault(key, now_s) > within_s
        return (Failed if late else NotYet)(why)

    def _tell(self, key: Key, why: NotYet) -> None:
        if not isinstance(why, Failed):
            return
        arm_metrics.NOT_OPENED.labels(str(key[1])).inc()
        if key not in self._told:
            self._told.add(key)
            log.warning("a model cannot be served", snapshot=key[0], model=key[1], why=str(why))
