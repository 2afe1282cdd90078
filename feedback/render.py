"""Reports for a terminal, a spreadsheet and a browser. Knows figures, not where they come from."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from io import StringIO
from string import Template

from rich.table import Table

from feedback import plots
from feedback.fairness import FairnessReport
from feedback.reports import CtrReport, Figures

CTR_COLUMNS = (
    "decisions",
    "fills",
    "fill rate",
    "impressions",
    "viewable",
    "clicks",
    "CTR",
    "95 % interval",
    "spend",
    "eCPM",
)
FAIRNESS_COLUMNS = ("exposures", "share", "share if fairness were off")


def ctr_table(report: CtrReport, most: int = 30) -> Table:
    """For a terminal; `most` rows, then the total of all."""
    table = Table(
        title=f"Click rate by {report.by} · {_as_of(report.as_of_ms)}", title_justify="left"
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


def fairness_table(report: FairnessReport, most: int = 20) -> Table:
    """For a terminal; the most shown advertisers, then the measures of all."""
    table = Table(title=f"Exposure by advertiser · {report.basis}", title_justify="left")
    table.add_column("advertiser")
    for column in FAIRNESS_COLUMNS:
        table.add_column(column, justify="right")
    for row in report.rows[:most]:
        table.add_row(row.name, f"{row.exposures:,}", f"{row.share:.2%}", f"{row.plain_share:.2%}")
    table.caption = " · ".join(f"{name} {value}" for name, value in _measures(report))
    return table


def ctr_csv(report: CtrReport) -> str:
    """Every row in full precision, money in micros, a column per no-fill reason."""
    reasons = sorted(report.total.no_fills)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["decisions", "fills", *(f"no_fill_{reason}" for reason in reasons)]
    head += ["impressions", "viewables", "clicks", "filtered", "ctr", "ctr_low", "ctr_high"]
    writer.writerow([report.by, "name", *head, "spend_micros", "ecpm_micros"])
    for row in report.rows:
        events = [row.impressions, row.viewables, row.clicks, row.filtered]
        empty = [row.no_fills.get(reason, 0) for reason in reasons]
        rates = [row.ctr, *row.ctr_interval, row.spend_micros, row.ecpm_micros]
        writer.writerow(
            [row.key, _cell(row.name), row.decisions, row.fills, *empty, *events, *rates]
        )
    return text.getvalue()


def fairness_csv(report: FairnessReport) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["advertiser", "name", "exposures", "share", "plain_share"])
    for row in report.rows:
        writer.writerow(
            [row.advertiser, _cell(row.name), row.exposures, row.share, row.plain_share]
        )
    return text.getvalue()


def page(reports: Sequence[CtrReport], fairness: FairnessReport) -> str:
    """A page that needs no other file: figures, plots, then a table per report.

    At least one report; the first gives the totals. A report by hour is drawn over time, one by
    advertiser as spend.
    """
    total = reports[0].total
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><small>{escape(note)}</small></div>"
        for name, value, note in _tiles(reports[0])
    )
    figures = [_drawn(report) for report in reports if report.by in {"hour", "advertiser"}]
    if total.no_fills:
        figures.append(_figure("Why slots stayed empty", plots.no_fill_reasons(total)))
    if fairness.hours:
        figures.append(_figure("How evenly advertisers are shown", plots.lorenz_curve(fairness)))
        figures.append(_figure("Concentration, hour by hour (UTC)", plots.concentration(fairness)))
    return _PAGE.substitute(
        as_of=escape(_as_of(reports[0].as_of_ms)),
        tiles=tiles,
        figures="".join(figures),
        tables="".join(_ctr_html(report) for report in reports) + _fairness_html(fairness),
    )


def _ctr_cells(row: Figures) -> list[str]:
    low, high = row.ctr_interval
    return [
        f"{row.decisions:,}",
        f"{row.fills:,}",
        f"{row.fill_rate:.1%}",
        f"{row.impressions:,}",
        f"{row.viewables:,}",
        f"{row.clicks:,}",
        f"{row.ctr:.3%}" if row.impressions else "–",
        f"{low:.2%} – {high:.2%}" if row.impressions else "–",
        _money(row.spend_micros),
        _money(row.ecpm_micros) if row.impressions else "–",
    ]


def _tiles(report: CtrReport) -> list[tuple[str, str, str]]:
    total = report.total
    low, high = total.ctr_interval
    filtered = ", ".join(f"{name.lower()} {count:,}" for name, count in report.filtered.items())
    return [
        ("Slot decisions", f"{total.decisions:,}", f"of {report.requests:,} requests"),
        ("Fill rate", f"{total.fill_rate:.1%}", f"{total.unfilled:,} left empty"),
        ("Impressions", f"{total.impressions:,}", f"{total.viewables:,} in view"),
        ("Clicks", f"{total.clicks:,}", f"not counted: {filtered or 'none'}"),
        ("Click rate", f"{total.ctr:.3%}", f"95 %: {low:.2%} – {high:.2%}"),
        ("Spend", _money(total.spend_micros), f"eCPM {_money(total.ecpm_micros)}"),
    ]


def _measures(report: FairnessReport) -> list[tuple[str, str]]:
    overall = report.overall
    return [
        ("advertisers", f"{overall.advertisers:,}"),
        ("largest share", f"{overall.top_share:.2%}"),
        ("HHI", f"{overall.hhi:.4f}"),
        ("Gini", f"{overall.gini:.3f}"),
        ("Jain", f"{overall.jain:.3f}"),
        ("cost of fairness", f"{_money(report.cost_micros)} ({report.cost_share:.2%})"),
        ("sold past the cap", f"{report.relaxed:,}"),
    ]


def _drawn(report: CtrReport) -> str:
    if report.by == "hour" and report.rows:
        return _figure("Click rate by hour (UTC)", plots.ctr_by_hour(report), ' class="broad"')
    if report.by == "advertiser" and report.total.spend_micros:
        return _figure("Spend by advertiser", plots.spend_by(report))
    return ""


def _figure(title: str, svg: str, attributes: str = "") -> str:
    return f"<figure{attributes}><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def _ctr_html(report: CtrReport, most: int = 50) -> str:
    rows = [[row.name, *_ctr_cells(row)] for row in report.rows[:most]]
    more = f" (the first {most} of {len(report.rows):,})" if len(report.rows) > most else ""
    head = [report.by.replace("_", " "), *CTR_COLUMNS]
    foot = ["total", *_ctr_cells(report.total)]
    return _table_html(f"By {report.by.replace('_', ' ')}{more}", head, rows, foot)


def _fairness_html(report: FairnessReport, most: int = 20) -> str:
    rows = [
        [row.name, f"{row.exposures:,}", f"{row.share:.2%}", f"{row.plain_share:.2%}"]
        for row in report.rows[:most]
    ]
    measures = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in _measures(report)
    )
    table = _table_html(f"Exposure ({report.basis})", ["advertiser", *FAIRNESS_COLUMNS], rows, [])
    return f'{table}<dl class="tiles small">{measures}</dl>'


def _table_html(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str]
) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    total = f"<tfoot>{line(foot, 'td')}</tfoot>" if foot else ""
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table>'
        f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{total}</table></div>"
    )


def _cell(text: str) -> str:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _money(micros: int) -> str:
    return f"${micros / 1e6:,.2f}" if micros >= 0 else f"-${-micros / 1e6:,.2f}"


def _as_of(ms: int) -> str:
    if not ms:
        return "no data yet"
    return f"as of {datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Ad report</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1d2430; --soft: #667085;
  --grid: #dfe3ea; --first: #2f6fde; --second: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --card: #1c222b; --ink: #e6e9ef;
  --soft: #98a2b3; --grid: #343c49; --first: #6ea0ff; --second: #f0a35c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 16px; margin: 40px 0 8px; }
header span, dt, small, th { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px;
  margin: 20px 0; }
.tiles div, figure { background: var(--card); border-radius: 10px; padding: 14px 16px; }
dt, small { font-size: 12px; } dd { margin: 0; font-size: 24px; font-weight: 600;
  font-variant-numeric: tabular-nums; } .small dd { font-size: 16px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr));
  gap: 12px; }
figure { margin: 0; } .broad { grid-column: 1 / -1; }
figcaption { font-weight: 600; margin-bottom: 8px; }
svg { width: 100%; height: auto; display: block; } svg text { font-family: inherit !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { font-weight: 500; font-size: 12px; } tfoot td { font-weight: 600; border: 0; }
th:first-child, td:first-child { text-align: left; }
</style></head><body>
<header><h1>Ad report</h1><span>$as_of</span></header>
<dl class="tiles">$tiles</dl>
<div class="figures">$figures</div>
$tables
</body></html>
""")
