"""The server's files as a run has them: a folder that a step changes as a whole or not at all.

A step works on a copy, which takes the place of what it was made from when the step is done. Files
that nobody writes to again are shared by hard links, so that a copy costs what changes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adserver.driving import place
from adserver.loop.settings import LoopSettings
from adserver.releases.layout import sync_folder
from adserver.releases.registry import FILE, Registry
from adserver.settings import Settings

MODELS_KEPT = 1_000
"""All: the control plays with the first."""
PREFIX, DRAFT = "world.", ".draft"
SHARED = ("snapshots", "events", "features", "warehouse", "models")
"""Folders whose files are written once, under new names, or replaced by renaming."""


@dataclass(frozen=True, slots=True)
class World:
    """The server's data and the models that it may serve."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def registry(self) -> Registry:
        return Registry(self._models, MODELS_KEPT)

    @property
    def _models(self) -> Path:
        return self.folder / "models"

    def only(self, version: int) -> None:
        """Let this version decide, and forget the others and what was ever released."""
        kept = self.registry.folder(version).name
        for path in self.registry.folder(version).parent.iterdir():
            if path.is_dir() and path.name != kept:
                shutil.rmtree(path)
        (self._models / FILE).unlink()

    def settings(self, of: LoopSettings, day: int) -> Settings:
        """Of the server in this world on that day."""
        base = Settings(
            model_repository=self._models,
            candidates=of.candidates,
            fewest_candidates=min(32, of.candidates),
            fairness_cap=of.fairness_cap,
            pacing=of.pacing,
            exploration=of.exploration if day else of.first_exploration,
            release_gate=of.release_gate,
            release_limits=of.release_limits,
            models_kept=MODELS_KEPT,
            retrain_max_age_h=of.max_age_h,
            retrain_min_interval_h=of.min_interval_h,
            seed=of.seed,
        )
        return place.settings_for(self.data, base)


def world(folder: Path, number: int) -> World:
    return World(folder / f"{PREFIX}{number}")


@contextmanager
def changed(folder: Path, number: int) -> Iterator[World]:
    """A copy of world `number` to be changed, which is number + 1 when the block ends.

    Left by an exception, or by the end of the process, nothing of it counts: `forget` removes it.
    """
    draft = folder / f"{PREFIX}{number + 1}{DRAFT}"
    forget(folder, number)
    source = world(folder, number).folder
    if source.exists():
        copy(source, draft)
    else:
        draft.mkdir(parents=True)
    yield World(draft)
    _settle(draft)
    draft.rename(folder / f"{PREFIX}{number + 1}")
    sync_folder(folder)


@contextmanager
def aside(folder: Path, number: int) -> Iterator[World]:
    """A copy of world `number` that is thrown away when the block ends."""
    draft = folder / f"{PREFIX}aside{DRAFT}"
    forget(folder, number)
    copy(world(folder, number).folder, draft)
    yield World(draft)
    shutil.rmtree(draft)


def forget(folder: Path, kept: int) -> None:
    """Remove all worlds but one: what came before it, and what a dead process left."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.name != f"{PREFIX}{kept}":
            shutil.rmtree(path)


def copy(source: Path, target: Path) -> None:
    """A folder that may be written to without a trace in `source`; holes of files stay holes."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        own = target / path.name
        if path.is_symlink():
            own.symlink_to(path.readlink())
        elif path.is_file():
            _copy_file(path, own)
        elif path.name in SHARED:
            shutil.copytree(path, own, copy_function=os.link, symlinks=True)
        else:
            copy(path, own)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as given, target.open("xb") as taken:
        size, at = os.fstat(given.fileno()).st_size, 0
        taken.truncate(size)
        while at < size:
            try:
                at = os.lseek(given.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(given.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += os.copy_file_range(
                    given.fileno(), taken.fileno(), end - at, offset_src=at, offset_dst=at
                )


def _settle(folder: Path) -> None:
    """On disk with all its names; files that are shared are there already."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if not path.is_symlink() and path.stat().st_nlink == 1:
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        sync_folder(Path(root))
