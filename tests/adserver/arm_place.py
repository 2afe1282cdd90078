"""A worker that has three models, and an observer that keeps what it hears of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from catalogue_sample import NOW
from model_variants import exported, repository_at
from test_pipeline import System

from adserver.editions import Editions
from adserver.features.log import read
from adserver.releases.registry import Registry


def three_models(folder: Path) -> Registry:
    """1 in production; 2 has another calibration, 3 other towers and therefore other tables."""
    registry = Registry(repository_at(folder / "repository"))
    for name, change in (("rate", {"rate": 1.5}), ("towers", {"shift": 0.05})):
        registry.register(exported(folder / name, **change), 0)
    return registry


class Heard:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.batches, self.failures, self.scored = [], [], []

    def decided(self, verdict, decisions, took_s):
        self.batches.append((verdict.edition.bundle.version, len(decisions)))

    def failed(self, arm, model, requests):
        self.failures.append((arm, model))

    def shadowed(self, arm, model, scored):
        self.scored.append((model, scored))


class Place:
    """A system whose worker has the editions of three models."""

    def __init__(self, folder, clock, repository):
        self.system = System(folder, clock, model_repository=repository.repository)
        self.pipeline = self.system.pipeline
        self.editions = Editions(self.system.settings)
        self.pipeline.ranks.scorer = self.editions.scorer
        asyncio.run(self.editions.introduce(self.system.edition))
        self.heard = self.pipeline.observer = Heard()
        self.pipeline.shadowing.observer = self.heard

    def edition(self, version):
        found = self.editions.beside(self.system.edition, version, NOW)
        assert asyncio.run(self.editions.introduce(found)) == ""
        return found

    def decide(self, pages):
        return self.system.decide(pages)

    def logged(self):
        self.system.features.log.flush()
        return read(self.system.settings.features)
