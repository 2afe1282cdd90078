"""A living marketplace whose truth is known: the world that a learning server is tried against.

    market = Market(MarketSettings(seed=1, ads=5_000, visits_per_day=100_000))
    market.catalogue                      every ad of all days, with flight dates: load it once
    for day in range(5):
        for traffic in market.day(day).hours():          # visits in the order of their time
            body = market.request(traffic, 0)            # as POST /v1/decision takes it
            crowd = market.crowd(traffic)                # the same rows as the truth sees them
            rate = market.truth(crowd, visit, ad, placement)           # of ANY pairs
            seen = market.respond(crowd, shown, rng)     # clicks and conversions, with delays
            fits = market.fitting(traffic)               # every ad that could have been shown
            best = market.best(crowd, fits, market.worth())  # and the most valuable of them

What is a row: `visit` counts rows of the `traffic` that `crowd` was made of; `ad` rows of
`market.catalogue.ads` (the server's ad id is row + 1); `placement` rows of
`market.world.placement` (its `key` is the server's zone id), of a visit's slot s that is
`traffic.visit.placement[visit, s]`. Names of all other columns are in `market.world`
(`market.world.country.name[traffic.visit.country[visit]]`; the user's key is
f"u{traffic.visit.user[visit]}").

Equal settings give equal markets on any machine. Each hour of each day is drawn from a generator
of its own: any may be asked for, in any order, as often as needed. The market keeps no state: what
a server shows does not change what comes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.draw import hashed_uniform
from simulator.market.clicks import Best, Clicks, Crowd, Worth
from simulator.market.eligible import Eligible, Fits
from simulator.market.flights import flown, live
from simulator.market.interests import Interests
from simulator.market.responses import Fate, Responses, conversion_rates, respond
from simulator.market.settings import MarketSettings
from simulator.market.shifts import Shifts
from simulator.market.traffic import Day, Street, Traffic
from simulator.traffic import decision
from simulator.truth import Appeal
from simulator.world import World

MILLE = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """[P] ads shown; may repeat visits."""

    visit: NDArray[np.int32]
    ad: NDArray[np.int32]
    placement: NDArray[np.int32]


class Market:
    """Raises ValueError, with all mistakes, on settings that make no market."""

    def __init__(self, settings: MarketSettings) -> None:
        self.settings = settings
        self.world = World(settings.world)
        self._shifts = Shifts(self.world, settings)
        self.catalogue = flown(self.world, settings)
        """Ids of the rows that `simulator.records` writes of it are row + 1."""
        self.interests = Interests(self.world, settings, self._shifts)
        """What users like at any moment; no server knows."""
        self._street = Street(self.world, settings, self._shifts, self.interests)
        more = settings.click_log_odds
        self._clicks = Clicks(self.catalogue, self._shifts, self.interests, more)
        self._conversion = conversion_rates(len(self.catalogue.advertisers.quality))

    @cached_property
    def _eligible(self) -> Eligible:
        return Eligible(self.catalogue)

    def midnight_s(self, day: int) -> float:
        """Wall seconds at which `day` begins; `midnight_s(day + 1)` is its end."""
        return self.settings.midnight_s(day)

    def live(self, day: int) -> NDArray[np.bool_]:
        """[N] ads in flight on that day, from midnight to midnight."""
        running = live(self.catalogue.line_items, self.midnight_s(day))
        return running[self.catalogue.ads.line_item]

    def day(self, number: int) -> Day:
        """The visits of a day, drawn hour by hour when asked for."""
        return Day(number, self._street)

    def request(self, traffic: Traffic, row: int) -> dict[str, Any]:
        """Visit `row` as a body of POST /v1/decision; about 25 µs."""
        number = traffic.number[row : row + 1]
        view = int(hashed_uniform(number, 57)[0] * 2**53)
        return decision(self.world, traffic.visit, row, f"{int(number[0]):x}", f"{view:016x}")

    def crowd(self, traffic: Traffic) -> Crowd:
        """The visits as the truth sees them, row by row; about 0.3 µs each."""
        return self._clicks.crowd(traffic)

    def truth(
        self,
        crowd: Crowd,
        visit: NDArray[np.integer],
        ad: NDArray[np.integer],
        placement: NDArray[np.integer],
    ) -> NDArray[np.float64]:
        """[P] true click probability of each ad in a slot of that kind on that visit.

        Whether or not it fits, and whether or not it is in flight. A bot's is the same for all ads:
        leave `traffic.bot` rows out of regret. About 0.02 µs a pair.
        """
        return self._clicks.rates(crowd, visit, ad, placement)

    @property
    def appeal(self) -> Appeal:
        """What each ad is about, and its own log-odds; no server knows."""
        return self._clicks.what

    def truth_by_part(
        self,
        crowd: Crowd,
        visit: NDArray[np.integer],
        ad: NDArray[np.integer],
        placement: NDArray[np.integer],
    ) -> dict[str, NDArray[np.float64]]:
        """[P] log-odds by cause: `trait` is hidden from servers, `topics` in part, the rest not."""
        return self._clicks.log_odds(crowd, visit, ad, placement)

    def respond(self, crowd: Crowd, shown: Shown, rng: np.random.Generator) -> Responses:
        """What comes of the ads shown; the same generator and rows give the same answer."""
        return self._responses(crowd, shown, Fate.drawn(len(shown.ad), rng))

    def fated(self, traffic: Traffic, crowd: Crowd, shown: Shown) -> Responses:
        """The same, but who clicks what is settled beforehand: an ad shown on a visit meets the
        same answer whatever else is shown, so that servers can be compared on equal luck."""
        fate = Fate.of(traffic.number[shown.visit], shown.ad, self.settings.seed)
        return self._responses(crowd, shown, fate)

    def _responses(self, crowd: Crowd, shown: Shown, fate: Fate) -> Responses:
        truth = self.truth(crowd, shown.visit, shown.ad, shown.placement)
        advertiser = self.catalogue.ad_advertiser()[shown.ad]
        bot = crowd.certain[shown.visit] >= 0
        return respond(truth, bot, self._conversion[advertiser], fate)

    def fitting(self, traffic: Traffic) -> Fits:
        """Every ad that may be shown on each visit, by slot, within one day; `.pairs()` has rows
        for `truth`. About 7 µs a visit among 5 000 ads: meant for catalogues of thousands."""
        return self._eligible.fitting(traffic)

    def worth(self, running: NDArray[np.bool_] | None = None) -> Worth:
        """Bids and floors as they are, one ad of an advertiser on a page.

        `running` [L]: line items that can pay, where a server knows that others cannot.
        """
        items, owner = self.catalogue.line_items, self.catalogue.ads.line_item
        bid = np.where(True if running is None else running, items.bid_micros, 0)[owner]
        per_click, floors = (
            items.per_click[owner],
            [one.floor_micros for one in self.world.placement],
        )
        return Worth(
            per_click=np.where(per_click, bid, 0).astype(np.float64),
            per_view=np.where(per_click, 0.0, bid / MILLE),
            owner=self.catalogue.ad_advertiser(),
            floor=np.array(floors) / MILLE,
        )

    def best(self, crowd: Crowd, fits: Fits, worth: Worth) -> Best:
        """The oracle: the ads whose expected payment is highest in sum on each page.

        `crowd` and `fits` are of the same traffic; bots' rows mean nothing. What a server could
        earn at most at first prices. About 7 µs a visit among 7 100 ads (bench/market.py).
        """
        return self._clicks.best(crowd, fits, worth)
