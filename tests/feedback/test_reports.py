from collections import Counter

import duckdb
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synthetic import MIDNIGHT_MS, day, write

from adserver.records import (
    ClickRecord,
    ConversionRecord,
    DecisionRecord,
    ImpressionRecord,
    ViewableRecord,
)
from feedback.compaction import compact
from feedback.fairness import fairness
from feedback.reports import DIMENSIONS, ReportError, Span, ctr, reason_name, wilson
from feedback.spread import lorenz, spread
from feedback.warehouse import connect

RECORDS = day(600, seed=11)
LIVE = [r for r in RECORDS if not r.test]
DECISIONS = [r for r in LIVE if isinstance(r, DecisionRecord)]
EVENTS = [r for r in LIVE if not isinstance(r, DecisionRecord)]
SOLD = {s.number: (d, s) for d in DECISIONS for s in d.slots if s.number}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feedback")
    write(RECORDS, folder / "log" / "w0-1.log")
    compact(folder / "log", folder / "warehouse")
    return folder / "warehouse"


@pytest.fixture
def connection(warehouse):
    with connect(warehouse) as connection:
        yield connection


KEYS = {
    "advertiser": (lambda d, s: s.advertiser, lambda e: e.advertiser),
    "placement": (lambda d, s: s.placement, lambda e: e.placement),
    "hour_of_day": (
        lambda d, s: d.t // 3_600_000 % 24,
        lambda e: (e.decided or e.t) // 3_600_000 % 24,
    ),
    "publisher": (
        lambda d, s: d.publisher,
        lambda e: SOLD[e.number][0].publisher if e.number in SOLD else "",
    ),
}


@pytest.mark.parametrize("by", KEYS)
def test_a_report_says_what_plain_counting_says(connection, by):
    of_slot, of_event = KEYS[by]
    slots = Counter(of_slot(d, s) for d in DECISIONS for s in d.slots)
    fills = Counter(of_slot(d, s) for d in DECISIONS for s in d.slots if s.number)
    counted = [e for e in EVENTS if e.code.counts]
    shown = Counter(of_event(e) for e in counted if isinstance(e, ImpressionRecord))
    clicks = Counter(of_event(e) for e in counted if isinstance(e, ClickRecord))
    seen = Counter(of_event(e) for e in counted if isinstance(e, ViewableRecord))
    bought = Counter(of_event(e) for e in counted if isinstance(e, ConversionRecord))
    filtered = Counter(of_event(e) for e in EVENTS if not e.code.counts)
    spend = Counter()
    for event in EVENTS:
        spend[of_event(event)] += event.billed_micros

    report = ctr(connection, by)

    for row in report.rows:
        figures = (row.decisions, row.fills, row.impressions, row.viewables, row.clicks)
        assert figures == tuple(c[row.key] for c in (slots, fills, shown, seen, clicks)), row.name
        assert (row.conversions, row.filtered) == (bought[row.key], filtered[row.key])
        assert row.spend_micros == spend[row.key]
    assert report.total.conversions == sum(bought.values()) > 0
    assert report.total.spend_micros == sum(e.billed_micros for e in EVENTS)
    assert report.requests == len(DECISIONS)
    assert report.as_of_ms == max(r.t for r in RECORDS)


@pytest.mark.parametrize("by", DIMENSIONS)
def test_decisions_are_fills_plus_no_fills_by_any_dimension(connection, by):
    reasons = Counter(reason_name(s.reason) for d in DECISIONS for s in d.slots if not s.number)

    report = ctr(connection, by)

    assert all(row.decisions == row.fills + row.unfilled for row in report.rows)
    assert report.total.no_fills == reasons
    assert report.total.decisions == report.total.fills + sum(reasons.values())
    assert report.total.impressions <= report.total.fills


def test_a_contradiction_in_the_data_is_an_error_not_a_figure(connection):
    """A slot that is sold and has a reason for not being sold."""
    connection.execute("CREATE TABLE copy AS SELECT * FROM decisions")
    connection.execute("UPDATE copy SET reason = 60 WHERE decision = 'd0' AND position = 0")
    connection.execute("CREATE OR REPLACE VIEW decisions AS SELECT * FROM copy")

    with pytest.raises(ReportError, match="number > 0"):
        ctr(connection, "advertiser")


def test_only_decisions_of_the_span_and_their_events_are_counted(connection):
    noon = MIDNIGHT_MS + 43_200_000

    early = ctr(connection, "hour", Span(until_ms=noon)).total
    late = ctr(connection, "hour", Span(since_ms=noon)).total

    assert early.decisions == sum(len(d.slots) for d in DECISIONS if d.t < noon)
    assert early.spend_micros + late.spend_micros == sum(e.billed_micros for e in EVENTS)


def test_names_come_from_the_catalogue_and_hours_come_in_order(connection):
    named = ctr(connection, "advertiser", names={"advertiser": {1: "Acme"}})
    hours = [row.key for row in ctr(connection, "hour").rows]

    assert "Acme" in {row.name for row in named.rows}
    assert "(none)" in {row.name for row in named.rows}
    assert hours == sorted(hours)


def test_an_unknown_dimension_names_the_known_ones(connection):
    with pytest.raises(ValueError, match="placement"):
        ctr(connection, "colour")


def test_a_report_of_nothing_is_all_zero(tmp_path):
    with connect(tmp_path) as connection:
        report = ctr(connection)
        shares = fairness(connection)

    assert (report.rows, report.total.decisions, report.as_of_ms) == ((), 0, 0)
    assert (shares.rows, shares.overall.exposures, shares.cost_micros) == ((), 0, 0)


def test_wilsons_interval_is_the_published_one():
    """Newcombe 1998, table I, method 3: 81 of 263 and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 1000), st.integers(1, 1000))
@example(0, 687)
def test_the_interval_holds_the_rate_and_stays_a_probability(successes, more):
    low, high = wilson(successes, successes + more)

    assert 0 <= low <= successes / (successes + more) <= high <= 1


@pytest.mark.parametrize("basis", ["impressions", "fills"])
def test_shares_are_what_plain_counting_says(connection, basis):
    shown = Counter(
        e.advertiser for e in EVENTS if isinstance(e, ImpressionRecord) and e.code.counts
    )
    sold = Counter(s.advertiser for _, s in SOLD.values())
    expected = shown if basis == "impressions" else sold

    report = fairness(connection, basis)

    assert {r.advertiser: r.exposures for r in report.rows if r.exposures} == expected
    assert sum(row.share for row in report.rows) == pytest.approx(1)
    assert sum(row.plain_share for row in report.rows) == pytest.approx(1)
    assert sum(hour.exposures for _, hour in report.hours) == report.overall.exposures


def test_the_cost_of_fairness_is_the_exact_difference_of_prices(connection):
    plain = sum(s.plain_clear_micros for d in DECISIONS for s in d.slots)
    clear = sum(s.clear_micros for d in DECISIONS for s in d.slots)

    report = fairness(connection)

    assert (report.plain_micros, report.clear_micros) == (plain, clear)
    assert report.cost_micros == round((plain - clear) / 1000)
    assert report.relaxed == sum(s.relaxed for _, s in SOLD.values())


def test_an_advertiser_of_the_catalogue_that_was_never_shown_counts_as_zero(connection):
    without = fairness(connection)
    known = {row.advertiser: "x" for row in without.rows} | {9999: "Never shown"}

    report = fairness(connection, names=known)

    assert report.rows[-1].name == "Never shown"
    assert report.overall.gini > without.overall.gini
    assert report.overall.hhi == pytest.approx(without.overall.hhi)


def test_a_fairness_report_of_an_unknown_basis_names_the_known_ones(connection):
    with pytest.raises(ValueError, match="fills"):
        fairness(connection, "guesses")


def test_the_measures_at_their_ends():
    alike, alone = spread(np.array([5, 5, 5, 5])), spread(np.array([0, 0, 0, 9]))

    assert (alike.hhi, alike.gini, alike.jain) == pytest.approx((0.25, 0, 1))
    assert (alone.hhi, alone.gini, alone.jain) == pytest.approx((1, 0.75, 0.25))
    assert alone.top_share == 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference_and_twice_the_area_of_lorenz(counts):
    exposure = np.array(counts)
    mean_difference = np.abs(exposure[:, None] - exposure).mean()
    part, held = lorenz(exposure)

    gini = spread(exposure).gini

    assert gini == pytest.approx(mean_difference / (2 * exposure.mean()), abs=1e-9)
    assert gini == pytest.approx(1 - 2 * np.trapezoid(held, part), abs=1e-9)


def test_reports_leave_the_machine_its_other_cores(connection):
    assert connection.execute("SELECT current_setting('threads')").fetchone() == (1,)
    assert isinstance(connection, duckdb.DuckDBPyConnection)
