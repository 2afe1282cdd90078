"""Reports for a terminal, a spreadsheet and a browser. Knows figures, not where they come from."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from rich.table import Table

from feedback import html, plots
from feedback.fairness import FairnessReport
from feedback.fairness_page import exposure_figures, exposure_html
from feedback.html import COMPACT, as_of, cell, figure, money
from feedback.reports import EVENTS, CtrReport, Figures

CTR_COLUMNS = (
    "decisions",
    "fills",
    "fill",
    "impressions",
    "viewable",
    "clicks",
    "conv.",
    "CTR",
    "95 %",
    "spend",
    "eCPM",
)


def ctr_table(report: CtrReport, most: int = 30) -> Table:
    """For a terminal; `most` rows, then the total of all."""
    table = Table(
        title=f"Click rate by {report.by} · {as_of(report.as_of_ms)}",
        **COMPACT,
    )
    table.add_column(report.by)
    for column in CTR_COLUMNS:
        table.add_column(column, justify="right")
    for row in report.rows[:most]:
        table.add_row(row.name, *_ctr_cells(row))
    if len(report.rows) > most:
        table.add_row(f"… {len(report.rows) - most} more")
    table.add_section()
    table.add_row("total", *_ctr_cells(report.total), style="bold")
    reasons = ", ".join(f"{name} {count:,}" for name, count in _by_count(report.total.no_fills))
    table.caption = f"{report.total.unfilled:,} no-fills: {reasons or 'none'}"
    return table


def ctr_csv(report: CtrReport) -> str:
    """Every row in full precision, money in micros, a column per no-fill reason."""
    reasons = sorted(report.total.no_fills)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["decisions", "fills", *(f"no_fill_{reason}" for reason in reasons)]
    head += [*EVENTS, "ctr", "ctr_low", "ctr_high"]
    writer.writerow([report.by, "name", *head, "spend_micros", "ecpm_micros"])
    for row in report.rows:
        events = [getattr(row, name) for name in EVENTS]
        empty = [row.no_fills.get(reason, 0) for reason in reasons]
        rates = [row.ctr, *row.ctr_interval, row.spend_micros, row.ecpm_micros]
        writer.writerow(
            [row.key, cell(row.name), row.decisions, row.fills, *empty, *events, *rates]
        )
    return text.getvalue()


def page(reports: Sequence[CtrReport], fairness: FairnessReport, more: str = "") -> str:
    """A page that needs no other file: figures, plots, then a table per report.

    At least one report; the first gives the totals. A report by hour is drawn over time, one by
    advertiser as spend. `more` is HTML that follows.
    """
    total = reports[0].total
    figures = [_drawn(report) for report in reports if report.by in {"hour", "advertiser"}]
    if total.no_fills:
        figures.append(figure("Why slots stayed empty", plots.no_fill_reasons(total)))
    figures += exposure_figures(fairness)
    tables = "".join(_ctr_html(report) for report in reports) + exposure_html(fairness) + more
    return html.page(as_of(reports[0].as_of_ms), _tiles(reports[0]), figures, tables)


def _ctr_cells(row: Figures) -> list[str]:
    low, high = row.ctr_interval
    return [
        f"{row.decisions:,}",
        f"{row.fills:,}",
        f"{row.fill_rate:.1%}",
        f"{row.impressions:,}",
        f"{row.viewables:,}",
        f"{row.clicks:,}",
        f"{row.conversions:,}",
        f"{row.ctr:.3%}" if row.impressions else "–",
        f"{low:.2%} – {high:.2%}" if row.impressions else "–",
        money(row.spend_micros),
        money(row.ecpm_micros) if row.impressions else "–",
    ]


def _tiles(report: CtrReport) -> list[tuple[str, str, str]]:
    total = report.total
    low, high = total.ctr_interval
    filtered = ", ".join(f"{name.lower()} {count:,}" for name, count in report.filtered.items())
    return [
        ("Slot decisions", f"{total.decisions:,}", f"of {report.requests:,} requests"),
        ("Fill rate", f"{total.fill_rate:.1%}", f"{total.unfilled:,} left empty"),
        ("Impressions", f"{total.impressions:,}", f"{total.viewables:,} in view"),
        (
            "Clicks",
            f"{total.clicks:,}",
            f"{total.conversions:,} conversions; not counted: {filtered or 'none'}",
        ),
        ("Click rate", f"{total.ctr:.3%}", f"95 %: {low:.2%} – {high:.2%}"),
        ("Spend", money(total.spend_micros), f"eCPM {money(total.ecpm_micros)}"),
    ]


def _drawn(report: CtrReport) -> str:
    if report.by == "hour" and report.rows:
        return figure("Click rate by hour (UTC)", plots.ctr_by_hour(report), ' class="broad"')
    if report.by == "advertiser" and report.total.spend_micros:
        return figure("Spend by advertiser", plots.spend_by(report))
    return ""


def _ctr_html(report: CtrReport, most: int = 50) -> str:
    rows = [[row.name, *_ctr_cells(row)] for row in report.rows[:most]]
    more = f" (the first {most} of {len(report.rows):,})" if len(report.rows) > most else ""
    head = [report.by.replace("_", " "), *CTR_COLUMNS]
    foot = ["total", *_ctr_cells(report.total)]
    return html.table(f"By {report.by.replace('_', ' ')}{more}", head, rows, foot)


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
