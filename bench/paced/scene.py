"""What a simulated day of paced campaigns is like: its traffic, its size, its plan, its outcome.

Knows no server, no auction and no pacer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auction.traffic import HOURS, CurveLearner

I64 = NDArray[np.int64]

FORECASTS = (0.5, 1.0, 2.0)
"""Traffic over what was expected."""
DEMAND = 4.0
"""What a campaign could spend, over its budget, if the traffic is what was expected."""
BID = 4_000
"""Micros that an impression is worth to a campaign; the median price is half of it."""
SHOWN = 0.9


@dataclass(frozen=True, slots=True)
class Scene:
    """One day to be simulated."""

    shape: str
    workers: int = 1
    killed: bool = False
    campaigns: int = 3
    """Per forecast and pricing."""
    hour_s: int = 360
    budget_micros: int = 15_000_000
    click_ppm: int = 50_000
    seed: int = 1

    @property
    def day_s(self) -> int:
        return 24 * self.hour_s

    @property
    def click_micros(self) -> int:
        """What a click is worth."""
        return BID * 1_000_000 // self.click_ppm

    @property
    def hold_s(self) -> int:
        """Six minutes of the day."""
        return self.hour_s // 10

    def hours(self) -> NDArray[np.float64]:
        """[24] expected traffic, 1 on average."""
        hour = np.arange(24)
        peaks = 0.3 + np.exp(-((hour - 9) ** 2) / 8) + 1.3 * np.exp(-((hour - 20) ** 2) / 6)
        weight = peaks if self.shape in {"double", "unlearnt"} else np.ones(24)
        level: NDArray[np.float64] = weight / weight.mean()
        return level

    def learnt(self) -> CurveLearner:
        known = np.ones(24) if self.shape == "unlearnt" else self.hours()
        return CurveLearner(np.tile(known * 1000, HOURS // 24), float(self.hour_s))

    def requests_per_s(self) -> float:
        """At which a whole bid spends DEMAND times the budget."""
        price = np.random.default_rng(0).lognormal(np.log(BID / 2), 1.0, 200_000)
        per_request = price[price < BID].sum() / len(price) * SHOWN
        return float(DEMAND * self.budget_micros / per_request / self.day_s)

    def bursts(self, rng: np.random.Generator, campaigns: int) -> NDArray[np.float64]:
        """[day, C] traffic over the hour's: in spiky traffic bursts of two to six times, of one to
        seven minutes each, three an hour, on top of it: what supply cannot give no pacer can."""
        burst = np.ones((self.day_s, campaigns))
        if self.shape != "spiky":
            return burst
        minute = self.hour_s / 60
        for campaign in range(campaigns):
            for begin in rng.integers(0, self.day_s, 24 * 3):
                last = int(begin + minute * rng.uniform(1, 7))
                burst[begin:last, campaign] *= rng.uniform(2, 6)
        most: NDArray[np.float64] = np.minimum(burst, 12.0)
        return most


@dataclass(slots=True)
class Outcome:
    """[C] campaigns."""

    spent: I64
    hourly: I64
    """[24, C] micros billed."""
    sold: NDArray[np.float64]
    """[24, C] expected charge for what was sold: without the chance of who sees and who clicks."""
    events: I64
    """[C] billed."""
    plan: NDArray[np.float64]
    """[24]"""
    scene: Scene
    per_click: NDArray[np.bool_]
    faults: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> NDArray[np.float64]:
        return self.spent / self.scene.budget_micros

    def deviation(self, hourly: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
        """[24, C] distance of each hour from that hour's plan, over that hour's plan."""
        plan = self.plan[:, None]
        found: NDArray[np.float64] = np.abs(hourly - plan) / plan
        return found
