"""Frequency caps as the catalogue states them: how often one person may have an ad.

A cap names an entity (an ad, line item, campaign or advertiser, or the person on the whole site), a
most, a window and the event it counts. Knows no history and no clock: the moment is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_CAPS = 5
"""Per entity."""
HIGHEST = 100
LONGEST_S = 180 * 86_400
LARGEST_ID = 1 << 24
"""Entities are looked up by id in one array, so ids are to be dense."""
HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 604_800_000
MONDAY_MS = 4 * DAY_MS
"""1970-01-05, the first Monday: weeks begin on Mondays (ISO 8601)."""


class Entity(IntEnum):
    """Whose showings a cap counts, from the smallest to the whole site."""

    AD = 0
    LINE_ITEM = 1
    CAMPAIGN = 2
    ADVERTISER = 3
    USER = 4  # anything at all that this person was shown; the entity's id is 0


class On(IntEnum):
    """The event that a cap counts."""

    IMPRESSION = 0
    VIEWABLE = 1
    CLICK = 2


class Unit(IntEnum):
    """Sliding windows are as long as they say; calendar ones begin anew at full hours, days, …"""

    SLIDING = 0
    HOUR = 1
    DAY = 2
    WEEK = 3
    MONTH = 4


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` events of one person within the window."""

    most: int
    window_s: int = 0
    """Length of a sliding window; 0 for a calendar one."""
    unit: Unit = Unit.SLIDING
    zone_s: int = 0
    """East of UTC: where a calendar window begins."""
    on: On = On.IMPRESSION
    dont_affect_parent: bool = False
    """What is shown of this entity does not count towards the caps of those above it."""

    def problems(self) -> Iterator[str]:
        if not 1 <= self.most <= HIGHEST:
            yield f"max must be 1 to {HIGHEST}, not {self.most}"
        sliding = self.unit is Unit.SLIDING
        if sliding and not 1 <= self.window_s <= LONGEST_S:
            yield f"window must be 1 to {LONGEST_S} seconds, not {self.window_s}"
        if not sliding and self.window_s:
            yield "a calendar window has no length in seconds"
        if abs(self.zone_s) > 14 * 3600:
            yield f"the time zone must be within 14 hours of UTC, not {self.zone_s} s"


class CapColumns(NamedTuple):
    """`Caps` as the compiled loops read it."""

    base: NDArray[np.int64]
    place: NDArray[np.int32]
    offset: NDArray[np.int32]
    most: NDArray[np.int32]
    on: NDArray[np.uint8]
    window: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Caps:
    """Every cap of a catalogue as columns: E capped entities, K caps, W different windows.

    All fields are arrays, so that a snapshot can keep them in one .npz file.
    """

    base: NDArray[np.int64]
    """[6] `place[base[e]:base[e + 1]]` belongs to entities of kind e, by id."""
    place: NDArray[np.int32]
    """Which of the E it is; -1 for an entity without caps."""
    offset: NDArray[np.int32]
    """[E + 1] where each entity's caps begin."""
    exempt: NDArray[np.bool_]
    """[E] does not affect its parents."""
    most: NDArray[np.int32]
    on: NDArray[np.uint8]
    window: NDArray[np.int32]
    """[K] which of the windows."""
    length_ms: NDArray[np.int64]
    """[W] of a sliding window, 0 for a calendar one."""
    unit: NDArray[np.uint8]
    zone_ms: NDArray[np.int64]

    @classmethod
    def of(cls, mapping: Mapping[tuple[Entity, int], Sequence[Cap]]) -> Caps:
        """From (kind, id) to up to five caps; raises ValueError that lists every mistake."""
        mistakes = list(_mistakes(mapping))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        entities = sorted(key for key, caps in mapping.items() if caps)
        caps = [cap for key in entities for cap in mapping[key]]
        windows = sorted({_window(cap) for cap in caps})
        base, place = _places(entities)
        length, unit, zone = zip(*windows, strict=True) if windows else ((), (), ())
        return cls(
            base=base,
            place=place,
            offset=np.cumsum([0, *(len(mapping[key]) for key in entities)], dtype=np.int32),
            exempt=np.array(
                [any(cap.dont_affect_parent for cap in mapping[key]) for key in entities], np.bool_
            ),
            most=np.array([cap.most for cap in caps], np.int32),
            on=np.array([cap.on for cap in caps], np.uint8),
            window=np.array([windows.index(_window(cap)) for cap in caps], np.int32),
            length_ms=np.array(length, np.int64),
            unit=np.array(unit, np.uint8),
            zone_ms=np.array(zone, np.int64),
        )

    def stated(self) -> dict[tuple[Entity, int], tuple[Cap, ...]]:
        """What `of` was told of entities that have caps."""
        bounds = zip(Entity, self.base[:-1].tolist(), self.base[1:].tolist(), strict=True)
        return {
            (kind, number): tuple(self._caps_of(row))
            for kind, low, high in bounds
            for number, row in enumerate(self.place[low:high].tolist())
            if row >= 0
        }

    def _caps_of(self, row: int) -> Iterator[Cap]:
        exempt = bool(self.exempt[row])
        for cap in range(int(self.offset[row]), int(self.offset[row + 1])):
            window = int(self.window[cap])
            yield Cap(
                most=int(self.most[cap]),
                window_s=int(self.length_ms[window]) // 1000,
                unit=Unit(self.unit[window]),
                zone_s=int(self.zone_ms[window]) // 1000,
                on=On(self.on[cap]),
                dont_affect_parent=exempt,
            )

    def __bool__(self) -> bool:
        """Somebody has a cap."""
        return len(self.most) > 0

    @property
    def columns(self) -> CapColumns:
        return CapColumns(self.base, self.place, self.offset, self.most, self.on, self.window)

    def with_user(self, caps: Sequence[Cap]) -> Caps:
        """These, and caps on everything that one person is shown; there are none of that kind."""
        more = Caps.of({(Entity.USER, 0): caps})
        if not more:
            return self
        windows, rows = len(self.length_ms), len(self.exempt)
        return Caps(
            base=self.base + more.base,
            place=np.concatenate([self.place, more.place + np.int32(rows)]),
            offset=np.concatenate([self.offset, self.offset[-1] + more.offset[1:]]),
            exempt=np.concatenate([self.exempt, more.exempt]),
            most=np.concatenate([self.most, more.most]),
            on=np.concatenate([self.on, more.on]),
            window=np.concatenate([self.window, more.window + np.int32(windows)]),
            length_ms=np.concatenate([self.length_ms, more.length_ms]),
            unit=np.concatenate([self.unit, more.unit]),
            zone_ms=np.concatenate([self.zone_ms, more.zone_ms]),
        )

    def find(self, kind: Entity, number: NDArray[np.integer]) -> NDArray[np.int32]:
        """Which of the E each id is; -1 for those without caps."""
        low, high = self.base[kind], self.base[kind + 1]
        found = np.full(len(number), -1, np.int32)
        known = (number >= 0) & (number < high - low)
        found[known] = self.place[low + number[known]]
        return found

    def concern(self, ids: Iterable[int]) -> bool:
        """Whether any cap counts what is shown of an ad with these `Entity` ids, the ad's first."""
        if self.base[Entity.USER + 1] > self.base[Entity.USER]:
            return True
        spans = zip(ids, self.base[: Entity.USER], self.base[1 : Entity.USER + 1], strict=True)
        return any(0 <= one < high - low and self.place[low + one] >= 0 for one, low, high in spans)

    def starts(self, now_ms: int) -> NDArray[np.int64]:
        """[W] the first millisecond of each window as of `now_ms`; it never moves back."""
        return np.array(
            [
                window_start(length, Unit(unit), zone, now_ms)
                for length, unit, zone in zip(
                    self.length_ms.tolist(), self.unit.tolist(), self.zone_ms.tolist(), strict=True
                )
            ],
            np.int64,
        )


def window_start(length_ms: int, unit: Unit, zone_ms: int, now_ms: int) -> int:
    """First millisecond that counts: of a sliding window, that after the one just left behind."""
    local = now_ms + zone_ms
    match unit:
        case Unit.SLIDING:
            return now_ms - length_ms + 1
        case Unit.HOUR:
            return now_ms - local % HOUR_MS
        case Unit.DAY:
            return now_ms - local % DAY_MS
        case Unit.WEEK:
            return now_ms - (local - MONDAY_MS) % WEEK_MS
        case Unit.MONTH:
            month = np.datetime64(local, "ms").astype("datetime64[M]")
            return int(month.astype("datetime64[ms]").astype(np.int64)) - zone_ms


def _window(cap: Cap) -> tuple[int, int, int]:
    if cap.unit is Unit.SLIDING:
        return cap.window_s * 1000, int(cap.unit), 0
    return 0, int(cap.unit), cap.zone_s * 1000


def _places(
    entities: Sequence[tuple[Entity, int]],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    sizes = [max((i + 1 for kind, i in entities if kind is each), default=0) for each in Entity]
    base = np.cumsum([0, *sizes], dtype=np.int64)
    place = np.full(base[-1], -1, np.int32)
    for row, (kind, number) in enumerate(entities):
        place[base[kind] + number] = row
    return base, place


def _mistakes(mapping: Mapping[tuple[Entity, int], Sequence[Cap]]) -> Iterator[str]:
    for (kind, number), caps in mapping.items():
        name = f"{kind.name.lower()} {number}"
        if not 0 <= number < LARGEST_ID or (kind is Entity.USER and number):
            yield f"{name} is not an id that can have caps"
        if len(caps) > MOST_CAPS:
            yield f"{name} has {len(caps)} caps, at most {MOST_CAPS} are allowed"
        yield from (f"{name}: {mistake}" for cap in caps for mistake in cap.problems())


NONE = Caps.of({})
