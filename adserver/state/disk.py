"""State shared by all workers of a machine: LMDB, a B+tree in one mapped file.

Readers never wait. Writers take turns across processes, a few microseconds each; a process that
dies in its turn leaves nothing half done. Commits are not fsynced one by one: the event log is the
truth, and `sync` is called in the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lmdb

from adserver.errors import ConfigError
from adserver.state.store import Change, StoreFailed, T

READERS = 512
"""Threads of all processes that may read at the same time."""


class DiskStore:
    """Open it once per process and after any fork: LMDB's locks belong to a process."""

    def __init__(self, folder: Path, largest_bytes: int) -> None:
        """`largest_bytes` bounds the file, which is sparse: only what is used takes space."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._env = lmdb.open(
                str(folder),
                map_size=largest_bytes,
                max_readers=READERS,
                sync=False,
                metasync=False,
                mode=0o600,
            )
        except lmdb.Error as error:
            raise ConfigError([f"{folder}: the state store cannot be opened: {error}"]) from error
        self._env.reader_check()  # slots of processes that died

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            with self._env.begin() as transaction:
                return [transaction.get(key) for key in keys]
        except lmdb.Error as error:
            raise StoreFailed(f"the state store cannot be read: {error}") from error

    def update(self, keys: Sequence[bytes], change: Change[T]) -> T:
        try:
            return self._update(keys, change)
        except lmdb.Error as error:
            raise StoreFailed(f"the state store takes no more: {error}") from error

    def _update(self, keys: Sequence[bytes], change: Change[T]) -> T:
        with self._env.begin(write=True) as transaction:
            found = [transaction.get(key) for key in keys]
            values, result = change(found)
            for key, old, new in zip(keys, found, values, strict=True):
                if new is old:
                    continue
                if new is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, new)
            return result

    def scan(
        self, prefix: bytes, after: bytes = b"", most: int = 1000
    ) -> list[tuple[bytes, bytes]]:
        try:
            return self._scan(prefix, after, most)
        except lmdb.Error as error:
            raise StoreFailed(f"the state store cannot be read: {error}") from error

    def _scan(self, prefix: bytes, after: bytes, most: int) -> list[tuple[bytes, bytes]]:
        entries: list[tuple[bytes, bytes]] = []
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            if not cursor.set_range(max(prefix, after)):
                return entries
            for key, value in cursor:
                if not key.startswith(prefix) or len(entries) == most:
                    break
                if key > after:
                    entries.append((key, value))
        return entries

    def sync(self) -> None:
        self._env.sync(True)

    def close(self) -> None:
        self._env.close()
