"""The seam behind which all shared, changing state lies: money, frequency, page views, users.

A store knows keys and bytes only. What they mean is for the callers, who read and write them as
whole values: `update` is the one primitive, and memory, LMDB and (later) Redis can all give it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from adserver.errors import Overloaded

LONGEST_KEY = 255


class StoreFailed(Overloaded):
    """The store takes no more: it is full, or its disk is. What it refused has not happened."""

    code = "state_store"


T = TypeVar("T")
Values = Sequence[bytes | None]
"""One per key; None where the store has nothing."""
Change = Callable[[Values], tuple[Values, T]]
"""From the values found to the values to keep (None: delete, the same object: leave) and a
result. Pure: a store may call it again if somebody else was faster."""


class StateStore(Protocol):
    """Shared by everybody who opens the same one, in any thread or process.

    What `update` wrote is seen by every later `get` and `update`, and survives the death of any
    process; a crash of the machine may lose what was written since the last `sync`, never more.
    """

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of one moment, in the order of the keys."""
        ...

    def update(self, keys: Sequence[bytes], change: Change[T]) -> T:
        """Read, change and write the keys as one step: nobody else writes them in between.

        A `change` that raises changes nothing, nor does a store that raises StoreFailed.
        """
        ...

    def scan(
        self, prefix: bytes, after: bytes = b"", most: int = 1000
    ) -> list[tuple[bytes, bytes]]:
        """Up to `most` entries whose key begins with `prefix` and is greater than `after`."""
        ...

    def sync(self) -> None:
        """What was written before this call survives a crash of the machine."""
        ...

    def close(self) -> None: ...


def everything(store: StateStore, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All entries under a prefix, a thousand at a time; not of one moment."""
    after = b""
    while found := store.scan(prefix, after):
        yield from found
        after = found[-1][0]


def foreseen(store: StateStore, keys: Sequence[bytes], change: Change[T]) -> T:
    """`store.update` by who has time: computed before anybody has to wait for the store, and once
    more if somebody else was faster."""
    guess = store.get(keys)
    values, result = change(guess)

    def settled(found: Values) -> tuple[Values, T]:
        if list(found) != guess:
            return change(found)
        kept = zip(found, guess, values, strict=True)
        return [old if new is guessed else new for old, guessed, new in kept], result

    return store.update(keys, settled)
