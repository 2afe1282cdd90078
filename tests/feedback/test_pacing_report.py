"""The pacing report: what is due by the traffic, what was spent, and what held it back."""

from __future__ import annotations

import csv
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from synthetic import MIDNIGHT_MS, day, write

from adserver.records import DAY_MS, DecisionRecord, Filter, ImpressionRecord
from auction.columns import LEVELS, Level, Rejection
from feedback.compaction import compact
from feedback.pacing import HOUR_MS, count_reasons, pacing
from feedback.pacing_page import pacing_csv, pacing_page, pacing_table
from feedback.warehouse import connect


def report_of(folder, records, plan, **more):
    write(records, folder / "log" / "w0-1.log")
    compact(folder / "log", folder / "warehouse")
    with connect(folder / "warehouse") as connection:
        return pacing(connection, plan, **more)


def requests(per_hour, start_ms=MIDNIGHT_MS):
    """Of the hours of a day, evenly within each."""
    return [
        DecisionRecord(t=int(start_ms + (hour + part / count) * HOUR_MS), id="d", slots=(EMPTY,))
        for hour, count in enumerate(per_hour)
        for part in range(count)
    ]


def bills(campaign, micros, at_ms):
    return ImpressionRecord(t=at_ms, code=Filter.OK, campaign=campaign, billed_micros=micros)


EMPTY = next(slot for record in day(50, 1) if hasattr(record, "slots") for slot in record.slots)


def test_a_budget_is_due_along_the_traffic_learnt_from_earlier_days(tmp_path):
    """All traffic is between 0 and 12 h of yesterday's day; today half of that is over."""
    yesterday = requests([12] * 12 + [0] * 12)
    noon = MIDNIGHT_MS + DAY_MS + 6 * HOUR_MS
    today = [*requests([12] * 6, MIDNIGHT_MS + DAY_MS), bills(1, 400_000, noon)]

    report = report_of(tmp_path, [*yesterday, *today], {1: 1_000_000, 2: 0})

    (row,) = (row for row in report.rows if row.key == 1)
    assert report.day == "2026-11-02"
    assert report.passed == pytest.approx(0.5, abs=0.05)
    assert row.due_micros == round(1_000_000 * report.passed)
    assert row.hours[6] == row.spent_micros == 400_000
    assert row.projected_micros == round(400_000 / report.passed)
    assert row.lags


def test_nobody_is_projected_past_the_plan_that_the_ledger_keeps(tmp_path):
    records = [*requests([1] * 6), bills(1, 900_000, MIDNIGHT_MS + 6 * HOUR_MS)]

    (row,) = report_of(tmp_path, records, {1: 1_000_000}).rows

    assert row.projected_micros == 1_000_000
    assert (row.lags, row.reason) == (False, "")


def test_a_campaign_without_a_plan_is_in_the_report_when_it_has_spent(tmp_path):
    report = report_of(tmp_path, [*requests([1]), bills(9, 5_000, MIDNIGHT_MS)], {})

    assert [(row.key, row.plan_micros, row.spent_micros) for row in report.rows] == [(9, 0, 5_000)]


def test_reasons_are_counted_for_the_owner_of_each_candidate():
    account = np.full((5, LEVELS), -1, np.int32)
    account[:4, Level.CAMPAIGN] = np.array([7, 7, 7, 8]) * LEVELS + Level.CAMPAIGN
    code = np.array([0, Rejection.OUTBID, Rejection.OUTBID, Rejection.FREQUENCY, 62], np.uint8)

    counts = count_reasons([(account, code), (account, code)], "campaign")

    assert counts == {7: {Rejection.OUTBID: 4}, 8: {Rejection.FREQUENCY: 2}}


def test_a_lagging_budget_says_what_held_it_back_most(tmp_path):
    reasons = {1: {Rejection.OUTBID: 3, Rejection.BELOW_FLOOR: 3, Rejection.FREQUENCY: 4}}

    (row,) = report_of(tmp_path, requests([5] * 4), {1: 1_000_000}, reasons=reasons).rows

    assert row.reason == "lost to other bids"
    assert row.reasons == {"lost to other bids": 0.6, "frequency caps": 0.4}


def test_a_terminal_a_spreadsheet_and_a_browser_say_the_same(tmp_path):
    reasons = {key: {Rejection.PACING: 1} for key in range(2, 60)}
    plan = dict.fromkeys(range(2, 60), 50000)
    names = {4: "<b>Spring</b>", 6: "=SUM(A1)"}
    report = report_of(tmp_path, day(400, seed=3), plan, names=names, reasons=reasons)
    console = Console(width=200, file=StringIO())
    console.print(pacing_table(report))
    rows = list(csv.DictReader(StringIO(pacing_csv(report))))
    page = pacing_page(report)

    spent = sum(row.spent_micros for row in report.rows)
    assert sum(int(row["spent_micros"]) for row in rows) == spent > 0
    assert "'=SUM(A1)" in {row["name"] for row in rows}
    assert f"${spent / 1e6:,.2f}" in console.file.getvalue()
    assert "<b>Spring" not in page
    assert page.count("<svg") == 5


def test_an_empty_log_has_a_report_too(tmp_path):
    report = report_of(tmp_path, [], {})

    assert report.rows == ()
    assert "Ad report" in pacing_page(report)
