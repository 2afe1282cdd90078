"""What the shifts asked of a market amount to at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.market.settings import DAY_S, MarketSettings, Shift, ShiftKind
from simulator.world import DOMAINS, TOPICS, World

NEW_DOMAINS = 40
"""The last domains of the world have no visits but those of a flood."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A shift with its moment and, of a country, device or domain, the row it is about."""

    kind: ShiftKind
    at_s: float
    size: float
    row: int
    field: str
    """country, device, domain or nothing."""


class Shifts:
    """The shifts of one market; unknown names are refused, all mistakes together."""

    def __init__(self, world: World, settings: MarketSettings) -> None:
        problems = [*settings.problems(), *_unknown(world, settings.shifts)]
        if problems:
            raise ValueError("; ".join(problems))
        self._all = tuple(_begun(world, settings, one) for one in settings.shifts)
        popular_first = np.argsort(-world.topic_weight, kind="stable")
        self.swapped = np.empty(TOPICS, np.int32)
        """[TOPICS] the topic that a user turns to whose topic swaps popularity."""
        self.swapped[popular_first] = popular_first[::-1]

    def of_kind(self, kind: ShiftKind) -> Iterator[Begun]:
        return (one for one in self._all if one.kind is kind)

    def flood(self, at_s: float) -> dict[int, float]:
        """Domain row -> its share of all visits, of the floods that have begun."""
        begun = [one for one in self.of_kind(ShiftKind.DOMAIN_FLOODS) if one.at_s <= at_s]
        return {one.row: one.size for one in begun}

    def click_log_odds(
        self, at_s: NDArray[np.float64], rows: dict[str, NDArray[np.int32]]
    ) -> NDArray[np.float64]:
        """[B] what falls of clicks add; `rows`: country and device of each visit."""
        total = np.zeros(len(at_s))
        for one in self.of_kind(ShiftKind.CLICKS_FALL):
            hit = (rows[one.field] == one.row) & (at_s >= one.at_s)
            total += np.where(hit, np.log(max(1 - one.size, 1e-3)), 0.0)
        return total


def _unknown(world: World, shifts: Iterable[Shift]) -> Iterator[str]:
    new = world.domain.name[-NEW_DOMAINS:]
    for shift in shifts:
        if shift.kind is ShiftKind.CLICKS_FALL and shift.of and not _field(world, shift.of):
            yield f"{shift.kind}: {shift.of!r} is neither a country nor a device"
        if shift.kind is ShiftKind.DOMAIN_FLOODS and shift.of not in ("", *new):
            yield f"{shift.kind}: {shift.of!r} is not one of the new domains {new[0]} ... {new[-1]}"


def _field(world: World, name: str) -> str:
    return next((f for f in ("country", "device") if name in getattr(world, f).name), "")


def _begun(world: World, settings: MarketSettings, shift: Shift) -> Begun:
    field, row = "", -1
    if shift.kind is ShiftKind.CLICKS_FALL:
        field = _field(world, shift.of)
        row = getattr(world, field).name.index(shift.of)
    if shift.kind is ShiftKind.DOMAIN_FLOODS:
        field = "domain"
        row = world.domain.name.index(shift.of) if shift.of else DOMAINS - NEW_DOMAINS
    at_s = settings.midnight_s(shift.day) + shift.hour * DAY_S / 24
    return Begun(shift.kind, at_s, shift.size, row, field)
