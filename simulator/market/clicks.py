"""The true click rate of every (visit, ad, placement) of a market.

A logistic model like `simulator.truth`'s, whose terms it shares, but of the user's interest at the
moment instead of what segments say, and with tastes of countries, qualities of domains and
placements, and the hours of the week. A server can learn all of it but the user's own trait and as
much of the interest as neither segments nor earlier clicks give away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import names
from simulator.catalogue import Catalogue
from simulator.draw import normalised
from simulator.market.eligible import Fits
from simulator.market.interests import Interests
from simulator.market.kernels import best_ads, true_rates
from simulator.market.shifts import NEW_DOMAINS, Shifts
from simulator.market.traffic import Traffic
from simulator.truth import (
    DEVICE_EFFECT,
    LANGUAGE_PENALTY,
    Appeal,
    appeal,
    hour_effect,
    shape_effect,
    summed,
    trait,
)
from simulator.world import DOMAINS, World

LEAST, MOST = 0.0002, 0.25
BASE = -6.2
"""Log-odds of a mediocre ad for an indifferent user; about 1 % of randomly fitting ads are
clicked."""
USER_AFFINITY, PAGE_AFFINITY = 3.0, 2.0
OWN_TRAIT = 0.2
"""Standard deviation of the user's own log-odds, which nothing tells but the user's clicks."""
PER_POSITION = -0.22
OF_PLACEMENT, OF_DOMAIN, OF_COUNTRY = 0.15, 0.3, 0.25
"""Standard deviations of lasting effects: placement, domain, top category in a country."""
FLOODING = float(np.log(1 / 3))
"""Log-odds on domains that live from floods."""
BOT_RATE = 0.2
"""A bot clicks on this share of ads, whatever they are."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Visits as the truth sees them; [B] rows."""

    pull: NDArray[np.float32]
    """[B, TOPICS] log-odds that an ad wholly about each topic gains."""
    trait: NDArray[np.float32]
    """The user's own."""
    place: NDArray[np.float32]
    """Log-odds of device, language, domain, hour of the week and of shifts."""
    phone: NDArray[np.int8]
    hour: NDArray[np.int32]
    """0-23"""
    country: NDArray[np.int32]
    certain: NDArray[np.float32]
    """A bot's click rate; -1 for people."""

    def __len__(self) -> int:
        return len(self.hour)


@dataclass(frozen=True, slots=True)
class Worth:
    """What each ad pays, in micros, and what a page accepts."""

    per_click: NDArray[np.float64]
    per_view: NDArray[np.float64]
    """[N]; an ad that pays neither is never the best."""
    owner: NDArray[np.int32]
    """[N] no two ads of one owner stand on a page."""
    floor: NDArray[np.float64]
    """[placements] the least that an ad must bring for being shown."""


@dataclass(frozen=True, slots=True)
class Best:
    """[B, SLOTS] what a page would show if all truth were known."""

    ad: NDArray[np.int32]
    """-1 for none."""
    rate: NDArray[np.float64]
    """True click rate there."""
    value: NDArray[np.float64]
    """Micros that it is expected to pay."""


class Clicks:
    """The truth of one market."""

    def __init__(
        self, made: Catalogue, shifts: Shifts, interests: Interests, more: float = 0.0
    ) -> None:
        """`more` log-odds than usual."""
        world = made.world
        self.world, self.shifts, self.interests = world, shifts, interests
        what = appeal(made)
        self.what: Appeal = replace(what, bias=what.bias + np.float32(BASE + more))
        number = np.arange(len(world.placement))
        position = np.array([one.position for one in world.placement])
        of_placement = PER_POSITION * position + trait(number, 53, OF_PLACEMENT)
        self.by_placement: NDArray[np.float32] = of_placement.astype(np.float32)
        self.by_shape = shape_effect(world).astype(np.float32)
        self.by_hour = hour_effect().astype(np.float32)
        self.by_country = _tastes(world)
        """[countries, top categories]"""
        domain = trait(np.arange(DOMAINS), 55, OF_DOMAIN)
        domain[-NEW_DOMAINS:] = FLOODING
        self._domain = domain
        self._device = np.array([DEVICE_EFFECT[name] for name in world.device.name])
        self._week = week_effect()

    def crowd(self, traffic: Traffic) -> Crowd:
        """The visits of `traffic`, row by row; about 0.3 µs each."""
        visit, world = traffic.visit, self.world
        pages = summed(world.category.topic, visit.category)
        keywords = summed(world.keyword.topic, visit.keyword)
        pull = USER_AFFINITY * self.interests.vectors(visit.user, traffic.at_s)
        pull += PAGE_AFFINITY * normalised(pages + 0.7 * keywords)
        certain = np.where(traffic.bot, np.float32(BOT_RATE), np.float32(-1))
        return Crowd(
            pull=pull.astype(np.float32),
            trait=trait(self.interests.soul(visit.user), 60, OWN_TRAIT).astype(np.float32),
            place=self._place(traffic),
            phone=(visit.device == world.device.name.index("phone")).astype(np.int8),
            hour=visit.hour,
            country=visit.country,
            certain=certain.astype(np.float32),
        )

    def _place(self, traffic: Traffic) -> NDArray[np.float32]:
        visit = traffic.visit
        foreign = visit.language != self.world.country_language[visit.country]
        total = self._device[visit.device] + LANGUAGE_PENALTY * foreign + self._domain[visit.domain]
        total += self._week[visit.weekday, visit.hour]
        total += self.shifts.click_log_odds(
            traffic.at_s, {"country": visit.country, "device": visit.device}
        )
        place: NDArray[np.float32] = total.astype(np.float32)
        return place

    def rates(
        self,
        crowd: Crowd,
        visit: NDArray[np.integer],
        ad: NDArray[np.integer],
        placement: NDArray[np.integer],
    ) -> NDArray[np.float64]:
        """[P] probability of a click on ad row `ad` in a slot of kind `placement` of visit row
        `visit`; about 0.02 µs a pair."""
        rate = np.empty(len(visit))
        rows = (np.asarray(one, np.int32) for one in (visit, ad, placement))
        true_rates(*self._columns(crowd), *rows, rate)
        return rate

    def _columns(self, crowd: Crowd) -> tuple[Any, ...]:
        """In the order in which the kernels take them."""
        what = self.what
        return (
            crowd.pull, crowd.trait + crowd.place, crowd.phone, crowd.hour, crowd.country,
            what.topic, what.bias, what.size, what.top,
            self.by_shape, self.by_hour, self.by_country,
            crowd.certain, self.by_placement, LEAST, MOST,
        )  # fmt: skip

    def best(self, crowd: Crowd, fits: Fits, worth: Worth) -> Best:
        """The most valuable choice of ads for each page, no two of one owner."""
        shape = fits.placement.shape
        best = Best(np.full(shape, -1, np.int32), np.zeros(shape), np.zeros(shape))
        best_ads(
            *self._columns(crowd), fits.placement, fits.offset, fits.ad, fits.slots,
            worth.per_click, worth.per_view, worth.owner, worth.floor,
            best.ad, best.rate, best.value,
        )  # fmt: skip
        return best

    def log_odds(
        self,
        crowd: Crowd,
        visit: NDArray[np.integer],
        ad: NDArray[np.integer],
        placement: NDArray[np.integer],
    ) -> dict[str, NDArray[np.float64]]:
        """[P] the parts whose sum is the log-odds of `rates` for people: the model written down.

        `trait` is hidden from a server, `topics` is in part; the others can be learnt whole.
        """
        what, top = self.what, self.what.top[ad]
        own = (crowd.pull[visit].astype(np.float64) * what.topic[ad]).sum(axis=1)
        return {
            "topics": own,
            "trait": crowd.trait[visit].astype(np.float64),
            "place": crowd.place[visit].astype(np.float64),
            "ad": what.bias[ad].astype(np.float64),
            "placement": self.by_placement[placement].astype(np.float64),
            "shape": self.by_shape[what.size[ad], crowd.phone[visit]].astype(np.float64),
            "hour": self.by_hour[top, crowd.hour[visit]].astype(np.float64),
            "country": self.by_country[crowd.country[visit], top].astype(np.float64),
        }


def _tastes(world: World) -> NDArray[np.float32]:
    tops = len(names.CATEGORIES)
    cell = np.arange(len(world.country) * tops)
    return trait(cell, 54, OF_COUNTRY).astype(np.float32).reshape(-1, tops)


def week_effect() -> NDArray[np.float64]:
    """[7, 24] log-odds of each hour from Monday on: people click more in the evening and at
    weekends."""
    evening = 0.15 * np.cos((np.arange(24) - 21) / 24 * 2 * np.pi)
    weekend = np.array([0.0, 0.0, 0.0, 0.0, 0.05, 0.15, 0.1])
    return weekend[:, None] + evening
