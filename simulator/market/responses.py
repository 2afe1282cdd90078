"""What people and bots do with an ad shown to them: click, sooner or later, and buy, or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.draw import hashed_uniform

SOON, LATE = 12.0, 480.0
"""Median seconds to a click: of most, and of the LATER share that come back to the page's tab."""
SOON_SPREAD, LATE_SPREAD = 1.0, 1.2
LATER = 0.08
BOT_DELAY_S = 0.9
"""A bot clicks before that."""
DAY_S = 86_400.0
BUYING_MEDIAN_S, BUYING_SPREAD = 7_200.0, 1.9
BUYING_LEAST_S, BUYING_MOST_S = 60.0, 14 * DAY_S
USUAL_CONVERSION = 0.05
CONVERSION_SPREAD = 0.6
FATE = 100
"""First of seven streams of `hashed_uniform`."""


@dataclass(frozen=True, slots=True)
class Responses:
    """[P] what came of each ad shown; seconds from its rendering, infinite where nothing did."""

    truth: NDArray[np.float64]
    """Click rate that `click` was drawn from."""
    click: NDArray[np.bool_]
    click_delay_s: NDArray[np.float64]
    """Median 13 s; 3 % take longer than ten minutes. Bots take less than a second."""
    conversion: NDArray[np.bool_]
    """Only after a click of a person."""
    conversion_delay_s: NDArray[np.float64]
    """From the rendering too: the click and 1 minute ... 14 days, two hours in the median."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What chance has in store for P ads shown."""

    uniform: NDArray[np.float64]
    """[3, P]"""
    normal: NDArray[np.float64]
    """[2, P]"""

    @classmethod
    def drawn(cls, count: int, rng: np.random.Generator) -> Fate:
        return cls(rng.random((3, count)), rng.normal(size=(2, count)))

    @classmethod
    def of(cls, number: NDArray[np.int64], ad: NDArray[np.integer], seed: int) -> Fate:
        """Of ads on visits of these numbers: the same ad on the same visit has the same fate,
        whatever else a server shows, so that two servers differ by what they choose alone."""
        key = (number ^ np.int64(seed << 40)) * np.int64(1_000_003) + ad
        part = np.stack([hashed_uniform(key, FATE + stream) for stream in range(7)])
        radius = np.sqrt(-2.0 * np.log1p(-part[3:5]))  # Box and Muller 1958
        return cls(part[:3], radius * np.cos(2 * np.pi * part[5:7]))


def respond(
    truth: NDArray[np.float64],
    bot: NDArray[np.bool_],
    conversion_rate: NDArray[np.float64],
    fate: Fate,
) -> Responses:
    """What comes of P ads shown; the same fate gives the same answer."""
    chance, normal = fate.uniform, fate.normal
    click = chance[0] < truth
    late = chance[1] < LATER
    median, spread = np.where(late, LATE, SOON), np.where(late, LATE_SPREAD, SOON_SPREAD)
    delay = np.where(bot, BOT_DELAY_S * chance[1], 0.5 + median * np.exp(spread * normal[0]))
    conversion = click & ~bot & (chance[2] < conversion_rate)
    buying = BUYING_MEDIAN_S * np.exp(BUYING_SPREAD * normal[1])
    buying = np.clip(buying, BUYING_LEAST_S, BUYING_MOST_S)
    return Responses(
        truth=truth,
        click=click,
        click_delay_s=np.where(click, delay, np.inf),
        conversion=conversion,
        conversion_delay_s=np.where(conversion, delay + buying, np.inf),
    )


def conversion_rates(advertisers: int) -> NDArray[np.float64]:
    """[A] conversions a click of each advertiser: about one in twenty, with a heavy tail."""
    uniform = hashed_uniform(np.arange(advertisers), 56)
    spread = CONVERSION_SPREAD * np.sqrt(12.0) * (uniform - 0.5)
    rate: NDArray[np.float64] = USUAL_CONVERSION * np.exp(spread)
    return rate
