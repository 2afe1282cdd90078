"""Simulated markets played through the real worker, and what the oracle makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import product

import numpy as np
import orjson
import pytest

from adserver.driving import place
from adserver.driving.asking import Asker
from adserver.driving.drive import DriveSettings
from adserver.driving.people import People
from adserver.driving.regret import best_sum
from adserver.driving.tally import Tally
from adserver.eventlog import read
from adserver.records import ClickRecord, DecisionRecord, EventRecord, ImpressionRecord
from adserver.settings import Settings
from adserver.tokens import Kind
from adserver.wire import decision as wire_decision
from simulator.market.market import Market
from simulator.market.settings import MarketSettings

HOURS = (12, 13)


@pytest.fixture(scope="module")
def market():
    return Market(MarketSettings(ads=400, visits_per_day=4_000, days=2, bots=0.05))


async def _played(market, settings):
    drive = await place.opened(
        market, settings, market.midnight_s(0) + 3600 * HOURS[0], DriveSettings(regret_one_in=5)
    )
    tally = await drive.play(0, HOURS)
    faults = [*drive.worker.drawer.bank.check(), *drive.worker.pipeline.exposure.check()]
    await place.closed(drive)
    return tally, faults


@pytest.fixture(scope="module")
def played(market, tmp_path_factory):
    """Two hours of the market, twice: settings, tally and faults of each."""
    runs = []
    for name in ("one", "other"):
        folder = tmp_path_factory.mktemp(name)
        settings = place.settings_for(folder, Settings(candidates=64, fewest_candidates=8))
        place.prepare(market, settings)
        runs.append((settings, *asyncio.run(_played(market, settings))))
    return runs


def test_the_driver_asks_what_a_publisher_would_send(market):
    traffic = market.day(0).hour(12)

    asked = Asker(market.world).requests(traffic)

    bodies = [orjson.dumps(market.request(traffic, row)) for row in range(len(traffic))]
    assert asked == [wire_decision.parse(body) for body in bodies]


def test_the_same_market_and_state_play_the_same_hours(played):
    (_, one, _), (_, other, _) = played

    assert one.rows() == other.rows()


def test_money_counted_by_the_driver_is_the_money_of_the_log_and_the_books_hold(played):
    settings, tally, faults = played[0]

    records = list(read(settings.adserver_data / "events"))

    billed = sum(one.billed_micros for one in records if isinstance(one, EventRecord))
    assert billed == tally.day(0).revenue_micros > 0
    assert faults == []


def test_each_sold_slot_is_shown_once_and_clicks_come_later_than_what_they_are_of(played):
    settings, tally, _ = played[0]

    records = list(read(settings.adserver_data / "events"))

    shown = {(r.decision, r.slot): r.t for r in records if isinstance(r, ImpressionRecord)}
    clicks = [r for r in records if isinstance(r, ClickRecord)]
    waiting = People.load(settings.adserver_data / place.PENDING).counts()["IMPRESSION"]
    assert len(shown) + waiting == tally.day(0).sold
    assert clicks
    assert all(click.t > shown[click.decision, click.slot] for click in clicks)


def test_simulated_time_stands_in_the_log(market, played):
    settings, _, _ = played[0]

    decided = [
        r.t
        for r in read(settings.adserver_data / "events")
        if isinstance(r, DecisionRecord) and not r.test
    ]

    begin = int(1000 * (market.midnight_s(0) + 3600 * HOURS[0]))
    assert begin <= min(decided) <= max(decided) <= begin + 2 * 3_600_000


def test_regret_lies_between_nothing_and_everything(played):
    _, tally, _ = played[0]

    sums = tally.day(0)

    assert sums.asked_oracle > 20
    assert 0.0 < sums.regret < 1.0
    assert sums.achieved_micros <= sums.best_micros


def test_a_tally_survives_being_written_down(played):
    _, tally, _ = played[0]

    again = Tally.of_rows(orjson.loads(orjson.dumps(tally.rows())))

    assert again == tally


def test_what_people_are_still_to_do_survives_being_written_down(tmp_path):
    people = People()
    people.add(30, Kind.CLICK, "b", "m/1")
    people.add(10, Kind.IMPRESSION, "b", "m/1")
    people.save(tmp_path / "people")

    again = People.load(tmp_path / "people")

    assert [one.due_ms for one in again.waiting] == [10, 30]
    assert replace(again, waiting=[]) == replace(people, waiting=[])


def _best_of_all(slot, advertiser, value):
    """Every way to fill the slots."""
    rows = [[None, *np.flatnonzero(slot == number)] for number in np.unique(slot)]
    best = 0.0
    for chosen in product(*rows):
        taken = [row for row in chosen if row is not None]
        owners = [advertiser[row] for row in taken]
        if len(owners) == len(set(owners)):
            best = max(best, float(sum(value[row] for row in taken)))
    return best


def test_the_oracle_finds_the_best_of_all_ways_to_fill_a_page(rng):
    for _ in range(100):
        count = int(rng.integers(0, 9))
        slot, advertiser = rng.integers(0, 3, count), rng.integers(0, 4, count)
        value = rng.random(count).round(2)

        assert best_sum(slot, advertiser, value) == pytest.approx(
            _best_of_all(slot, advertiser, value)
        )
