"""One worker's part in the release of models: what its models do, counted, published and judged.

Reads the record of releases and the store; knows no HTTP. Times are wall milliseconds and come as
arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

from adserver.releases.collecting import Collector
from adserver.releases.judge import Judge
from adserver.releases.registry import Registry
from adserver.settings import Settings
from adserver.state.store import StateStore


@dataclass(slots=True)
class Trial:
    """Of one worker; the records in the store are all workers'."""

    collector: Collector
    judge: Judge
    _stamp: tuple[int, int] = (-1, -1)

    @classmethod
    def of(cls, settings: Settings, worker: int, store: StateStore) -> Trial:
        """RegistryError if the record of releases cannot be read."""
        registry = Registry(settings.model_repository, settings.models_kept)
        promotes = settings.release_promotion == "on"
        judge = Judge(registry, store, worker, settings.trial_limits, promotes)
        made = cls(Collector(store, worker), judge)
        made.follow()
        return made

    def beat(self, now_ms: int) -> None:
        """What is due twice a second, in any thread, one at a time."""
        self.collector.flush()
        self.follow()
        self.judge.sit(now_ms)

    def follow(self) -> None:
        """Count in the phase that the record of releases says."""
        registry = self.judge.registry
        stamp = registry.stamp()
        if stamp != self._stamp:
            self.collector.phase = registry.read().phase
            self._stamp = stamp
