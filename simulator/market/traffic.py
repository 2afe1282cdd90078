"""The visits of a market, hour by hour, each hour from a generator of its own.

Knows nothing of ads. People follow the hours of the week; bots come at any hour alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.draw import hashed_uniform, pick
from simulator.market.interests import Interests
from simulator.market.settings import DAY_S, MarketSettings
from simulator.market.shifts import NEW_DOMAINS, Shifts
from simulator.visits import HOUR_WEIGHT, KEY_VALUES, KEYWORDS, Visits, bag, once, page
from simulator.world import DOMAINS, World

STREAM = 92
HOUR_S = 3_600.0
BOT_VISITS = 300
"""A bot's visits a day."""
INTERESTED = 0.6
"""Share of visits to pages about something on the user's mind."""
HOURS = 24
FRIDAY = 4


def week_shape() -> NDArray[np.float64]:
    """[7, 24] visits of each hour from Monday on, in days: a usual weekday sums to one.

    At the weekend people rise two hours later and come a tenth less.
    """
    weekday = HOUR_WEIGHT / HOUR_WEIGHT.sum()
    weekend = 0.9 * np.roll(weekday, 2)
    return np.stack([weekday] * (FRIDAY + 1) + [weekend] * 2)


@dataclass(frozen=True, slots=True)
class Traffic:
    """[B] visits in the order of their time."""

    visit: Visits
    at_s: NDArray[np.float64]
    """Wall seconds, ascending."""
    bot: NDArray[np.bool_]
    """What no server is told."""
    number: NDArray[np.int64]
    """Of the visit in its market: no other visit of any day has it."""

    def __len__(self) -> int:
        return len(self.at_s)

    def rows(self, chosen: NDArray[np.integer] | slice) -> Traffic:
        """The chosen visits, in that order."""
        return Traffic(
            self.visit.rows(chosen), self.at_s[chosen], self.bot[chosen], self.number[chosen]
        )


class Street:
    """Draws the hours of one market."""

    def __init__(
        self, world: World, settings: MarketSettings, shifts: Shifts, interests: Interests
    ) -> None:
        self.world, self.settings = world, settings
        self.shifts, self.interests = shifts, interests
        self._shape = week_shape()
        self.bots = max(1, round(settings.bots * settings.visits_per_day / BOT_VISITS))

    def weekday(self, day: int) -> int:
        """0 is Monday."""
        return int(self.settings.midnight_s(day) // DAY_S + 3) % 7

    def counts(self, day: int, hour: int) -> tuple[int, int, int]:
        """Visits of people, of bots, and those of either that floods add."""
        usual, share = self.settings.visits_per_day, self.settings.bots
        people = round(usual * (1 - share) * self._shape[self.weekday(day), hour])
        bots = round(usual * share / HOURS)
        flood = sum(self.shifts.flood(self._starts(day, hour)).values())
        return people, bots, round((people + bots) * flood / (1 - min(flood, 0.99)))

    def _starts(self, day: int, hour: int) -> float:
        return self.settings.midnight_s(day) + hour * HOUR_S

    def hour(self, day: int, hour: int) -> Traffic:
        """All visits of one hour."""
        rng = np.random.default_rng([STREAM, self.settings.seed, day, hour])
        people, bots, added = self.counts(day, hour)
        count = people + bots
        at_s = self._starts(day, hour) + HOUR_S * np.sort(rng.random(count))
        bot = np.zeros(count, np.bool_)
        bot[rng.permutation(count)[:bots]] = True
        user = np.where(bot, self._bots(rng, count), self._people(rng, count))
        domain = self._domains(user, at_s, rng)
        number = (np.int64(day * HOURS + hour) << 32) + np.arange(count + added)
        usual = Traffic(self._visits(user, at_s, domain, rng), at_s, bot, number[:count])
        if not added:
            return usual
        both = joined([usual, self._flood(self._starts(day, hour), number[count:], rng)])
        return both.rows(np.argsort(both.at_s, kind="stable"))

    def _people(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return (self.settings.users * rng.random(count) ** 1.5).astype(np.int64)

    def _bots(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return self.settings.users + rng.integers(0, self.bots, count)

    def _domains(
        self, user: NDArray[np.int64], at_s: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        tables = self.interests.tables
        own = self.interests.current(user, at_s, rng.random(len(user)))
        other = pick(tables.topic, 0, rng.random(len(user)))
        subject = np.where(rng.random(len(user)) < INTERESTED, own, other)
        domain = pick(tables.domain, subject, rng.random(len(user)))
        return np.where(domain >= DOMAINS - NEW_DOMAINS, domain - NEW_DOMAINS, domain)

    def _visits(
        self,
        user: NDArray[np.int64],
        at_s: NDArray[np.float64],
        domain: NDArray[np.int32],
        rng: np.random.Generator,
    ) -> Visits:
        world, tables, soul = self.world, self.interests.tables, self.interests.soul(user)
        country = pick(tables.country, 0, hashed_uniform(soul, 2))
        region = pick(world.region_of_country, country, hashed_uniform(soul, 3))
        device = pick(tables.device, 0, hashed_uniform(soul, 4))
        os = pick(world.os_of_device, device, hashed_uniform(soul, 6))
        speaks_main = hashed_uniform(soul, 5) < 0.8
        pairs = bag(tables.key_value, np.zeros(len(user), np.int64), rng, KEY_VALUES)
        return Visits(
            user=user,
            country=country,
            region=np.where(np.diff(world.region_start)[country] > 0, region, -1).astype(np.int32),
            device=device,
            os=os,
            browser=pick(world.browser_of_os, os, hashed_uniform(soul, 7)),
            language=np.where(speaks_main, world.country_language[country], 0).astype(np.int32),
            domain=domain,
            hour=(at_s // HOUR_S % HOURS).astype(np.int32),
            weekday=((at_s // DAY_S + 3) % 7).astype(np.int32),
            segment=self.interests.segments(user, at_s),
            keyword=bag(tables.keyword, domain, rng, KEYWORDS),
            category=world.domain_category[domain],
            key_value=once(pairs, tables.key_of[pairs]),
            placement=page(tables, device, rng),
        )

    def _flood(self, starts: float, number: NDArray[np.int64], rng: np.random.Generator) -> Traffic:
        """Visits of flooding domains, as many as `number`, in the hour that starts then."""
        flood, count = self.shifts.flood(starts), len(number)
        at_s = starts + HOUR_S * np.sort(rng.random(count))
        weight = np.array(list(flood.values()))
        domain = rng.choice(np.array(list(flood), np.int32), count, p=weight / weight.sum())
        visit = self._visits(self._people(rng, count), at_s, domain.astype(np.int32), rng)
        return Traffic(visit, at_s, np.zeros(count, np.bool_), number)


def joined(parts: list[Traffic]) -> Traffic:
    """End to end."""
    names = Visits.__slots__
    visit = Visits(
        *(np.concatenate([getattr(part.visit, name) for part in parts]) for name in names)
    )
    return Traffic(
        visit,
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("at_s", "bot", "number")
        ),
    )


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a market; hours are drawn when asked for, so that a day takes no more memory
    than its busiest hour."""

    number: int
    street: Street

    def __len__(self) -> int:
        return sum(sum(self.street.counts(self.number, hour)) for hour in range(HOURS))

    def hour(self, hour: int) -> Traffic:
        return self.street.hour(self.number, hour)

    def hours(self) -> Iterator[Traffic]:
        return (self.hour(hour) for hour in range(HOURS))
