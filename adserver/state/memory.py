"""State in this process only: for tests, simulations and single-process trials."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from adserver.state.store import Change, T


class MemoryStore:
    """A dict under a lock; ends with the process."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            return [self._values.get(key) for key in keys]

    def update(self, keys: Sequence[bytes], change: Change[T]) -> T:
        with self._lock:
            found = [self._values.get(key) for key in keys]
            values, result = change(found)
            for key, value in zip(keys, values, strict=True):
                if value is None:
                    self._values.pop(key, None)
                else:
                    self._values[key] = value
            return result

    def scan(
        self, prefix: bytes, after: bytes = b"", most: int = 1000
    ) -> list[tuple[bytes, bytes]]:
        with self._lock:
            keys = sorted(key for key in self._values if key.startswith(prefix) and key > after)
            return [(key, self._values[key]) for key in keys[:most]]

    def sync(self) -> None:
        """Nothing survives this process anyway."""

    def close(self) -> None:
        self._values.clear()
