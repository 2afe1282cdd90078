"""Releases in a simulated market: the real worker counts, judges and moves, on simulated time."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import msgspec
import pytest
from model_variants import exported, repository_at

from adserver.driving import place
from adserver.driving.drive import DriveSettings
from adserver.releases.registry import Registry
from adserver.releases.states import State
from adserver.settings import Settings
from simulator.market.market import Market
from simulator.market.settings import MarketSettings

HOURS = (12, 13)
LIMITS = {
    "shadow_s": 600, "canary1_s": 600, "canary10_s": 1200, "rows": 2_000, "requests": 5,
    "clicks": 0.1, "settle_s": 60,
}  # fmt: skip
SALT = "a market"
"""By which people fall to a canary. A registry draws its own, and then few visits are as likely to
be anybody's: how many a tenth of the people make would be chance."""


@pytest.fixture(scope="module")
def market():
    return Market(MarketSettings(ads=300, visits_per_day=16_000, days=1, bots=0.02))


async def played(market, settings):
    start_s = market.midnight_s(0) + 3600 * HOURS[0]
    drive = await place.opened(market, settings, start_s, DriveSettings(regret_one_in=1000))
    await drive.play(0, HOURS)
    serving = drive.worker.readiness()["model"]
    await place.closed(drive)
    return serving


def released(market, folder, to, limits=LIMITS, **change):
    """The record and who decides after two hours with a second model that began in a state."""
    registry = Registry(repository_at(folder / "models"))
    registry.change(lambda found: msgspec.structs.replace(found, salt=SALT))
    at_ms = int(1000 * (market.midnight_s(0) + 3600 * HOURS[0]))
    registry.register(exported(folder / "run", **change), at_ms)
    registry.promote(2, to, at_ms, "a test", {})
    base = Settings(
        model_repository=registry.repository, candidates=32, fewest_candidates=8,
        release_limits=json.dumps(limits),
    )  # fmt: skip
    settings = place.settings_for(folder / "data", base)
    place.prepare(market, settings)
    serving = asyncio.run(played(market, settings))
    return registry.read(), serving


def test_a_model_as_good_as_productions_goes_up_state_by_state(market, tmp_path):
    found, serving = released(market, tmp_path, State.SHADOW, rate=1.02)

    mine = [move for move in found.moves if move.version == 2]
    assert [move.to for move in mine] == list(State)[:-1]
    ages_s = [(after.at_ms - move.at_ms) / 1000 for move, after in pairwise(mine[1:])]
    assert all(age >= least for age, least in zip(ages_s, (600, 600, 1200), strict=True))
    assert mine[2].numbers["correlation"] > 0.99
    assert mine[-1].numbers["requests"] >= LIMITS["requests"]
    assert serving == 2


def test_a_model_whose_click_rates_are_far_off_is_rolled_back(market, tmp_path):
    """Long before it could go up, for want of the clicks that it promised."""
    hour = LIMITS | {"canary10_s": 3600}

    found, serving = released(market, tmp_path, State.CANARY_10, hour, rate=20.0)

    assert (found.states[2], serving) == (State.RETIRED, 1)
    assert found.moves[-1].reason.startswith("automatic: ")
    assert found.moves[-1].at_ms - found.moves[-2].at_ms < 3_600_000
