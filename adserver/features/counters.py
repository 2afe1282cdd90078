"""Running counts of ads, advertisers and ads in placements; all workers share them in the store.

A worker adds up what it sees and twice a second adds that to the store, then reads the blocks that
anybody changed. What it had not added yet dies with it. `flush` and `read`
may run in another thread; `witness` and `take` belong to the one that decides, so that nothing
changes under a decision. Times are wall milliseconds and come as arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adserver.features.cells import BLOCK, MOST_IDS, Cells, Floats, Key
from adserver.features.rests import Rest, at_once
from adserver.state.store import StateStore, StoreFailed, Values, everything, foreseen
from ranking.counting.board import Board
from ranking.counts import EACH, key_features, place_cell

CELLS, VERSIONS = b"fc1/", b"fv1/"
"""Prefixes of the keys: blocks of cells, and how often each of them was written."""
GROUP: Final = 1024
"""Blocks whose versions stand in one value."""
AT_ONCE: Final = 64
"""Blocks written in one update (others wait for the store meanwhile), or read in one go."""
MOST_WAITING: Final = 200_000
"""Cells with counts not yet in the store; while it takes none, further ones are not counted."""
STALE_MS: Final = 60_000
"""Features of cells that nobody counts in decay too; all are made anew within this."""

Versions = NDArray[np.uint32]
Blocks = NDArray[np.int64]
Cell = tuple[Key, int]
"""By its id."""


_TABLE: Final = {Key.AD: "ad", Key.ADVERTISER: "advertiser", Key.AD_PLACEMENT: "place"}


@dataclass(frozen=True, slots=True)
class Fresh:
    """Features read from the store, not yet on the board."""

    at_ms: int
    parts: Sequence[tuple[Key, Blocks, Versions, Floats]]
    """Blocks, the versions they were read at, and [blocks * BLOCK, EACH] features."""


@dataclass(slots=True)
class _Waiting:
    """Counts by key and id that the store does not have yet: [impressions, clicks]."""

    counts: dict[Cell, list[float]] = field(default_factory=dict)

    def add(self, key: Cell, shown: float, clicked: float) -> bool:
        known = self.counts.get(key)
        if known is None:
            if len(self.counts) >= MOST_WAITING:
                return False
            known = self.counts[key] = [0.0, 0.0]
        known[0] += shown
        known[1] += clicked
        return True


class Counters:
    """Adds and reads them. One per worker, over the store that all share."""

    board: Board
    lost: int
    """Counts that were not kept, because the store took nothing for long."""
    at_ms: int
    """Moment of the last reading that succeeded; 0: none yet."""

    def __init__(self, store: StateStore) -> None:
        self.store, self.board = store, Board()
        self.lost = self.at_ms = 0
        self._waiting, self._lock = _Waiting(), Lock()
        self._known: dict[Key, Versions] = {key: np.zeros(0, np.uint32) for key in Key}
        self._turn: dict[Key, int] = dict.fromkeys(Key, 0)

    def witness(self, ad: int, advertiser: int, place: int, clicked: bool) -> None:
        """An impression, or a click, of an ad in the placement of this hash."""
        ids = {Key.AD: ad, Key.ADVERTISER: advertiser, Key.AD_PLACEMENT: place_cell(ad, place)}
        with self._lock:
            for key, number in ids.items():
                if 0 <= number < MOST_IDS:
                    kept = self._waiting.add((key, number), float(not clicked), float(clicked))
                    self.lost += not kept

    def flush(self, now_ms: int, rest: Rest = at_once) -> None:
        """Add what was witnessed to the store. What it does not take waits for the next time."""
        with self._lock:
            waiting, self._waiting = self._waiting, _Waiting()
        counts = waiting.counts
        ordered = sorted(counts)
        for part in _parts(ordered):
            try:
                self._add(part, [counts[one] for one in part], now_ms)
            except StoreFailed:
                self._put_back(part, counts)
            rest()

    def read(self, now_ms: int, rest: Rest = at_once) -> Fresh:
        """What was written since the last `take`, and a share of the rest; StoreFailed."""
        versions = _versions(self.store)
        parts = []
        for key in Key:
            for block in _runs(self._due(key, versions[key], now_ms)):
                cells = Cells.of(self.store.get([_key(CELLS, key, b) for b in block.tolist()]))
                cells = cells.at(now_ms)
                features = key_features(cells.shown, cells.clicked)
                parts.append((key, block, versions[key][block], features))
                rest()
        return Fresh(now_ms, parts)

    def take(self, fresh: Fresh) -> None:
        """Let decisions see what was read."""
        for key, block, version, features in fresh.parts:
            table = self._grown(key, int(block[-1]) + 1)
            table.reshape(-1, BLOCK, EACH)[block] = features.reshape(-1, BLOCK, EACH)
            self._known[key][block] = version
        self.at_ms = fresh.at_ms

    def tend(self, now_ms: int) -> None:
        """Flush, read and take, for who has one thread only."""
        self.flush(now_ms)
        self.take(self.read(now_ms))

    def check(self) -> list[str]:
        """What is not as it must be: nothing, unless there is a bug."""
        wrong = []
        for key, name in _TABLE.items():
            table = getattr(self.board, name)
            if not np.isfinite(table).all():
                wrong.append(f"a feature of {name} is not finite")
            if len(self._known[key]) * BLOCK > len(table):
                wrong.append(f"{name} has versions of blocks past its table")
        for place, block in everything(self.store, CELLS):
            cells = Cells.of([block])
            if not (np.isfinite(cells.shown) & (cells.shown >= 0) & (cells.clicked >= 0)).all():
                wrong.append(f"block {place.hex()} has impossible counts")
        return wrong

    def _add(self, ids: Sequence[Cell], counts: list[list[float]], now_ms: int) -> None:
        blocks = list(dict.fromkeys((key, number // BLOCK) for key, number in ids))
        groups = list(dict.fromkeys((key, block // GROUP) for key, block in blocks))
        place = {block: at * BLOCK for at, block in enumerate(blocks)}
        row = np.array([place[key, n // BLOCK] + n % BLOCK for key, n in ids], np.intp)
        shown, clicked = np.array(counts, np.float32).T

        def change(found: Values) -> tuple[Values, None]:
            cells = Cells.of(list(found[: len(blocks)]))
            cells.add(row, shown, clicked, now_ms)
            versions = [_counted_on(value) for value in found[len(blocks) :]]
            for key, block in blocks:
                versions[groups.index((key, block // GROUP))][block % GROUP] += 1
            return [*cells.blocks(), *(one.tobytes() for one in versions)], None

        keys = [_key(CELLS, *one) for one in blocks] + [_key(VERSIONS, *one) for one in groups]
        foreseen(self.store, keys, change)

    def _put_back(self, ids: Sequence[Cell], counts: dict[Cell, list[float]]) -> None:
        with self._lock:
            for one in ids:
                self.lost += not self._waiting.add(one, *counts[one])

    def _due(self, key: Key, version: Versions, now_ms: int) -> Blocks:
        """Blocks to read: those that changed, and by turns those that did not."""
        known = np.zeros(len(version), np.uint32)
        both = min(len(version), len(self._known[key]))  # tables grow by doubling, versions do not
        known[:both] = self._known[key][:both]
        due = version != known
        share = min(1.0, max(now_ms - self.at_ms, 0) / STALE_MS)
        written = np.flatnonzero(version)
        turn = np.searchsorted(written, self._turn[key])
        some = np.roll(written, -turn)[: int(np.ceil(share * len(written)))]
        if len(some):
            due[some] = True
            self._turn[key] = int(some[-1]) + 1
        return np.flatnonzero(due)

    def _grown(self, key: Key, blocks: int) -> Floats:
        """The key's table with room for so many blocks at least."""
        table: Floats = getattr(self.board, _TABLE[key])
        if blocks * BLOCK > len(table):
            wider = np.zeros((1 << (blocks * BLOCK - 1).bit_length(), EACH), np.float32)
            wider[: len(table)] = table
            setattr(self.board, _TABLE[key], wider)
            table = wider
        if blocks > len(self._known[key]):
            wide = np.zeros(len(table) // BLOCK, np.uint32)
            wide[: len(self._known[key])] = self._known[key]
            self._known[key] = wide
        return table


def _parts(ids: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """Ascending ids, as many at a time as lie in few blocks."""
    begin, blocks = 0, 0
    for at, (key, number) in enumerate(ids):
        if at == begin or (key, number // BLOCK) != (ids[at - 1][0], ids[at - 1][1] // BLOCK):
            blocks += 1
        if blocks > AT_ONCE:
            yield ids[begin:at]
            begin, blocks = at, 1
    if ids:
        yield ids[begin:]


def _runs(block: Blocks) -> Iterator[Blocks]:
    return (block[at : at + AT_ONCE] for at in range(0, len(block), AT_ONCE))


def _versions(store: StateStore) -> dict[Key, Versions]:
    """[blocks] how often each block was written, of nearly one moment."""
    found = {key: list(everything(store, VERSIONS + bytes([key]))) for key in Key}
    return {key: _versions_of(values) for key, values in found.items()}


def _versions_of(values: Sequence[tuple[bytes, bytes]]) -> Versions:
    groups = [int.from_bytes(key[-4:], "big") for key, _ in values]
    version = np.zeros((max(groups, default=-1) + 1, GROUP), np.uint32)
    for group, (_, value) in zip(groups, values, strict=True):
        version[group] = np.frombuffer(value, np.uint32)
    return version.ravel()


def _counted_on(value: bytes | None) -> Versions:
    return np.frombuffer(bytearray(value or bytes(GROUP * 4)), np.uint32)


def _key(prefix: bytes, key: Key, number: int) -> bytes:
    return prefix + bytes([key]) + number.to_bytes(4, "big")
