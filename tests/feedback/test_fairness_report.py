"""Exposure against cap and merit, what fairness costs, and what other caps would."""

from __future__ import annotations

import csv
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pytest
from auction_market import Ad, Request, columns
from auction_records import Market as RecordedMarket
from rich.console import Console
from synthetic import MIDNIGHT_MS, day, write

from adserver.auctions.sample import SampleSettings, SampleWriter
from auction.columns import Rejection
from auction.fairness import Exposure
from auction.mechanism import run_auction
from auction.settings import AuctionSettings, FairnessSettings
from bench.fairness import Market
from feedback import fairness_plots
from feedback.compaction import compact
from feedback.fairness import fairness
from feedback.fairness_page import (
    FairnessPage,
    fairness_csv,
    fairness_page,
    fairness_table,
    frontier_table,
)
from feedback.frontier import frontier, rebate_of, sell_again, value_of
from feedback.merit import tally
from feedback.recorded import recorded, window_for
from feedback.reports import Span
from feedback.spread import greatest_share, merit
from feedback.warehouse import connect
from feedback.windows import window_shares

NAMES = {1: "<b>Lumen</b>", 2: "=SUM(A1)"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fairness")
    write(day(600, seed=5), folder / "log" / "w0-1.log")
    compact(folder / "log", folder / "warehouse")
    with connect(folder / "warehouse") as connection:
        yield connection


@pytest.fixture(scope="module")
def auctions():
    """A market's batches with their slates."""
    market, exposure = Market.drawn(np.random.default_rng(3), 640), Exposure(FairnessSettings())
    money = np.full(400, 1 << 60)
    return [
        (bids, slots, run_auction(bids, slots, exposure, money, AuctionSettings()))
        for bids, slots in market
    ]


@pytest.fixture(scope="module")
def report(connection, auctions):
    return fairness(
        connection, names=NAMES, recorded=tally((bids, slate) for bids, _, slate in auctions)
    )


@pytest.fixture(scope="module")
def page(connection, report, auctions):
    outcomes = frontier([(bids, slots) for bids, slots, _ in auctions], 100, (1.0, 0.15))
    windows = window_shares(connection, 100, names=NAMES)
    return FairnessPage(report, windows, 0.15, outcomes, "as of today")


def test_merit_is_the_best_offer_of_each_auction_in_which_one_could_buy():
    """Advertiser 1 offers twice on the first page and fails the floor on the second."""
    pages = [
        Request(
            ads=(
                Ad(ad=1, advertiser=1, bid=900_000),
                Ad(ad=2, advertiser=1, bid=700_000),
                Ad(ad=3, advertiser=2, bid=4, ppm=(100_000,)),
                Ad(ad=4, advertiser=3, bid=800_000, rejected=int(Rejection.PAUSED)),
            ),
            floors=(100_000,),
        ),
        Request(
            ads=(Ad(ad=1, advertiser=1, bid=400_000), Ad(ad=5, advertiser=2, bid=600_000)),
            floors=(500_000,),
        ),
    ]
    bids, slots = columns(pages)
    slate = run_auction(bids, slots, None, np.full(64, 1 << 40), AuctionSettings())

    counted = tally([(bids, slate)])

    assert counted.auctions == 2
    eligible, worth = counted.of([1, 2, 3, 4])
    assert eligible.tolist() == [1, 1, 0, 0]
    assert worth.tolist() == [900_000, 600_000, 0, 0]


def test_exposure_in_proportion_to_merit_is_no_distance_away():
    fair = merit(np.array([30, 60, 10]), np.array([300, 600, 100]))
    unfair = merit(np.array([100, 0, 0]), np.array([300, 600, 100]))

    assert fair.ratio.tolist() == pytest.approx([1, 1, 1])
    assert fair.distance == pytest.approx(0)
    assert unfair.ratio.tolist() == pytest.approx([100 / 30, 0, 0])
    assert unfair.distance == pytest.approx(0.7)


def test_without_recorded_auctions_nothing_is_said_of_merit(connection):
    report = fairness(connection, names=NAMES)

    assert report.merit is None
    assert all(row.merit_share == row.eligible_share == 0 for row in report.rows)
    assert next(csv.DictReader(StringIO(fairness_csv(report))))["per_merit"] == ""


def test_hourly_costs_add_up_to_the_whole(report):
    parts = sum(one.plain_micros - one.clear_micros for one in report.costs)

    assert parts == pytest.approx(report.cost_micros, abs=len(report.costs))
    assert sum(one.relaxed for one in report.costs) == report.relaxed


def test_shares_of_the_window_are_those_of_the_last_sales(connection):
    shares = window_shares(connection, 100, most=3)
    sales = connection.execute(
        "SELECT advertiser FROM decisions WHERE NOT test AND reason = 0 ORDER BY t, number"
    ).fetchnumpy()["advertiser"]

    last = {int(a): float((sales[-100:] == a).mean()) for a in np.unique(sales)}
    assert shares.share.shape == (3, len(shares.moment_ms))
    for name, line in zip(shares.names, shares.share, strict=True):
        assert line[-1] == pytest.approx(last[int(name)])
    assert (np.diff(shares.moment_ms) >= 0).all()
    assert shares.moment_ms[0] >= MIDNIGHT_MS


def test_an_empty_log_has_no_windows(tmp_path):
    with connect(tmp_path) as nothing:
        shares = window_shares(nothing, 100)

        page = fairness_page(FairnessPage(fairness(nothing), shares, 0.15))
    assert len(shares.moment_ms) == 0
    assert "<svg" not in page


def test_selling_again_without_a_cap_is_the_plain_auction(auctions):
    """Welfare and revenue of κ = 1 are the sums over the plain sales that each slate recorded."""
    free = sell_again([(bids, slots) for bids, slots, _ in auctions], 1.0, 100)

    assert free.revenue_micros == sum(int(s.plain_clear_micros.sum()) for _, _, s in auctions)
    assert free.rebated_micros == free.revenue_micros
    assert free.relaxed == 0


def test_a_rebate_is_never_more_than_the_price_above_the_floor(auctions):
    rebated = 0
    for bids, slots, slate in auctions:
        sold = slate.winner >= 0
        rebate = rebate_of(bids, slots, slate)
        rebated += int(rebate.sum())

        assert (rebate <= slate.clear_micros[sold] - slots.floor_micros[sold]).all()
        assert (slate.clear_micros[sold] <= value_of(bids, slots, slate)).all()
    assert rebated > 0


def test_the_greatest_share_is_that_of_the_worst_window():
    sales = np.array([1, 2, 1, 1, 2, 3, 3, 3, 3, 1], np.int32)

    assert greatest_share(sales, 4) == 1.0
    assert greatest_share(sales, 5) == 0.8
    assert greatest_share(sales, 11) == 0.0


def test_the_page_draws_everything_and_escapes_names(page):
    text = fairness_page(page)

    assert "<b>Lumen</b>" not in text
    assert "&lt;b&gt;Lumen&lt;/b&gt;" in text
    for title in ("Share of the last", "evenly", "merit", "Cost of fairness", "other caps"):
        assert title in text
    assert text.count("<svg") == 6


def test_the_plots_are_well_formed_and_the_same_each_time(page, report):
    drawings = [
        lambda: fairness_plots.shares_over_time(page.windows, page.cap),
        lambda: fairness_plots.exposure_against_merit(report),
        lambda: fairness_plots.cost_by_hour(report.costs),
        lambda: fairness_plots.frontier_of(page.outcomes),
    ]
    for draw in drawings:
        drawn = draw()
        ElementTree.fromstring(drawn.replace("xlink:href", "href"))
        assert drawn == draw()


def test_a_terminal_shows_merit_and_the_frontier(page):
    console = Console(width=220, file=StringIO())
    console.print(fairness_table(page.report, most=2))
    console.print(frontier_table(page.outcomes))

    text = console.file.getvalue()
    assert "per merit" in text
    assert "away from merit" in text
    assert "dual" in text
    assert "hard" in text


def test_the_spreadsheet_has_every_advertiser_with_its_merit(report):
    rows = list(csv.DictReader(StringIO(fairness_csv(report))))

    assert len(rows) == len(report.rows)
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1)
    assert sum(float(row["merit_share"]) for row in rows) == pytest.approx(1)
    assert rows[[row["advertiser"] for row in rows].index("2")]["name"] == "'=SUM(A1)"


def test_the_newest_recorded_auctions_are_read_in_order(tmp_path):
    writer = SampleWriter(tmp_path, 3, lambda: 1_800_000_000.0, SampleSettings())
    for one in RecordedMarket(5).sampled(9):
        writer.put(one)
    writer.close()

    records = recorded(tmp_path)

    assert sum(len(record) for record in records) == 9
    assert recorded(tmp_path, Span(until_ms=1)) == []
    assert window_for(records, 10_000) == max(1, tally_sales(records) // 5)


def tally_sales(records) -> int:
    return sum(int((record.slate.winner >= 0).sum()) for record in records)
