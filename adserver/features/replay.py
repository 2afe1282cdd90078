"""The counters and histories of a log in bulk: what decisions would have known at each moment.

The same cells as `Counters` keeps, written and read at ticks, and the same records as `Profiles`
keeps, here written at once, by a server twice a second; a test holds both equal. Knows no store.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adserver.features.cells import WINDOWS, WINDOWS_MS, Cells, Floats
from adserver.features.kernels import CLICKED, LOOK, SHOWN, walk
from adserver.features.profiles import LEAST
from ranking.counts import COUNTS, KEYS, PLACES, SPREAD_AD, SPREAD_PLACE, key_features
from ranking.features import BAG, TOPICS

TICK_MS: Final = 60_000
"""Between two exchanges of counts. A server's are half a second apart, but features of cells that
nobody counts in are as old as this there too."""


@dataclass(frozen=True, slots=True)
class Keys:
    """[N] under which ids ads are counted, and [placements] the hashes of placements."""

    ad: NDArray[np.int64]
    advertiser: NDArray[np.int64]
    topic: NDArray[np.int64]
    place: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Decided:
    """B visits in the order of their time, with R impressions of theirs in order."""

    time_ms: NDArray[np.int64]
    person: NDArray[np.int64]
    """[B] from 0, dense."""
    of: NDArray[np.int32]
    """[R] row of the visit; the two that follow are rows of `Keys`."""
    ad: NDArray[np.int32]
    placement: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Events:
    """E impressions and clicks that count, in any order."""

    time_ms: NDArray[np.int64]
    person: NDArray[np.int64]
    ad: NDArray[np.int32]
    placement: NDArray[np.int32]
    clicked: NDArray[np.bool_]

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Events:
        return Events(*(getattr(self, one.name)[rows] for one in fields(self)))

    def joined(self, other: Events) -> Events:
        both = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return Events(*(np.concatenate(pair) for pair in both))

    @classmethod
    def none(cls) -> Events:
        whole = (np.zeros(0, np.int64), np.zeros(0, np.int32))
        return cls(whole[0], whole[0], whole[1], whole[1], np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Known:
    """What decisions knew."""

    counts: Floats
    """[R, COUNTS]"""
    clicked: NDArray[np.int64]
    """[B, BAG] topics, newest first, 0 for none; the same of seen."""
    seen: NDArray[np.int64]


class Replay:
    """State of one log, to be given stretch after stretch of it; `start_ms` is the first tick."""

    def __init__(self, keys: Keys, people: int, start_ms: int) -> None:
        self.keys, self._tick_ms = keys, start_ms
        sizes = (int(keys.ad.max()) + 1, int(keys.advertiser.max()) + 1, PLACES)
        self._cells = [_nothing(size) for size in sizes]
        self._waiting = Events.none()
        self._known_ms = np.zeros(people, np.int64)
        self._topics = np.zeros((people, TOPICS, 2, WINDOWS), np.float32)
        self._bags = np.zeros((people, 2, BAG), np.uint8)

    def play(self, decided: Decided, events: Events, until_ms: int) -> Known:
        """What decisions before `until_ms`, a tick, knew; later events wait for the next call.

        An event is known to a decision of the same millisecond, and counted at a tick of it.
        """
        self._waiting = self._waiting.joined(events)
        due = self._waiting.time_ms <= until_ms
        happened, self._waiting = self._waiting.where(due), self._waiting.where(~due)
        happened = happened.where(np.argsort(happened.time_ms, kind="stable"))
        raw = np.empty((len(decided.of), len(KEYS), 2, WINDOWS), np.float32)
        bags = self._histories(decided, happened, raw)
        self._counters(decided, happened, until_ms, raw)
        shown, clicked = (np.ascontiguousarray(raw[:, :, kind]) for kind in (0, 1))
        counts = key_features(shown, clicked).reshape(len(raw), COUNTS)
        topics = bags.astype(np.int64)
        return Known(counts, topics[:, 1], topics[:, 0])

    def _histories(self, decided: Decided, events: Events, raw: Floats) -> NDArray[np.uint8]:
        """[B, 2, BAG] last topics, shown before clicked; fills the last key of `raw`."""
        looks, rows = len(decided.time_ms), len(decided.of)
        time_ms = np.concatenate([events.time_ms, decided.time_ms])
        order = np.argsort(time_ms, kind="stable")  # events stand first
        kinds = np.where(events.clicked, CLICKED, SHOWN)
        step = np.concatenate([kinds, np.full(looks, LOOK)]).astype(np.int8)
        number = np.concatenate([rows + np.arange(len(kinds)), np.arange(looks)])
        ads = np.concatenate([decided.ad, events.ad])
        start = np.searchsorted(decided.of, np.arange(looks + 1))
        bags = np.zeros((looks, 2, BAG), np.uint8)
        found = np.empty((rows, 2, WINDOWS), np.float32)
        people = np.concatenate([events.person, decided.person])
        walk(
            step[order], number[order], time_ms[order], people[order], self.keys.topic[ads], start,
            WINDOWS_MS, np.float32(LEAST), self._known_ms, self._topics, self._bags, bags, found,
        )  # fmt: skip
        raw[:, len(KEYS) - 1] = found
        return bags

    def _counters(self, decided: Decided, events: Events, until_ms: int, raw: Floats) -> None:
        """Tick by tick: looks see the last one; what happened since waits for the next."""
        asked = self._ids(decided.ad, decided.placement)
        counted = self._ids(events.ad, events.placement)
        ticks = np.arange(self._tick_ms, until_ms + 1, TICK_MS)
        look = np.searchsorted(decided.time_ms[decided.of], ticks)
        event = np.searchsorted(events.time_ms, ticks, side="right")
        event[0] = 0
        for at, now_ms in enumerate(ticks[:-1].tolist()):
            mine = slice(look[at], look[at + 1])
            for key, cells in enumerate(self._cells):
                raw[mine, key] = _read(cells, asked[key][mine], now_ms)
            happened = slice(event[at], event[at + 1])
            self._count(counted, events.clicked, happened, now_ms + TICK_MS)
        self._tick_ms = int(ticks[-1])

    def _count(
        self,
        ids: list[NDArray[np.int64]],
        clicked: NDArray[np.bool_],
        happened: slice,
        now_ms: int,
    ) -> None:
        hit = clicked[happened]
        for cells, own in zip(self._cells, ids, strict=True):
            row, at = np.unique(own[happened], return_inverse=True)
            shown = np.bincount(at, ~hit, len(row)).astype(np.float32)
            cells.add(row, shown, np.bincount(at, hit, len(row)).astype(np.float32), now_ms)

    def _ids(self, ad: NDArray[np.int32], placement: NDArray[np.int32]) -> list[NDArray[np.int64]]:
        """Of each key that is counted by ticks, the cells."""
        number = self.keys.ad[ad]
        place = place_cells(number, self.keys.place[placement])
        return [number, self.keys.advertiser[ad], place]


def place_cells(ad: NDArray[np.int64], place: NDArray[np.uint64]) -> NDArray[np.int64]:
    """[n] `ranking.counts.place_cell` of each ad in each placement."""
    spread = np.uint64(SPREAD_AD)
    mixed = ad.astype(np.uint64) * spread + place * np.uint64(SPREAD_PLACE)
    return (mixed * spread >> np.uint64(46)).astype(np.int64)


def _nothing(count: int) -> Cells:
    shown, clicked = np.zeros((2, count, WINDOWS), np.float32)
    return Cells(np.zeros(count, np.int64), shown, clicked)


def _read(cells: Cells, row: NDArray[np.int64], now_ms: int) -> Floats:
    """[n, 2, WINDOWS] as they stand at a tick."""
    now = Cells(cells.t_ms[row], cells.shown[row], cells.clicked[row]).at(now_ms)
    return np.stack([now.shown, now.clicked], axis=1)
