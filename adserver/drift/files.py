"""What is kept of drift in the data folder: references, hours that were summed up, the findings.

    var/drift/reference-<family>.npz    what the model was trained on, as histograms by hour
    var/drift/observed-<version>.npz    the hours since its release that are closed
    var/drift/drift.json                the latest findings
    var/drift/due.json                  what is to be done about them; not there if nothing is

All are replaced whole. Deleting any of them costs the time to make it again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np

from feedback.drift.hours import Hours
from feedback.drift.reference import Reference
from feedback.drift.report import Figures
from feedback.drift.retrain import Response

_UNFIT = (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile)
"""How a file shows that it is not there, torn, or of another program."""


class Findings(msgspec.Struct, frozen=True):
    """What one look came to."""

    at_ms: int
    model: int
    data_ms: int
    """End of the data that it was trained on, as far as it is known."""
    reference: str
    """What the model is compared with, in words; empty while there is nothing."""
    note: str
    """Why there are no figures; empty if there are."""
    figures: Figures | None
    """Of the newest window."""
    days: Figures | None
    """Of the newest whole day."""
    alarms: tuple[str, ...]
    """Features whose alarm stands by either, `calibration` and `vectors`."""
    due: Response | None
    """What the decision to retrain says: nothing, a calibration or a training, and why."""

    @property
    def alarm(self) -> bool:
        return bool(self.alarms)


class Due(msgspec.Struct, frozen=True):
    """A request to whoever makes models: done when a version is registered that it asks for."""

    response: Response
    since_ms: int
    """When it was first asked for, by the same action and cause."""
    model: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Hours of one version since its release, and how far they reach."""

    hours: Hours | None
    until_ms: int
    against: str
    """`fingerprint` of the reference whose bins were counted in."""


@dataclass(frozen=True, slots=True)
class DriftFiles:
    folder: Path

    def reference(self, family: str) -> Reference | None:
        """None where there is none that this program has written whole."""
        path = self.folder / f"reference-{family}.npz"
        with suppress(*_UNFIT):
            return Reference.load(path)
        return None

    def keep_reference(self, family: str, reference: Reference) -> None:
        draft = self._draft("reference.npz")
        reference.save(draft)
        draft.replace(self.folder / f"reference-{family}.npz")

    def observed(self, version: int) -> Observed | None:
        """None likewise."""
        path = self.folder / f"observed-{version}.npz"
        with suppress(*_UNFIT), np.load(path) as stored:
            about = str(stored["against"]), int(stored["until_ms"])
            columns = {name: stored[name] for name in stored if name not in {"against", "until_ms"}}
            return Observed(Hours(**columns) if columns else None, about[1], about[0])
        return None

    def keep_observed(self, version: int, observed: Observed) -> None:
        """Those of other versions are of no use any more."""
        draft = self._draft("observed.npz")
        hours = observed.hours
        columns = {one.name: getattr(hours, one.name) for one in fields(Hours)} if hours else {}
        about = {"against": np.str_(observed.against), "until_ms": np.int64(observed.until_ms)}
        np.savez_compressed(draft, **columns, **about)  # type: ignore[arg-type] # stub: allow_pickle
        kept = self.folder / f"observed-{version}.npz"
        draft.replace(kept)
        for other in self.folder.glob("observed-*.npz"):
            if other != kept:
                other.unlink(missing_ok=True)

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the findings do."""
        try:
            about = (self.folder / "drift.json").stat()
        except FileNotFoundError:
            return 0, 0
        return about.st_mtime_ns, about.st_ino

    def findings(self) -> Findings | None:
        return _read(self.folder / "drift.json", Findings)

    def due(self) -> Due | None:
        return _read(self.folder / "due.json", Due)

    def keep(self, found: Findings) -> None:
        """The findings, and what is due because of them."""
        if found.due is None:
            (self.folder / "due.json").unlink(missing_ok=True)
        else:
            known = self.due()
            same = known is not None and _alike(known.response, found.due)
            since_ms = known.since_ms if known is not None and same else found.at_ms
            self._write("due.json", Due(found.due, since_ms, found.model))
        self._write("drift.json", found)

    def _write(self, name: str, value: msgspec.Struct) -> None:
        draft = self._draft(name)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
        draft.replace(self.folder / name)

    def _draft(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f".{os.getpid()}-{name}"


def _alike(one: Response, other: Response) -> bool:
    return (one.action, one.cause) == (other.action, other.cause)


Kind = TypeVar("Kind", Findings, Due)


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    """None for a file that is not there, or not of this program."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
