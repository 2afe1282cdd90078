"""How far a run has come: one small file, replaced durably after every step.

A step's outputs have names of their own and stand under them only when they are whole. Whenever the
process dies, the steps in the journal are done, and the next one begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from adserver.releases.layout import replace_durably

FILE = "journal.json"


class State(msgspec.Struct, frozen=True):
    """What the next step starts from."""

    data: int = 0
    """Number of the folder that the server's data stand in."""
    production: int = 0
    """Version that decides; 0: none yet."""
    candidate: int = 0
    """Version that was released last; 0: none yet."""
    run: str = ""
    """Folder of the newest training, in the run's folder; a warm start reads it."""
    due: bool = True
    """Whether a training is."""
    trained_ms: int = 0
    """Simulated wall ms to which the newest training's data reach; 0: none yet."""


class Entry(msgspec.Struct, frozen=True):
    """One step that is done."""

    day: int
    step: str
    state: State
    """After it."""
    facts: dict[str, Any] = {}
    """What it found, for the report."""
    outputs: dict[str, str] = {}
    """sha256 by name in the run's folder."""


class Journal(msgspec.Struct, frozen=True):
    entries: tuple[Entry, ...] = ()

    @property
    def state(self) -> State:
        return self.entries[-1].state if self.entries else State()

    def with_entry(self, entry: Entry) -> Journal:
        return Journal((*self.entries, entry))


def load(folder: Path) -> Journal:
    """Nothing done, where there is no journal."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Journal)
    except FileNotFoundError:
        return Journal()


def save(folder: Path, journal: Journal) -> None:
    """All of it or what was there before, whenever the machine stops."""
    content = msgspec.json.format(msgspec.json.encode(journal), indent=1)
    replace_durably(folder / FILE, content)


def fingerprints(folder: Path, outputs: Iterable[Path]) -> dict[str, str]:
    """sha256 of files by their names in the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(outputs)
    }
