"""Publishes what waits for a snapshot: new ads, other targeting, other caps. One per machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Engine

from adserver.catalogue import schema
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.growing import CannotGrow, grow_snapshot, waits
from adserver.catalogue.reading import current_revision
from adserver.catalogue.snapshot import current_version, manifest_of
from adserver.deadline import REAL, Clocks
from adserver.releases.registry import Registry
from ranking.bundle import Bundle, BundleError

AGAIN_S: Final = 5.0
"""Between two attempts where the first has failed."""
RESTS: Final = 1.0
"""Times as long as it took: at most half a core, however large the catalogue is."""
log = structlog.get_logger()


@dataclass(slots=True)
class Growth:
    """`step` is called again and again; makes at most one snapshot, and rests after it."""

    database: str
    snapshots: Path
    registry: Registry
    every_s: float
    clocks: Clocks = REAL
    _engine: Engine = field(init=False)
    _rest_until_s: float = 0.0
    _looked: tuple[int, int] = (-1, -1)
    """A snapshot, and the revision up to which nothing waits for another."""
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._engine = schema.connect(self.database)

    async def step(self) -> None:
        """Publish what waits, if it is time to look."""
        began = self.clocks.monotonic()
        if began < self._rest_until_s:
            return
        try:
            made = await asyncio.to_thread(self._publish)
        except Exception as error:  # whatever is wrong with the catalogue, what was built serves on
            self._tell(f"{type(error).__name__}: {error}")
            self._rest_until_s = self.clocks.monotonic() + AGAIN_S
            return
        if made:
            took = self.clocks.monotonic() - began
            log.info("new ads are published", snapshot=made, took_s=round(took, 2))
            self._rest_until_s = began + took + max(self.every_s, RESTS * took)

    def _publish(self) -> int | None:
        """The version that was made, if anything waited."""
        if not self._waits():
            return None
        models = [*self._models()]
        try:
            made = grow_snapshot(self.database, self.snapshots, models, self.clocks.wall())
        except CannotGrow as why:
            log.info("the whole catalogue is built", why=str(why))
            production, *others = models
            now = self.clocks.wall()
            made = build_snapshot(self.database, self.snapshots, production, now, others=others)
        self._told.clear()
        return made

    def _waits(self) -> bool:
        """What waited once waits until it is published: `_looked` stays before it."""
        snapshot = current_version(self.snapshots)
        known, since = self._looked
        if known != snapshot:
            since = manifest_of(self.snapshots / str(snapshot)).revision
        with schema.one_state(self._engine) as connection:
            latest = current_revision(connection)
            if latest != since and waits(connection, since):
                return True
        self._looked = snapshot, latest
        return False

    def _models(self) -> Iterator[Path]:
        """That in production first, then those on trial that can be read."""
        traffic = self.registry.traffic()
        yield self.registry.folder(traffic.production)
        for version in traffic.versions:
            folder = self.registry.folder(version)
            with suppress(BundleError):  # the workers say what is wrong with it
                if version != traffic.production and Bundle.load(folder):
                    yield folder

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            log.error("new ads cannot be published", why=why)
