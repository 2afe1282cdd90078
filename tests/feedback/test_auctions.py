"""The auction report: sums that agree, and figures that can be counted by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from synthetic import MIDNIGHT_MS, day, write

from adserver.records import DecisionRecord, SlotRecord
from auction.columns import Rejection
from feedback.auction_page import auction_csv, auction_page, auction_table
from feedback.auctions import KEYS, auctions, cpm_of, win_rate
from feedback.compaction import compact
from feedback.warehouse import connect

NAMES = {"advertiser": {1: "<script>alert(1)</script>", 2: "=SUM(A1)"}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return report_of(tmp_path_factory.mktemp("auctions"), day(300, seed=5), NAMES)


def report_of(folder, records, names=None):
    write(records, folder / "log" / "w0-1.log")
    compact(folder / "log", folder / "warehouse")
    with connect(folder / "warehouse") as connection:
        return auctions(connection, names=names)


def sale(placement, bid, clear, runner_up=0, **more):
    return SlotRecord(
        slot="s", placement=placement, number=1, ad=1, advertiser=1, bid_cpm_micros=bid,
        clear_micros=clear, runner_up_ad=7 if runner_up else 0, runner_up_cpm_micros=runner_up,
        plain_clear_micros=clear, **more,
    )  # fmt: skip


def test_the_figures_of_a_placement_can_be_counted_by_hand(tmp_path):
    slots = (
        sale("top", 2_000_000, 1_500_000, 1_490_000),
        sale("top", 4_000_000, 4_000_000, first_price=True),
        SlotRecord(slot="s", placement="top", reason=int(Rejection.BELOW_FLOOR)),
    )
    found = report_of(tmp_path, [DecisionRecord(t=MIDNIGHT_MS, id="d", slots=slots)])

    (top,) = found.rows["placement"]

    assert (top.slots, top.sold, top.contested, top.first_price) == (3, 2, 1, 1)
    assert top.revenue_micros == 5_500
    assert top.paid_share == pytest.approx(5.5 / 6)
    assert top.winning.median_micros in {2_000_000, 4_000_000}
    assert top.losing.high_micros == 1_490_000
    assert found.histograms["price"].count.sum() == 2


def test_every_dimension_adds_up_to_the_whole(report):
    for by in KEYS:
        rows = report.rows[by]
        assert sum(row.sold for row in rows) == report.total.sold
        assert sum(row.clear_micros for row in rows) == report.total.clear_micros


def test_a_log_without_a_sale_still_has_a_report(tmp_path):
    found = report_of(tmp_path, [])

    assert found.total.slots == 0
    assert "Ad report" in auction_page(found)


def test_the_win_rate_counts_only_bids_that_were_in_the_running():
    cpm = np.array([1_000_000, 1_000_000, 1_050_000, 20_000_000, 3_000_000])
    code = np.array([0, Rejection.OUTBID, Rejection.BUDGET, 0, Rejection.BELOW_FLOOR], np.uint8)

    rate = win_rate([(cpm, code), (cpm[:0], code[:0])])

    assert rate.entered.count[[0, -1]].tolist() == [2, 1]
    assert rate.won.count[[0, -1]].tolist() == [1, 1]
    assert rate.entered.count.sum() == 4
    assert rate.entered.edges[0] == pytest.approx(1.0)
    assert win_rate([]) is None


def test_a_bid_per_click_counts_at_its_best_slot():
    cpm = cpm_of(
        np.array([500_000, 2_000_000]),
        np.array([True, False]),
        np.array([[1_000, 4_000], [9_000, 9_000]]),
    )

    assert cpm.tolist() == [2_000_000, 2_000_000]


def test_a_terminal_a_spreadsheet_and_a_browser_say_the_same(report):
    console = Console(width=240, file=StringIO())
    console.print(auction_table(report, "advertiser", most=3))
    rows = list(csv.DictReader(StringIO(auction_csv(report, "advertiser"))))
    rate = win_rate([(np.full(50, 1_000_000), np.zeros(50, np.uint8))])
    page = auction_page(replace(report, win_rate=rate))

    assert f"{report.total.slots:,}" in console.file.getvalue()
    assert sum(int(row["clear_micros"]) for row in rows) == report.total.clear_micros
    assert "'=SUM(A1)" in {row["name"] for row in rows}
    assert "<script>" not in page
    assert page.count("<svg") == 5
