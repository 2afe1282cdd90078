"""The fairness report for a terminal, a spreadsheet and a browser. Knows figures only."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from rich.table import Table

from feedback import fairness_plots as plots
from feedback import html
from feedback.fairness import AdvertiserShare, FairnessReport
from feedback.frontier import Outcome
from feedback.html import COMPACT, cell, figure, money
from feedback.windows import WindowShares

COLUMNS = ("exposures", "share", "share if fairness were off", "eligible", "merit", "per merit")
FRONTIER_COLUMNS = (
    "method",
    "welfare",
    "revenue",
    "revenue, rebated",
    "largest share",
    "worst window",
    "HHI",
    "Gini",
    "past the cap",
)


@dataclass(frozen=True, slots=True)
class FairnessPage:
    """All that the report says; what could not be known is empty."""

    report: FairnessReport
    windows: WindowShares
    cap: float
    outcomes: tuple[Outcome, ...] = ()
    moment: str = ""
    """When the figures are of."""


def fairness_table(report: FairnessReport, most: int = 20) -> Table:
    """For a terminal; the most shown advertisers, then the measures of all."""
    table = Table(title=f"Exposure by advertiser · {report.basis}", **COMPACT)
    table.add_column("advertiser")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in report.rows[:most]:
        table.add_row(row.name, *_cells(row, report))
    table.caption = " · ".join(f"{name} {value}" for name, value in measures(report))
    return table


def frontier_table(outcomes: Sequence[Outcome]) -> Table:
    """For a terminal: recorded auctions sold again under each cap."""
    table = Table(title="The same auctions under other caps", **COMPACT)
    table.add_column("cap")
    for column in FRONTIER_COLUMNS:
        table.add_column(column, justify="right")
    for cells in _frontier_rows(outcomes):
        table.add_row(*cells)
    return table


def fairness_csv(report: FairnessReport) -> str:
    """In full precision; what recorded auctions would tell is empty where there are none."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["advertiser", "name", "exposures", "share", "plain_share"]
    writer.writerow([*head, "eligible_share", "merit_share", "per_merit"])
    for row in report.rows:
        shown = [row.advertiser, cell(row.name), row.exposures, row.share, row.plain_share]
        deserved = [row.eligible_share, row.merit_share, row.per_merit]
        writer.writerow([*shown, *(deserved if report.merit else ["", "", ""])])
    return text.getvalue()


def fairness_page(page: FairnessPage) -> str:
    """A page that needs no other file: figures, plots, tables."""
    report = page.report
    figures = []
    if len(page.windows.moment_ms):
        drawn = plots.shares_over_time(page.windows, page.cap)
        title = f"Share of the last {page.windows.window:,} sales"
        figures.append(figure(title, drawn, ' class="broad"'))
    figures += exposure_figures(report)
    if report.merit and any(row.share > 0 and row.merit_share > 0 for row in report.rows):
        figures.append(figure("Exposure against merit", plots.exposure_against_merit(report)))
    if report.costs:
        figures.append(figure("Cost of fairness by hour (UTC)", plots.cost_by_hour(report.costs)))
    if page.outcomes:
        drawn = plots.frontier_of(page.outcomes)
        figures.append(figure("The same auctions under other caps", drawn, ' class="broad"'))
    tables = exposure_html(report) + _frontier_html(page.outcomes)
    return html.page(page.moment, _tiles(page), figures, tables)


def exposure_figures(report: FairnessReport) -> list[str]:
    """Drawn for any report that has hours."""
    if not report.hours:
        return []
    return [
        figure("How evenly advertisers are shown", plots.lorenz_curve(report)),
        figure("Concentration, hour by hour (UTC)", plots.concentration(report)),
    ]


def exposure_html(report: FairnessReport, most: int = 20) -> str:
    rows = [[row.name, *_cells(row, report)] for row in report.rows[:most]]
    tiles = html.tiles([(name, value, "") for name, value in measures(report)], "tiles small")
    return html.table(f"Exposure ({report.basis})", ["advertiser", *COLUMNS], rows, []) + tiles


def measures(report: FairnessReport) -> list[tuple[str, str]]:
    overall = report.overall
    told = [
        ("advertisers", f"{overall.advertisers:,}"),
        ("largest share", f"{overall.top_share:.2%}"),
        ("HHI", f"{overall.hhi:.4f}"),
        ("Gini", f"{overall.gini:.3f}"),
        ("Jain", f"{overall.jain:.3f}"),
        ("cost of fairness", f"{money(report.cost_micros)} ({report.cost_share:.2%})"),
        ("sold past the cap", f"{report.relaxed:,}"),
    ]
    if report.merit:
        told.append(("away from merit", f"{report.merit.distance:.1%}"))
    return told


def _tiles(page: FairnessPage) -> list[html.Tile]:
    report, overall = page.report, page.report.overall
    cap = "no cap" if page.cap >= 1 else f"cap {page.cap:.0%}"
    cost = "lower" if report.cost_micros >= 0 else "higher"
    tiles = [
        ("Largest share", f"{overall.top_share:.1%}", f"of {overall.exposures:,}; {cap}"),
        (
            "Advertisers",
            f"{overall.advertisers:,}",
            f"as many as {1 / overall.hhi:.1f} alike" if overall.hhi else "",
        ),
        ("Gini", f"{overall.gini:.3f}", f"Jain {overall.jain:.3f}"),
        (
            "Cost of fairness",
            money(report.cost_micros),
            f"prices {abs(report.cost_share):.1%} {cost} than without, for the same bids",
        ),
        ("Sold past the cap", f"{report.relaxed:,}", "rather than left empty"),
    ]
    if report.merit:
        away = f"of exposure; {report.auctions:,} auctions"
        tiles.append(("Away from merit", f"{report.merit.distance:.1%}", away))
    return tiles


def _cells(row: AdvertiserShare, report: FairnessReport) -> list[str]:
    shown = [f"{row.exposures:,}", f"{row.share:.2%}", f"{row.plain_share:.2%}"]
    if not report.merit:
        return [*shown, "–", "–", "–"]
    per_merit = f"{row.per_merit:.2f}" if row.merit_share else "–"
    return [*shown, f"{row.eligible_share:.1%}", f"{row.merit_share:.2%}", per_merit]


def _frontier_html(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    title = f"The same {outcomes[0].slots:,} slots under other caps, bids unchanged"
    return html.table(title, ["cap", *FRONTIER_COLUMNS], _frontier_rows(outcomes), [])


def _frontier_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    free = max(outcomes, key=lambda one: one.cap)
    return [
        [
            "none" if one.cap >= 1 else f"{one.cap:.0%}",
            "hard" if one.hard_only else "dual" if one.cap < 1 else "–",
            f"{one.welfare_micros / max(1, free.welfare_micros) - 1:+.1%}",
            f"{one.revenue_micros / max(1, free.revenue_micros) - 1:+.1%}",
            f"{one.rebated_micros / max(1, free.revenue_micros) - 1:+.1%}",
            f"{one.spread.top_share:.1%}",
            f"{one.worst_share:.1%}",
            f"{one.spread.hhi:.3f}",
            f"{one.spread.gini:.3f}",
            f"{one.relaxed:,}",
        ]
        for one in outcomes
    ]
