"""The visits of a simulated market as the requests that the server decides.

The same requests as `Market.request` sends over HTTP (a test holds the two together), some ten
microseconds each: strings are made once per market.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adserver.request import AdRequest, Slot
from simulator.draw import hashed_uniform
from simulator.market.eligible import refused
from simulator.market.traffic import Traffic
from simulator.world import World

VIEWS = 57
"""Stream of `hashed_uniform` that page views are named from, as the market names them."""
Words = tuple[str, ...]
MOST_PAGES = 100_000
"""Combinations of placements whose slots are kept."""


class Asker:
    """Writes the requests of one market."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._page = [_url(world, domain) for domain in range(len(world.domain))]
        self._publisher = [f"pub-{domain + 1}" for domain in range(len(world.domain))]
        self._slots: dict[tuple[int, ...], tuple[Slot, ...]] = {}

    def requests(self, traffic: Traffic) -> list[AdRequest]:
        """One of each visit, in order."""
        world, visit = self.world, traffic.visit
        single = [
            _named(getattr(world, name).name, getattr(visit, name))
            for name in ("country", "region", "device", "os", "browser", "language", "domain")
        ]
        bags = [
            _bags(getattr(world, name).name, getattr(visit, name))
            for name in ("category", "keyword", "segment", "key_value")
        ]
        views = (hashed_uniform(traffic.number, VIEWS) * 2**53).astype(np.int64)
        blocked = _bags(world.category.name, refused(world, visit))
        numbers = zip(traffic.number.tolist(), views.tolist(), visit.user.tolist(), strict=True)
        slots = [self._slots_of(tuple(one)) for one in visit.placement.tolist()]
        pages = zip(visit.domain.tolist(), slots, blocked, strict=True)
        each = zip(numbers, pages, zip(*single, strict=True), zip(*bags, strict=True), strict=True)
        return [self._request(*one) for one in each]

    def _request(
        self,
        numbers: tuple[int, int, int],
        place: tuple[int, tuple[Slot, ...], Words],
        single: tuple[str, ...],
        bags: tuple[Words, ...],
    ) -> AdRequest:
        number, view, user = numbers
        domain, slots, blocked = place
        country, region, device, os, browser, language, host = single
        categories, keywords, segments, key_values = bags
        return AdRequest(
            id=f"r-{number:x}",
            slots=slots,
            publisher=self._publisher[domain],
            domain=host,
            page=self._page[domain],
            categories=categories,
            keywords=keywords,
            segments=segments,
            key_values=key_values,
            country=country,
            region=region,
            device=device,
            os=os,
            browser=browser,
            language=language,
            user=f"u{user}",
            page_view=f"{view:016x}",
            blocked_categories=blocked,
        )

    def _slots_of(self, placements: tuple[int, ...]) -> tuple[Slot, ...]:
        known = self._slots.get(placements)
        if known is None:
            if len(self._slots) >= MOST_PAGES:
                self._slots.clear()
            known = self._slots[placements] = self._made(placements)
        return known

    def _made(self, placements: tuple[int, ...]) -> tuple[Slot, ...]:
        world = self.world
        return tuple(
            Slot(
                id=f"slot{number + 1}",
                placement=world.placement[p].key,
                sizes=tuple(world.sizes[size] for size in world.placement[p].sizes),
                floor_micros=world.placement[p].floor_micros,
                secure=True,
            )
            for number, p in enumerate(placements)
            if p >= 0
        )


def _url(world: World, domain: int) -> str:
    section = world.key_value.name[domain % 20].split("=")[1]
    return f"https://{world.domain.name[domain]}/{section}/{domain}"


def _named(name: Sequence[str], row: NDArray[np.int32]) -> list[str]:
    return [name[one] if one >= 0 else "" for one in row.tolist()]


def _bags(name: Sequence[str], rows: NDArray[np.int32]) -> list[Words]:
    return [tuple(dict.fromkeys(name[one] for one in row if one >= 0)) for row in rows.tolist()]
