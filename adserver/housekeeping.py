"""What can wait, in one process beside the workers, with what they leave of the cores.

`python -m adserver.housekeeping`: the log's way into the warehouse, snapshots with what is new in
the catalogue, the tables of models that have none, the look for drift. It may be ended at any
moment: what it writes is whole or not there.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from adserver.background import forever
from adserver.catalogue.snapshot import current_version
from adserver.catalogue.tables import add_tables
from adserver.drift.hourly import keep_looking
from adserver.growth import Growth
from adserver.logs import configure_logs
from adserver.polite import step_back, take_leftovers
from adserver.releases.registry import Registry
from adserver.settings import Settings, from_environment
from feedback.compaction import compact
from ranking.bundle import Bundle

COMPACT_EVERY_S: Final = 10.0
"""Events are in reports within this and the seconds that a report takes."""
LOOK_EVERY_S: Final = 0.5
AGAIN_S: Final = 5.0
"""Between two attempts to make tables that could not be made."""
log = structlog.get_logger()


@dataclass(slots=True)
class Tables:
    """Makes what the workers wait for when a model is released."""

    snapshots: Path
    registry: Registry
    again_s: float = AGAIN_S
    _seen: object = None
    """What the folders said when nothing was missing."""
    _told: set[tuple[int, int]] = field(default_factory=set)

    async def make(self) -> None:
        """Tables of the current snapshot for every model that decides or is on trial."""
        said = current_version(self.snapshots), self.registry.stamp()
        if said == self._seen:
            return
        whole = [await self._has(said[0], model) for model in self.registry.traffic().versions]
        if all(whole):
            self._seen = said
        else:
            await asyncio.sleep(self.again_s)

    async def _has(self, snapshot: int, model: int) -> bool:
        """Whether a model has tables now; why not is told once."""
        try:
            await asyncio.to_thread(self._add, snapshot, model)
        except Exception as error:  # whatever is wrong with a model, others are released
            if (snapshot, model) not in self._told:
                self._told.add((snapshot, model))
                log.error("no tables for a model", snapshot=snapshot, model=model, why=str(error))
            return False
        return True

    def _add(self, snapshot: int, model: int) -> None:
        add_tables(self.snapshots / str(snapshot), Bundle.load(self.registry.folder(model)))


async def keep_house(settings: Settings) -> None:
    """Forever."""
    tables = Tables(settings.snapshots, settings.registry)
    growth = Growth(settings.database, settings.snapshots, settings.registry, settings.grow_every_s)
    log_folder, warehouse = settings.adserver_data / "events", settings.adserver_data / "warehouse"
    unhurried = ThreadPoolExecutor(1, "unhurried", take_leftovers)

    async def compacting() -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(unhurried, compact, log_folder, warehouse)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(forever(compacting, COMPACT_EVERY_S))
        tasks.create_task(forever(tables.make, LOOK_EVERY_S))
        if settings.grow_every_s:
            tasks.create_task(forever(growth.step, LOOK_EVERY_S))
        if settings.drift_every_s:
            tasks.create_task(keep_looking(settings.drift_every_s))


if __name__ == "__main__":
    step_back()
    configure_logs()
    asyncio.run(keep_house(from_environment(os.environ)))
