"""A line item that does not exist yet enters the auctions that a server has kept."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

from adserver.cli import app
from adserver.errors import ConfigError
from adserver.simulated import Marketplace, Setup
from auction.columns import Bids, Rejection
from bench.forecast import busiest, kept, request_of, write_week
from feedback.replay import forecast as forecasts
from feedback.replay.changes import Changes, changes_of
from feedback.replay.forecast import NEW, Proposal, entered, entry_of
from feedback.replay.held import held_of, line_item_of
from feedback.replay.logged import Log, forecast, replay

SMALL = Setup(ads=1_000, pages_per_day=20_000, contenders=6)
RICH = 10**12


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A week of 1 400 pages as a server keeps them."""
    folder = tmp_path_factory.mktemp("auctions")
    write_week(folder, Marketplace(SMALL))
    return Log(folder)


@pytest.fixture(scope="module")
def like(log):
    return busiest(log)


def proposal(**changed):
    return replace(Proposal(5_000_000, False, RICH), **changed)


def test_the_newcomer_stands_at_the_end_of_each_page_it_enters_and_all_else_is_as_it_was(log, like):
    record = next(log.records())
    held, proposed = held_of(record), proposal(like=like)
    entry = entry_of(proposed, record)

    made = entered(held, entry, proposed)

    pages = np.unique(entry.page)
    assert len(made) == len(pages) > 0
    for place, page in enumerate(pages.tolist()):
        was = slice(*held.bids.offset[page : page + 2])
        now = slice(*made.bids.offset[place : place + 2])
        others = slice(now.start, now.start + was.stop - was.start)
        news = slice(others.stop, now.stop)
        for one in fields(Bids):
            column = getattr(held.bids, one.name)
            if one.name != "offset" and column is not None:
                assert_array_equal(getattr(made.bids, one.name)[others], column[was])
        assert news.stop - news.start == (entry.page == page).sum()
        assert (made.bids.advertiser[news] == NEW).all()
        assert_array_equal(made.slate.dual[others], held.slate.dual[was])
    assert_array_equal(np.diff(made.slots.offset), np.diff(held.slots.offset)[pages])
    assert_array_equal(made.slots.seed, held.slots.seed[pages])


def test_it_has_the_pages_slots_and_click_rates_of_the_one_that_it_is_like(log, like):
    record = next(log.records())

    entry = entry_of(proposal(like=like), record)

    assert (line_item_of(record.bids)[entry.row] == like).all()
    assert len(entry.row) == (line_item_of(record.bids) == like).sum()
    assert_array_equal(entry.ppm, record.bids.pctr_ppm[entry.row])
    assert_array_equal(entry.fits, record.bids.slots[entry.row])


def test_it_enters_where_the_other_was_out_of_money_but_not_where_it_was_refused(log, like):
    record = next(log.records())
    mine = np.flatnonzero(line_item_of(record.bids) == like)
    rejected = record.bids.rejected.copy()
    rejected[mine[0]], rejected[mine[1:]] = Rejection.BUDGET, Rejection.CREATIVE_BLOCKED
    record = replace(record, bids=replace(record.bids, rejected=rejected))

    assert entry_of(proposal(like=like), record).row.tolist() == [mine[0]]


def test_what_is_asked_for_is_looked_up_in_the_requests():
    request = request_of(5, 2)  # FRA, phone, home-0 and home-1

    assert proposal().slots(request) == 0b11
    assert proposal(countries=("DEU",)).slots(request) == 0
    assert proposal(countries=("DEU", "FRA"), devices=("phone",)).slots(request) == 0b11
    assert proposal(devices=("desktop",)).slots(request) == 0
    assert proposal(placements=("home-1",)).slots(request) == 0b10
    assert proposal(sizes=((1, 1),)).slots(request) == 0


def test_a_higher_bid_wins_more_and_others_make_room(log, like):
    low, high = (
        forecast(log, proposal(like=like, bid_micros=bid), Changes())
        for bid in (2_000_000, 20_000_000)
    )

    assert 0 <= won(low) < won(high)
    lost = len(high.before.sales.cost) - (len(high.after.sales.cost) - won(high))
    assert 0 < lost <= won(high)


def won(found):
    return int((found.after.sales.line_item == NEW).sum())


def test_the_least_bid_displaces_nobody(log, like):
    found = forecast(log, proposal(like=like, bid_micros=1_000), Changes())

    assert won(found) == 0
    for column in ("line_item", "cost", "value"):
        assert_array_equal(getattr(found.after.sales, column), getattr(found.before.sales, column))


def test_a_budget_is_used_and_not_passed(log):
    rich = forecast(log, proposal(), Changes())
    a_day = int(rich.after.sales.cost[rich.after.sales.line_item == NEW].sum() * 100 / 7)

    found = forecast(log, proposal(daily_budget_micros=a_day // 3), Changes())

    mine = found.after.sales.line_item == NEW
    spent = found.after.sales.cost[mine].sum() * 100
    assert 0.7 * 7 * (a_day // 3) <= spent <= 7 * (a_day // 3)
    assert won(found) > won(rich) / 3


def test_a_thinned_log_stands_for_the_whole(log):
    size = sum(file.stat().st_size for file in log.folder.iterdir())

    thin = log.thinned(size // 3)

    assert log.thinned(size).thin == 1
    assert thin.thin in {3, 4}
    whole, part = (forecast(one, proposal(bid_micros=20_000_000), Changes()) for one in (log, thin))
    assert won(part) * thin.thin == pytest.approx(won(whole), rel=0.25)
    assert part.after.share == whole.after.share / thin.thin


def test_a_shown_forecast_spreads_around_what_was_replayed_within_the_budget(log):
    found = forecast(log, proposal(daily_budget_micros=20_000_000), Changes())

    shown, displaced = forecasts.sheets(found, {})

    for _, replayed, low, middle, high in shown.rows:
        assert 0 < low <= middle <= high
        assert low < replayed < 1.3 * high
    assert shown.rows[2][4] <= found.budget_micros() / 1e6 + 1e-9
    assert displaced.rows[0][3] < 0


def test_unchanged_a_log_is_sold_again_as_it_was(log):
    before, after = replay(log, Changes())

    assert_array_equal(before.sales.cost, after.sales.cost)
    assert_array_equal(before.sales.line_item, after.sales.line_item)


def test_a_log_with_another_bid_and_budget(log, like):
    changes = changes_of([f"{like}=x4"], [f"{like}=x1.5"], "", 1.0, 0.0, Changes().rules)

    before, after = replay(log, changes)

    was, is_ = (one.sales.cost[one.sales.line_item == like].sum() for one in (before, after))
    assert was < is_ <= 1.5 * was + 7


def test_times_a_budget_that_the_log_does_not_know_is_a_mistake(log):
    changes = changes_of([], ["campaign:1=x2"], "", 1.0, 0.0, Changes().rules)

    with pytest.raises(ConfigError, match="campaign:1"):
        replay(log, changes)


def test_commands_forecast_and_replay_what_is_kept(log, like):
    bid = ["--bid=9", "--budget=500", f"--sample={log.folder}"]
    for asked in (["forecast", *bid, f"--like={like}"], ["forecast", *bid, "--country=DEU"]):
        done = CliRunner().invoke(app, ["simulate", *asked])

        assert done.exit_code == 0, done.output
        assert "P90" in done.output
    changed = ["logged", f"--bid={like}=x2", f"--sample={log.folder}"]
    done = CliRunner().invoke(app, ["simulate", *changed])
    assert done.exit_code == 0, done.output
    assert f"Line item {like}" in done.output


def test_an_empty_folder_is_told_in_words(tmp_path):
    for command in (["forecast", "--bid=9", "--budget=5"], ["logged"]):
        done = CliRunner().invoke(app, ["simulate", *command, f"--sample={tmp_path}"])

        assert done.exit_code == 2
        assert "no auctions are kept" in done.output


def test_a_size_of_another_form_is_told_in_words(tmp_path):
    wrong = ["forecast", "--bid=9", "--budget=5", "--size=big", f"--sample={tmp_path}"]

    done = CliRunner().invoke(app, ["simulate", *wrong])

    assert done.exit_code == 2
    assert "300x250" in done.output


def test_kept_pages_are_sold_again_alike():
    held = next(Marketplace(SMALL).week(0))

    record = kept(held)

    assert record.request(0).slots
    assert_array_equal(record.bids.bid_micros, held.bids.bid_micros)
