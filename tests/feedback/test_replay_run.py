"""Auctions sold again: unchanged to the micro, and with what somebody wants to try."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

from adserver.cli import app
from adserver.simulated import Marketplace, Setup, simulated_change
from auction.columns import Level, account_of
from auction.mechanism import run_auction
from auction.settings import VCG, AuctionSettings
from auction.traffic import Curve
from feedback.replay import compare
from feedback.replay.changes import Changes, changes_of
from feedback.replay.held import Held, Sales, in_steps, joined, sales_of
from feedback.replay.money import Money
from feedback.replay.run import Run, as_recorded, resampled

RULES = AuctionSettings()
SMALL = Setup(ads=1_000, pages_per_day=20_000, one_in=100, contenders=4)


@pytest.fixture(scope="module")
def market():
    return Marketplace(SMALL)


@pytest.fixture(scope="module")
def week(market):
    """A week of 1 400 pages, each sold without budgets."""
    held = list(market.week(0))
    return [Held(one.at_s, one.bids, one.slots, sold(one.bids, one.slots)) for one in held]


def sold(bids, slots):
    rich = np.full(int(bids.account.max()) + 1, 10**15)
    return run_auction(bids, slots, None, rich, RULES)


def run_of(week, changes=Changes(), daily=None, pace=False):  # noqa: B008 (values only)
    run = Run(changes, Money(daily or {}, 2_000.0, Curve.flat(), pace), 0.01)
    for held in week:
        run.hold(held)
    assert run._money.check() == []
    return run.outcome()


def same(one: Sales, other: Sales):
    for column in fields(Sales):
        assert_array_equal(getattr(one, column.name), getattr(other, column.name))


def test_without_a_change_everything_is_sold_as_it_was(week):
    same(run_of(week).sales, as_recorded(week, 0.01).sales)


def test_explored_pages_are_explored_again_as_they_were(week):
    rng = np.random.default_rng(3)
    lots = []
    for one in week:
        drawn = rng.random(len(one)) < 0.5
        slots = replace(one.slots, explore=drawn, explore_ppm=np.full(len(one), 10_000, np.int32))
        lots.append(Held(one.at_s, one.bids, slots, sold(one.bids, slots)))

    assert any(one.slate.explored.any() for one in lots)
    same(run_of(lots).sales, as_recorded(lots, 0.01).sales)


def test_batches_cut_by_time_hold_the_same_pages(week):
    parts = [part for held in week for part in in_steps(held, 60.0)]

    assert len(parts) > len(week)
    assert sum(map(len, parts)) == sum(map(len, week))
    whole = joined([sales_of(held, held.bids, held.slate) for held in week])
    same(joined([sales_of(part, part.bids, part.slate) for part in parts]), whole)
    same(joined([sales_of(part, part.bids, sold(part.bids, part.slots)) for part in parts]), whole)


def test_a_raised_bid_wins_more_and_says_who_makes_room(week):
    before = as_recorded(week, 0.01)
    mine = int(np.bincount(before.sales.line_item).argmax())

    after = run_of(week, changes_of([f"{mine}=x3"], [], "", 1.0, 0.0, RULES))

    was, is_ = (one.by_line_item(2_000)["impressions"] for one in (before, after))
    assert is_[mine] > was[mine]
    assert (is_ < was).any()
    shown = compare.displaced(before, after, 2_000, {mine: "the raised one"})
    assert shown.rows[-1][0] == "the raised one"
    assert shown.rows[0][3] < 0


def test_a_budget_is_never_overspent_and_pacing_makes_it_last(week):
    spent = np.bincount(run_of(week).sales.line_item, run_of(week).sales.cost)
    account = account_of(Level.LINE_ITEM, int(spent.argmax()))
    daily = {account: int(spent.max() / 7 / 3)}

    hasty, paced = run_of(week, daily=daily), run_of(week, daily=daily, pace=True)

    assert len(hasty.ended[account]) >= 5
    assert len(paced.ended.get(account, [])) < len(hasty.ended[account])
    for one in (hasty, paced):
        assert cost_of(one, spent.argmax()) <= 7 * daily[account]
    assert value_of(paced, spent.argmax()) > 1.3 * value_of(hasty, spent.argmax())


def cost_of(one, line_item):
    return one.sales.cost[one.sales.line_item == line_item].sum()


def value_of(one, line_item):
    return one.sales.value[one.sales.line_item == line_item].sum()


def test_higher_floors_earn_more_or_sell_less(week):
    before = as_recorded(week, 0.01)

    after = run_of(week, changes_of([], [], "2.50", 1.0, 0.0, RULES))

    assert len(after.sales.cost) < len(before.sales.cost)
    assert after.sales.cost.min() >= 2_500


def test_a_cap_holds_shares(week):
    capped = run_of(week, changes_of([], [], "", 1.0, 0.05, RULES))

    assert len(capped.sales.cost) >= 0.99 * len(as_recorded(week, 0.01).sales.cost)
    assert capped.value_micros < as_recorded(week, 0.01).value_micros


def test_sold_jointly_pages_are_worth_more(week):
    joint = run_of(week, changes_of([], [], "", 1.0, 0.0, AuctionSettings(mechanism=VCG)))

    assert joint.value_micros > as_recorded(week, 0.01).value_micros


def test_quantiles_surround_what_was_replayed(week):
    one = run_of(week)
    every = np.ones(len(one.sales.cost), np.bool_)

    low, middle, high = compare.quantiles(one, np.ones(len(every)), every)

    assert low < middle < high
    assert low < len(every) / 0.01 < high
    spread = resampled(one, np.ones(len(every)), every, np.random.default_rng(1)).std()
    assert spread == pytest.approx(100 * np.sqrt((per_hour(one) ** 2).sum()), rel=0.2)


def per_hour(one):
    place = np.searchsorted(one.hours, (one.sales.at_s // 3600).astype(int))
    return np.bincount(place)


def test_a_marketplace_is_the_same_each_time_and_its_money_is_kept(market):
    before, after = simulated_change(market, Changes(), 1)

    same(before.sales, after.sales)
    again, _ = simulated_change(Marketplace(SMALL), Changes(), 1)
    same(before.sales, again.sales)


def test_one_command_tries_a_change_on_a_marketplace(tmp_path):
    table, page = tmp_path / "out.csv", tmp_path / "out.html"
    small = ["--ads=1000", "--pages=20000", "--weeks=1", f"--csv={table}", f"--html={page}"]

    done = CliRunner().invoke(
        app,
        ["simulate", "market", "--bid=7=x2", "--budget=campaign:1=10", "--mechanism=vcg", *small],
    )

    assert done.exit_code == 0, done.output
    for title in ("The market", "Line item 7", "Who is displaced", "Whose money ends"):
        assert title in done.output
        assert title in page.read_text()
    assert "The market,revenue," in table.read_text()


def test_mistakes_of_a_command_line_are_listed_and_nothing_else_happens():
    done = CliRunner().invoke(app, ["simulate", "market", "--bid=seven=x2", "--gamma=0.1"])

    assert done.exit_code == 2
    assert "seven" in done.output
    assert "gamma" in done.output
