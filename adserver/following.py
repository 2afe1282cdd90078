"""Which editions one worker serves, kept up with the snapshots and the record of releases.

A change takes effect between two batches, all of it at once, when everything for it is open and
warm. A model that cannot be opened is counted, logged once and tried again; whoever decides now
goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
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
    makes_tables: bool
    """Makes the tables of models that have none: one of the workers does."""
    _seen: object = None
    """What the folders said when everything was last as they say."""
    _waiting: dict[Key, Edition] = field(default_factory=dict)
    """Open, but not known to the scorer yet."""
    _since_s: dict[Key, float] = field(default_factory=dict)
    """When these were first shown to the scorer."""
    _again_s: dict[Key, float] = field(default_factory=dict)
    _told: set[Key] = field(default_factory=set)
    _making: asyncio.Task[None] | None = None

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

    async def close(self) -> None:
        """What is being made is given up."""
        if self._making and not self._making.done():
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

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
        now_s = self.clocks.monotonic()
        since_s = self._since_s.setdefault(key, now_s)
        why = await self.editions.introduce(self._waiting[key])
        if why:
            raise (Failed if now_s - since_s > PATIENCE_S else NotYet)(why)
        del self._since_s[key]
        return self._waiting.pop(key)

    async def _opened(self, key: Key, beside: Edition) -> Edition:
        if self.clocks.monotonic() < self._again_s.get(key, 0.0):
            raise NotYet
        try:
            bundle = await asyncio.to_thread(self.editions.bundle, key[1])
            self._demand_tables(key, bundle)
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
        return self.editions.open(self.clocks.wall(), key[1])

    def _demand_tables(self, key: Key, bundle: Bundle) -> None:
        """NotYet while the model has no tables of the snapshot; has them made."""
        folder = self.snapshots / str(key[0])
        if are_there(folder, bundle):
            return
        if self.makes_tables and (self._making is None or self._making.done()):
            making = self._make(key, folder, self.editions.registry.folder(key[1]))
            self._making = asyncio.get_running_loop().create_task(making)
        raise NotYet

    async def _make(self, key: Key, snapshot: Path, model: Path) -> None:
        """In a process of its own: it would take this one's interpreter from the requests."""
        command = (sys.executable, "-m", "adserver.catalogue.tables", str(snapshot), str(model))
        pipe = asyncio.subprocess.PIPE
        maker = await asyncio.create_subprocess_exec(*command, stderr=pipe)
        try:
            _, said = await maker.communicate()
            if maker.returncode:
                self._again_s[key] = self.clocks.monotonic() + AGAIN_S
                self._tell(key, Failed(said.decode(errors="replace").strip()[-500:]))
        finally:
            if maker.returncode is None:
                maker.kill()
                await maker.wait()

    def _tell(self, key: Key, why: NotYet) -> None:
        if not isinstance(why, Failed):
            return
        arm_metrics.NOT_OPENED.labels(str(key[1])).inc()
        if key not in self._told:
            self._told.add(key)
            log.warning("a model cannot be served", snapshot=key[0], model=key[1], why=str(why))
