"""The simulated market's log in the click model's terms: the one place that knows both."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.features.cells import place_hash
from adserver.features.replay import Decided, Events, Keys, Known, Replay
from ranking.columns import Coded, RequestColumns, encode_request_columns
from ranking.dataset import Impressions
from ranking.features import (
    AD_FIELDS,
    AdFields,
    encode_ads,
    encode_slot,
    encoded_topic,
    words_of,
)
from simulator.catalogue import Catalogue
from simulator.impressions import ad_columns, request_columns, slot_names
from simulator.market.log import Logged, logged
from simulator.market.market import Market
from simulator.market.settings import MarketSettings
from simulator.market.traffic import HOURS, Traffic
from simulator.visits import SLOTS
from simulator.world import World

Progress = Callable[[str, float], None]
DAYS = 14
"""Of the market that is played: two of the longest window in which is counted."""
HOUR_MS = 3_600_000
RENDERED_MS = 1_000
"""From decision to impression."""
NEW_SHARE = MarketSettings().new_share
MANY = 6_000_000
"""Visits from which on older impressions without a click are thinned to as many as these have."""
WHOLE = 400_000
"""Visits of the last day, the newest, that are never thinned: they calibrate and judge."""


def simulated(
    ads: int,
    visits: int,
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> Impressions:
    """About 1.7 impressions a visit, of the people of two weeks of the default market.

    Its ads, those of all days, are the `ads` ads that `adserver demo` makes; counts and histories
    are what a server would have known at each decision, of an empty store on the first day. `seed`
    draws what is shown and clicked. About 10 s per million visits. Of `MANY` visits and more, a
    share of the unclicked impressions before the newest is kept, each with the weight of all that
    it stands for: clicks are what a model learns from, and memory is what it costs.
    """
    market = Market(
        MarketSettings(
            ads=ceil(ads / (1 + NEW_SHARE * DAYS)), visits_per_day=visits // DAYS, days=DAYS
        )
    )
    return of_market(market, seed, min(1.0, MANY / visits), progress)


def of_market(
    market: Market,
    seed: int,
    share: float = 1.0,
    progress: Progress = lambda stage, share: None,
) -> Impressions:
    """All days of a market; of the unclicked impressions before the newest, this share."""
    days = market.settings.days
    catalogue = encoded_ads(market.catalogue)
    rng = np.random.default_rng(seed)
    log, whole = _Log(market, catalogue), _whole_from(market)
    for number, hour in enumerate(logged(market, rng)):
        own = share if number < whole else 1.0
        log.add(hour, hour.click | (rng.random(len(hour.ad)) < own), own)
        progress("impressions", (number + 1) / (HOURS * days))
    return log.impressions(catalogue)


def _whole_from(market: Market) -> int:
    """The hour, counted from the first day's first, from which on nothing is thinned."""
    days = market.settings.days
    last = market.day(days - 1)
    newest_first = [sum(last.street.counts(last.number, hour)) for hour in reversed(range(HOURS))]
    kept = int(np.searchsorted(np.cumsum(newest_first), WHOLE)) + 1
    return HOURS * days - min(kept, HOURS)


class _Log:
    """Hours of a market, encoded one after the other."""

    def __init__(self, market: Market, catalogue: NDArray[np.int32]) -> None:
        made = market.catalogue
        keys = Keys(
            ad=np.arange(1, len(made.ads) + 1),
            advertiser=made.ad_advertiser().astype(np.int64) + 1,
            topic=encoded_topic(AD_FIELDS, catalogue).astype(np.int64),
            place=np.array([place_hash(one.key) for one in market.world.placement], np.uint64),
        )
        self.market, self.slots, self.visits = market, _slots(market.world), 0
        start_ms = int(market.midnight_s(0) * 1000)
        self.replay = Replay(keys, market.settings.users, start_ms)
        self.requests: list[NDArray[np.int32]] = []
        self.columns: list[tuple[NDArray[Any], ...]] = []

    def add(self, hour: Logged, kept: NDArray[np.bool_], share: float) -> None:
        """The next hour, of which the `kept` impressions [R] are learnt from.

        They are all that were clicked, and a share of the others.
        """
        time_ms = (hour.traffic.at_s * 1000).astype(np.int64)
        user = hour.traffic.visit.user
        decided = Decided(time_ms, user, hour.of, hour.ad, hour.placement)
        until_ms = (int(time_ms[0]) // HOUR_MS + 1) * HOUR_MS
        known = self.replay.play(decided, _events(decided, hour), until_ms)
        used, of = np.unique(hour.of[kept], return_inverse=True)
        self.requests.append(_requests(self.market.world, hour.traffic.rows(used), known, used))
        click = hour.click[kept]
        self.columns.append((
            (of + self.visits).astype(np.int32),
            hour.ad[kept],
            self.slots[hour.placement[kept], hour.number[kept]],
            click.astype(np.uint8),
            hour.truth[kept].astype(np.float32),
            known.counts[kept],
            np.where(click, 1.0, 1.0 / share).astype(np.float32),
            time_ms[hour.of[kept]],
        ))  # fmt: skip
        self.visits += len(used)

    def impressions(self, catalogue: NDArray[np.int32]) -> Impressions:
        """All of them; the log is empty afterwards, which halves the memory at the peak."""
        request = _joined(self.requests)
        parts = [list(part) for part in zip(*self.columns, strict=True)]
        self.columns.clear()
        return Impressions(request, catalogue, *(_joined(part) for part in parts))


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """End to end; `parts` is emptied on the way."""
    length = sum(map(len, parts))
    whole = np.empty((length, *parts[0].shape[1:]), parts[0].dtype)
    while parts:
        last = parts.pop()
        whole[length - len(last) : length] = last
        length -= len(last)
    return whole


def _events(decided: Decided, hour: Logged) -> Events:
    """An impression of each ad shown, and the clicks, at their moments."""
    rendered_ms = decided.time_ms[decided.of] + RENDERED_MS
    person = decided.person[decided.of]
    row = np.flatnonzero(hour.click)
    clicked_ms = rendered_ms[row] + (hour.click_delay_s[row] * 1000).astype(np.int64)
    seen = np.zeros(len(rendered_ms), np.bool_)
    shown = Events(rendered_ms, person, hour.ad, hour.placement, seen)
    hit = Events(clicked_ms, person[row], hour.ad[row], hour.placement[row], hour.click[row])
    return shown.joined(hit)


def encoded_ads(market: Catalogue) -> NDArray[np.int32]:
    """Every ad of a simulated catalogue, encoded as the snapshot builder encodes the same ads."""
    columns = ad_columns(market)
    words = [words_of(text) for text in columns.pop("text")]
    return encode_ads(AdFields(**columns, words=words))


def _requests(
    world: World, traffic: Traffic, known: Known, row: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Of these visits; `row` are theirs of what was known."""
    fields: dict[str, Any] = {
        name: Coded(*column) if isinstance(column, tuple) else column
        for name, column in request_columns(world, traffic.visit).items()
    }
    columns = RequestColumns(**fields, clicked=known.clicked[row], seen=known.seen[row])
    return encode_request_columns(columns)


def _slots(world: World) -> NDArray[np.int32]:
    """[placements, numbers, 3] every slot that a visit can have."""
    return np.array(
        [[encode_slot(*one, number) for number in range(SLOTS)] for one in slot_names(world)]
    )
