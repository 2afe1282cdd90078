"""The versions in a model repository and their states on disk.

One file, `releases.json`, says which version does what; it is replaced whole, under a lock, so
that a reader never sees half a change. A repository without that file (a read-only mount, a fresh
checkout) serves its lowest version: one that was put beside it must not take traffic unasked.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from adserver.errors import AdServerError
from adserver.releases import layout, states
from adserver.releases.packing import pack
from adserver.releases.states import Move, MoveRefused, Releases, State, Traffic

FILE: Final = "releases.json"
LOCK: Final = ".releases.lock"
DRAFT: Final = ".registering-"


class RegistryError(AdServerError):
    """The repository does not allow this; says why."""

    code = "registry"


@dataclass(frozen=True, slots=True)
class Registry:
    """One repository. Several processes may have it open."""

    repository: Path
    keep: int = 5
    """Retired versions whose files stay."""

    def read(self) -> Releases:
        """What is released now."""
        try:
            content = (self.repository / FILE).read_bytes()
        except FileNotFoundError:
            return self._unreleased()
        try:
            return msgspec.json.decode(content, type=Releases)
        except msgspec.DecodeError as error:
            raise RegistryError(f"{self.repository / FILE}: {error}") from error

    def traffic(self) -> Traffic:
        """Who decides what now; RegistryError where there is no version in production."""
        with _refusals():
            return states.traffic(self.read())

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the file does: cheap enough to ask twice a second."""
        try:
            about = (self.repository / FILE).stat()
        except FileNotFoundError:
            return 0, 0
        return about.st_mtime_ns, about.st_ino

    def folder(self, version: int) -> Path:
        return layout.version_folder(self.repository, version)

    def register(self, folder: Path, at_ms: int, run: str = "") -> int:
        """Copy an exported model in as the next version, a candidate; gives its number.

        RegistryError if it is not whole, has another feature schema, or passed no gate; then
        nothing is left of it.
        """
        with self._alone() as released:
            version = max([released.newest, *layout.versions_of(self.repository)]) + 1
            draft = self.repository / f"{DRAFT}{version}"
            parent = released.of(State.PRODUCTION) or 0
            try:
                pack(folder, draft, version, {"run": run or str(folder), "parent": parent})
                self.folder(version).parent.mkdir(exist_ok=True)
                draft.rename(self.folder(version))
            except ValueError as error:
                raise RegistryError(f"{folder}: {error}") from None
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            layout.sync_folder(self.folder(version).parent)
            self._write(states.registered(released, version, at_ms, f"from {run or folder}"))
        return version

    def promote(
        self, version: int, to: State | None, at_ms: int, reason: str, numbers: dict[str, float]
    ) -> State:
        """Move a version up, one step or to a named state; gives where it is now."""
        with self._alone() as released, _refusals():
            target = to or states.next_state(released, version)
            move = Move(at_ms, version, target, reason=reason, numbers=numbers)
            self._write(states.promoted(released, move))
        return target

    def roll_back(
        self, version: int | None, at_ms: int, reason: str, numbers: dict[str, float]
    ) -> int:
        """Retire a version: the one named, else the one on trial, else that in production."""
        with self._alone() as released, _refusals():
            version = version or _to_blame(released)
            self._write(states.rolled_back(released, version, at_ms, reason, numbers))
        return version

    def change(self, what: Callable[[Releases], Releases]) -> Releases:
        """Apply a move that was decided elsewhere, if it is still possible."""
        with self._alone() as released, _refusals():
            changed = what(released)
            self._write(changed)
        return changed

    def _unreleased(self) -> Releases:
        found = layout.versions_of(self.repository)
        others = dict.fromkeys(found[1:], State.CANDIDATE)
        return Releases("", dict.fromkeys(found[:1], State.PRODUCTION) | others)

    @contextmanager
    def _alone(self) -> Iterator[Releases]:
        """Nobody else changes the repository meanwhile; what a dead one left is removed."""
        try:
            self.repository.mkdir(parents=True, exist_ok=True)
            lock = (self.repository / LOCK).open("w")
        except OSError as error:
            raise RegistryError(f"{self.repository} cannot be written: {error}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in self.repository.glob(f"{DRAFT}*"):
                shutil.rmtree(stale)
            released = self.read()
            salt = released.salt or secrets.token_hex(8)
            yield msgspec.structs.replace(released, salt=salt)

    def _write(self, released: Releases) -> None:
        """Files go last: a version without its files must not be in the record."""
        gone = states.expendable(released, self.keep)
        kept = states.without(released, gone)
        layout.prepare(self.repository, kept.loaded)
        content = msgspec.json.format(msgspec.json.encode(kept), indent=1)
        layout.replace_durably(self.repository / FILE, content)
        for version in gone:
            shutil.rmtree(self.folder(version), ignore_errors=True)


def _to_blame(released: Releases) -> int:
    for state in (*reversed(states.ON_TRIAL), State.PRODUCTION):
        found = released.of(state)
        if found is not None:
            return found
    raise MoveRefused("there is no version to roll back")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except MoveRefused as error:
        raise RegistryError(str(error)) from None
