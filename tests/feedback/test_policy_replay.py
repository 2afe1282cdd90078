"""Decisions of a driven market, replayed: as they were to the micro, and by other policies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from adserver.auctions.other_model import OtherModel
from adserver.auctions.sample import read_sample
from adserver.cli import app
from adserver.driving import place
from adserver.driving.drive import DriveSettings
from adserver.settings import Settings
from feedback.policy.recorded import Kept, Repeated
from simulator.market.market import Market
from simulator.market.settings import MarketSettings

HOURS = (12, 13)
POLICIES = ("gamma=0.6", "floor=+50%", "bid")


async def _played(market, settings):
    start_s = market.midnight_s(0) + 3600 * HOURS[0]
    drive = await place.opened(market, settings, start_s, DriveSettings(regret_one_in=1_000_000))
    tally = await drive.play(0, HOURS)
    await place.closed(drive)
    return tally


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two hours with 15 % exploration, one usual page in two kept; settings and what happened."""
    market = Market(MarketSettings(ads=400, visits_per_day=26_000, days=1, bots=0.0))
    base = Settings(
        candidates=48, fewest_candidates=8, exploration=0.15, auction_sample_one_in=2,
        fairness_window=1_000,
    )  # fmt: skip
    settings = place.settings_for(tmp_path_factory.mktemp("explored"), base)
    place.prepare(market, settings)
    return settings, asyncio.run(_played(market, settings)).day(0)


def replayed(settings, *policies):
    environment = {
        "ADSERVER_DATA": str(settings.adserver_data),
        "AUCTION_SAMPLE_ONE_IN": str(settings.auction_sample_one_in),
    }
    options = [word for one in policies for word in ("--policy", one)]
    result = CliRunner(env=environment).invoke(app, ["replay", *options, "--json"])
    return result, json.loads(result.stdout) if result.exit_code < 2 else None


def test_the_baseline_sells_thousands_of_slots_again_as_they_were_sold(played):
    settings, sums = played

    result, told = replayed(settings, "baseline")

    assert result.exit_code == 0
    found = told["baseline"]
    assert found["exact"]
    assert found["alike"] == found["slots"] > 2_000
    assert 0.4 < found["pages"] / sums.requests < 0.7


def test_a_page_is_kept_once_and_all_explored_ones_are(played):
    settings, _ = played

    pages = list(Kept(settings.auctions, one_in=2).pages())

    numbers = [int(page.notes.number[0]) for page in pages]
    explored = np.mean([page.slots.explore[0] for page in pages])
    assert len(numbers) == len(set(numbers))
    assert explored == pytest.approx(0.15 / (0.15 + 0.85 / 2), abs=0.04)


def test_a_server_that_ranks_otherwise_is_found_out(played):
    settings, _ = played
    repeated = Repeated()
    rules = Settings(increment_micros=0).auction
    for record in read_sample(settings.auctions):
        repeated.see(record.page(0), rules)

    assert not repeated.exact


def test_other_policies_are_told_with_intervals_against_what_is_served(played):
    settings, _ = played

    result, told = replayed(settings, *POLICIES)

    assert result.exit_code == 0
    found = {(one["policy"], one["value"]): one for one in told["policies"]}
    assert set(found) == {
        (name, value) for name in ("greedy", *POLICIES) for value in ("clicks", "revenue")
    }
    for one in found.values():
        assert one["refused"] == (one["ess"] < 200)
        assert 0.5 < one["support"] < 1.2  # the lot falls on one in dozens: weights are cut
        dr = one["estimates"].get("DR")
        assert (dr is None) == (one["gained"] is None) == one["refused"]
        assert dr is None or dr["low"] < dr["value"] < dr["high"]
    assert found["greedy", "clicks"]["support"] == pytest.approx(1, abs=0.05)
    assert found["greedy", "clicks"]["gained"]["value"] == 0
    assert found["greedy", "clicks"]["clipped"] == 0
    assert all(one["clipped"] < 0.01 for one in found.values())
    assert not found["floor=+50%", "clicks"]["refused"]
    assert told["without_outcome"] < 0.1 * told["pages"]


def test_the_model_that_decided_scores_recorded_pages_as_it_did(played):
    """Requests, counts and ads are those of the decision: nothing has to be known again."""
    settings, _ = played
    model = OtherModel.open(settings, settings.registry.traffic().production)

    pages = list(Kept(settings.auctions, one_in=2).pages())[:300]

    for page in pages:
        rates, slots = model.rates(page), len(page.slots.floor_micros)
        assert rates is not None
        off = np.abs(rates - page.bids.pctr_ppm)[:, :slots] / page.bids.pctr_ppm[:, :slots]
        assert off.max(initial=0) < 1e-3


def test_the_same_model_as_a_policy_is_the_greedy_one(played):
    settings, _ = played
    name = f"model={settings.registry.traffic().production}"

    _, told = replayed(settings, name)

    found = {(one["policy"], one["value"]): one for one in told["policies"]}
    assert told["without_context"] == 0
    gained = found[name, "clicks"]["gained"]["value"]
    assert abs(gained) < 0.01 * found["greedy", "clicks"]["estimates"]["DR"]["value"]


def test_a_record_without_what_the_model_was_given_is_not_guessed_at(played):
    settings, _ = played
    model = OtherModel.open(settings, settings.registry.traffic().production)
    page = next(Kept(settings.auctions, one_in=2).pages())

    assert model.rates(replace(page, context=None)) is None
    strange = replace(page.notes, ad_id=page.notes.ad_id + 10**9)
    assert model.rates(replace(page, notes=strange)) is None


def test_a_model_that_is_not_there_is_named(played):
    settings, _ = played

    result, _ = replayed(settings, "model=987")

    assert result.exit_code == 2


def test_greedy_is_estimated_where_the_market_was(played):
    """Clicks per slot of the whole log, a few explored slots aside, lie in its interval."""
    settings, sums = played

    _, told = replayed(settings, "greedy")

    clicks = next(one for one in told["policies"] if one["value"] == "clicks")["estimates"]["DR"]
    low, high = clicks["low"], clicks["high"]
    assert low < sums.clicks / sums.slots < high


def test_a_terminal_is_told_in_a_table_and_a_file_in_json(played, tmp_path):
    settings, _ = played
    environment = {"ADSERVER_DATA": str(settings.adserver_data), "AUCTION_SAMPLE_ONE_IN": "2"}
    out = tmp_path / "policies.json"
    options = ["--policy", "baseline", "--policy", "floor=+50%", "--out", str(out)]

    result = CliRunner(env=environment | {"COLUMNS": "160"}).invoke(app, ["replay", *options])

    assert result.exit_code == 0
    assert "(100.0000%)" in result.stdout
    assert "against greedy" in result.stdout
    assert {one["policy"] for one in json.loads(out.read_text())["policies"]} == {
        "greedy", "floor=+50%",
    }  # fmt: skip


def test_mistakes_are_named():
    result = CliRunner().invoke(app, ["replay", "--policy", "gamma=2"])

    assert result.exit_code == 2


def test_nothing_kept_is_said(tmp_path):
    environment = {"ADSERVER_DATA": str(tmp_path)}

    result = CliRunner(env=environment).invoke(app, ["replay", "--policy", "baseline"])

    assert result.exit_code == 2
