"""Which workers are at work: each says so twice a second, and who has not for a while is dead.

Nothing depends on the judgement being right: a worker that was taken for dead finds that out, and
what it promised meanwhile is checked where it is billed.
"""

from __future__ import annotations

from adserver.state.store import StateStore, Values

DEAD_AFTER_MS = 10_000
"""The leases of a worker that has not said anything for so long are taken from it."""
_PREFIX = b"money/w/"


_NEVER = [bytes(8)]


def _key(worker: int) -> bytes:
    return _PREFIX + worker.to_bytes(1, "big")


def begin(store: StateStore, worker: int, now_ms: int) -> None:
    """The worker is at work from now on."""
    store.update([_key(worker)], lambda _: ([now_ms.to_bytes(8, "big")], None))


def renew(store: StateStore, worker: int, now_ms: int) -> bool:
    """It still is; False if it was taken for dead meanwhile."""

    def change(found: Values) -> tuple[Values, bool]:
        return [now_ms.to_bytes(8, "big") if found[0] else None], found[0] is not None

    return store.update([_key(worker)], change)


def leave(store: StateStore, worker: int) -> None:
    """It ends; others may take over at once what it still looked after."""
    store.update([_key(worker)], lambda _: (_NEVER, None))


def end(store: StateStore, worker: int) -> None:
    """It is not any more, and what it left is taken care of."""
    store.update([_key(worker)], lambda _: ([None], None))


def at_work(store: StateStore) -> dict[int, int]:
    """Worker and the wall milliseconds at which it last said so."""
    entries = store.scan(_PREFIX)
    return {key[-1]: int.from_bytes(value, "big") for key, value in entries}


def overdue(store: StateStore, now_ms: int) -> list[int]:
    """Workers that should have said something."""
    found = at_work(store)
    return [worker for worker, then in found.items() if now_ms - then > DEAD_AFTER_MS]
