"""Page visits of the simulated marketplace, as columns.

A visit's user has lasting traits (hashed from its number, never stored), so returning users
look the same each time. Knows nothing of ads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from simulator.draw import hashed_uniform, pick, quantiles
from simulator.world import World

USERS = 500_000
SLOTS = 3
SEGMENTS = 8
KEYWORDS = 4
CATEGORIES = 3
KEY_VALUES = 2

# share of visits by hour of day, midnight first: a night dip and an evening peak
HOUR_WEIGHT = np.array(
    [3, 2, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 6, 6, 6, 6, 7, 8, 9, 10, 9, 7, 5], np.float64
)


@dataclass(frozen=True, slots=True)
class Visits:
    """[B] visits as indices into the world's vocabularies; bags are padded with -1."""

    user: NDArray[np.int64]
    country: NDArray[np.int32]
    region: NDArray[np.int32]
    """-1 where the country has no regions here."""
    device: NDArray[np.int32]
    os: NDArray[np.int32]
    browser: NDArray[np.int32]
    language: NDArray[np.int32]
    domain: NDArray[np.int32]
    hour: NDArray[np.int32]
    """0-23, UTC."""
    weekday: NDArray[np.int32]
    """0 is Monday."""
    segment: NDArray[np.int32]
    """[B, SEGMENTS]"""
    keyword: NDArray[np.int32]
    """[B, KEYWORDS]"""
    category: NDArray[np.int32]
    """[B, CATEGORIES] child categories of the page."""
    key_value: NDArray[np.int32]
    """[B, KEY_VALUES]"""
    placement: NDArray[np.int32]
    """[B, SLOTS]"""

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, chosen: NDArray[np.integer] | slice) -> Visits:
        """The chosen visits, in that order."""
        return Visits(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Tables:
    topic: NDArray[np.int16]
    country: NDArray[np.int16]
    device: NDArray[np.int16]
    domain: NDArray[np.int16]
    segment: NDArray[np.int16]
    keyword: NDArray[np.int16]
    key_value: NDArray[np.int16]
    placement: NDArray[np.int16]
    hour: NDArray[np.int16]
    key_of: NDArray[np.int32]
    """Number of the key of each "key=value", so that a visit sends no key twice."""


@lru_cache(maxsize=4)
def drawing_tables(world: World) -> Tables:
    """What a user interested in each topic sees and is known for, as tables for `pick`."""
    drawn = world.topic_weight
    domain = world.domain.weight * (0.1 + world.domain.topic.T.astype(np.float64) ** 2)
    segment = world.segment.weight * (0.03 + world.segment.topic.T.astype(np.float64) ** 3)
    keyword = world.keyword.weight * (0.01 + world.domain.topic @ world.keyword.topic.T) ** 4
    keys = [pair.partition("=")[0] for pair in world.key_value.name]
    shown = np.array(
        [[float(d in one.devices) for one in world.placement] for d in range(len(world.device))]
    )
    return Tables(
        topic=quantiles(drawn),
        country=quantiles(world.country.weight),
        device=quantiles(world.device.weight),
        domain=quantiles(domain),
        segment=quantiles(segment),
        keyword=quantiles(keyword),
        key_value=quantiles(world.key_value.weight),
        placement=quantiles(shown),
        hour=quantiles(HOUR_WEIGHT),
        key_of=np.array([keys.index(key) for key in keys], np.int32),
    )


def visits(world: World, rng: np.random.Generator, count: int) -> Visits:
    """`count` visits of a usual week; about half a microsecond each."""
    tables = drawing_tables(world)
    user = (USERS * rng.random(count) ** 2.5).astype(np.int64)
    interest = pick(tables.topic, 0, hashed_uniform(user, 1))
    other = pick(tables.topic, 0, rng.random(count))
    country = pick(tables.country, 0, hashed_uniform(user, 2))
    has_region = np.diff(world.region_start)[country] > 0
    region = pick(world.region_of_country, country, hashed_uniform(user, 3))
    device = pick(tables.device, 0, hashed_uniform(user, 4))
    domain = pick(
        tables.domain, np.where(rng.random(count) < 0.6, interest, other), rng.random(count)
    )
    speaks_main = hashed_uniform(user, 5) < 0.8
    pairs = bag(tables.key_value, np.zeros(count, np.int64), rng, KEY_VALUES)
    os = pick(world.os_of_device, device, hashed_uniform(user, 6))
    return Visits(
        user=user,
        country=country,
        region=np.where(has_region, region, -1).astype(np.int32),
        device=device,
        os=os,
        browser=pick(world.browser_of_os, os, hashed_uniform(user, 7)),
        language=np.where(speaks_main, world.country_language[country], 0).astype(np.int32),
        domain=domain,
        hour=pick(tables.hour, 0, rng.random(count)),
        weekday=rng.integers(0, 7, count, dtype=np.int32),
        segment=_segments(tables, user, interest),
        keyword=bag(tables.keyword, domain, rng, KEYWORDS),
        category=world.domain_category[domain],
        key_value=once(pairs, tables.key_of[pairs]),
        placement=page(tables, device, rng),
    )


def _segments(
    tables: Tables, user: NDArray[np.int64], interest: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Segments follow the user's main interest; a quarter of users are in none."""
    held = (hashed_uniform(user, 8) * (SEGMENTS + 2.7)).astype(np.int64) - 2
    columns = [
        np.where(i < held, pick(tables.segment, interest, hashed_uniform(user, 10 + i)), -1)
        for i in range(SEGMENTS)
    ]
    held_in = np.stack(columns, axis=1).astype(np.int32)
    return once(held_in, held_in)


def bag(
    table: NDArray[np.int16], row: NDArray[np.integer], rng: np.random.Generator, width: int
) -> NDArray[np.int32]:
    """Up to `width` values a row, any number of them equally likely."""
    drawn = pick(table, row[:, None], rng.random((len(row), width)))
    held = rng.integers(0, width + 1, (len(row), 1))
    values = np.where(np.arange(width) < held, drawn, -1).astype(np.int32)
    return once(values, values)


def once(values: NDArray[np.int32], kind: NDArray[np.int32]) -> NDArray[np.int32]:
    """The bags with -1 for every value whose kind stands in an earlier column of its row."""
    kept = values.copy()
    for column in range(1, values.shape[1]):
        kept[(kind[:, :column] == kind[:, column, None]).any(axis=1), column] = -1
    return kept


def page(tables: Tables, device: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """One to three placements that the device shows, no kind twice."""
    drawn = pick(tables.placement, device[:, None], rng.random((len(device), SLOTS)))
    held = 1 + (rng.random(len(device)) < 0.55) + (rng.random(len(device)) < 0.2)
    shown = np.where(np.arange(SLOTS) < held[:, None], drawn, -1).astype(np.int32)
    return once(shown, shown)
