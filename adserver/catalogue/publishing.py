"""How a new snapshot comes to be seen: whole, or not at all.

The folder is filled under a temporary name, renamed when whole, and only then named by CURRENT.
One builder at a time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from adserver.catalogue.columns import Manifest, ModelFact
from adserver.catalogue.snapshot import CURRENT, MANIFEST, current_version
from adserver.catalogue.tables import DRAFT, alone, facts_of
from ranking.bundle import Bundle
from ranking.features import FEATURE_SCHEMA

KEPT = 3
"""Snapshots kept. One that is replaced stays until the build after the next begins, which gives its
last readers the time to open it; whoever has opened it keeps it anyhow."""


@contextmanager
def only_builder(root: Path) -> Iterator[None]:
    """Waits for another builder of the same root."""
    root.mkdir(parents=True, exist_ok=True)
    with alone(root):
        yield


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot that nobody sees yet."""

    root: Path
    version: int

    @classmethod
    def begin(cls, root: Path) -> Draft:
        """In a folder of its own; for the only builder.

        Old snapshots go first: their disk space and their memory are what the new one needs.
        """
        draft = cls(root, max(_versions(root), default=0) + 1)
        _remove_old(root)
        draft.folder.mkdir()
        return draft

    @property
    def folder(self) -> Path:
        return self.root / f"{DRAFT}{self.version}"

    def seal(self, now: float, revision: int, counts: dict[str, int], bundle: Bundle) -> None:
        """All files are there, with the tables of this model; from now on they are checked."""
        manifest = Manifest(
            version=self.version,
            created=now,
            revision=revision,
            counts=counts,
            model=ModelFact("ctr_ranker", bundle.version, bundle.tables_sha256),
            feature_schema=FEATURE_SCHEMA,
            files=dict(facts_of(self.folder)),
        )
        whole = msgspec.json.format(msgspec.json.encode(manifest))
        (self.folder / MANIFEST).write_bytes(whole)

    def publish(self) -> int:
        """Make what is sealed CURRENT; gives its version."""
        self.folder.rename(self.root / str(self.version))
        _name_current(self.root, self.version)
        return self.version


def _name_current(root: Path, version: int) -> None:
    """At once for every reader, also after a power failure."""
    draft = root / f".{CURRENT}"
    with draft.open("w") as file:
        file.write(str(version))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(root / CURRENT)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _versions(root: Path) -> list[int]:
    return sorted(int(one.name) for one in root.iterdir() if one.name.isdigit())


def _remove_old(root: Path) -> None:
    """All but the newest that stay beside one more; never the one that CURRENT names."""
    versions = _versions(root)[: -(KEPT - 1)]
    current = current_version(root) if versions else 0
    for version in versions:
        if version != current:
            shutil.rmtree(root / str(version))
