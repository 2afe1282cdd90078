"""One worker's part in the release of models: what its models do, counted and published.

Reads the record of releases and the store; knows no HTTP. Times are wall milliseconds and come as
arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

from adserver.releases.collecting import Collector
from adserver.releases.registry import Registry
from adserver.settings import Settings
from adserver.state.store import StateStore


@dataclass(slots=True)
class Trial:
    """Of one worker; the records in the store are all workers'."""

    collector: Collector
    registry: Registry
    _stamp: tuple[int, int] = (-1, -1)

    @classmethod
    def of(cls, settings: Settings, worker: int, store: StateStore) -> Trial:
        """RegistryError if the record of releases cannot be read."""
        registry = Registry(settings.model_repository, settings.models_kept)
        made = cls(Collector(store, worker), registry)
        made.follow()
        return made

    def beat(self) -> None:
        """What is due twice a second, in any thread, one at a time."""
        self.collector.flush()
        self.follow()

    def follow(self) -> None:
        """Count in the phase that the record of releases says."""
        stamp = self.registry.stamp()
        if stamp != self._stamp:
            self.collector.phase = self.registry.read().phase
            self._stamp = stamp
