"""The pacing report for a terminal, a spreadsheet and a browser."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter
from rich.table import Table

from feedback import html
from feedback.drawing import FIRST, INK, SECOND, bars, shorten, svg
from feedback.html import COMPACT, as_of, cell, figure, money, rounded
from feedback.pacing import HOURS, Budget, PacingReport

COLUMNS = ("plan", "due by now", "spent", "of due", "projected", "of plan", "held back by")
SHORT = ("plan", "due", "spent", "of due", "projected", "held back by")
MOST_BARS = 12
MOST_LINES = 6


def pacing_table(report: PacingReport, most: int = 30) -> Table:
    """For a terminal; `most` budgets, then the total of all."""
    title = f"Spend against plan by {report.by} on {report.day} · {as_of(report.as_of_ms)}"
    table = Table(title=title, **COMPACT)
    table.add_column(report.by, no_wrap=True, max_width=18)
    for column in SHORT:
        last = column == SHORT[-1]
        table.add_column(column, justify="left" if last else "right", no_wrap=not last)
    for row in report.rows[:most]:
        table.add_row(shorten(row.name), *_short_cells(row), style="yellow" if row.lags else "")
    if len(report.rows) > most:
        table.add_row(f"… {len(report.rows) - most} more")
    table.add_section()
    plan, due, spent, projected = _totals(report)
    sums = [*map(rounded, (plan, due, spent)), _sums(report)[3], rounded(projected)]
    table.add_row("total", *sums, style="bold")
    table.caption = f"{report.passed:.1%} of the day's expected traffic is over"
    return table


def pacing_csv(report: PacingReport) -> str:
    """Every budget in full precision, money in micros, a column per hour."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["plan_micros", "due_micros", "spent_micros", "delivery", "projected_micros", "reason"]
    writer.writerow(
        [report.by, "name", *head, *(f"hour_{hour:02}_micros" for hour in range(HOURS))]
    )
    for row in report.rows:
        figures = [row.plan_micros, row.due_micros, row.spent_micros, row.delivery]
        writer.writerow(
            [row.key, cell(row.name), *figures, row.projected_micros, row.reason, *row.hours]
        )
    return text.getvalue()


def pacing_page(report: PacingReport) -> str:
    """A page that needs no other file."""
    planned = [row for row in report.rows if row.plan_micros]
    figures = []
    if planned:
        wide = ' class="broad"'
        figures = [
            figure("Spend against plan of all budgets, hour by hour (UTC)", by_hour(report), wide),
            figure("Share of the plan spent, largest budgets", lines(report)),
            figure("How budgets deliver: spent of what is due", deliveries(planned)),
        ]
        lagging = [row for row in planned if row.lags and row.reasons]
        if lagging:
            figures.append(figure("What holds lagging budgets back", reasons(lagging)))
            figures.append(figure("Furthest behind", furthest(lagging)))
    table = html.table(
        f"By {report.by.replace('_', ' ')}",
        [report.by.replace("_", " "), *COLUMNS],
        [[row.name, *_cells(row)] for row in report.rows[:100]],
        ["total", *_sums(report)],
    )
    return html.page(f"{report.day} · {as_of(report.as_of_ms)}", _tiles(report), figures, table)


def by_hour(report: PacingReport) -> str:
    """Bars: spent in the hour; steps: what the plans had due in it."""
    plan = sum(row.plan_micros for row in report.rows) / 1e6
    spent = np.sum([row.hours for row in report.rows], axis=0) / 1e6
    at = np.arange(HOURS)

    def draw(axes: Axes) -> None:
        axes.bar(at + 0.5, spent, 0.8, color=FIRST, alpha=0.85, label="spent")
        axes.stairs(plan * report.traffic, np.arange(HOURS + 1), color=SECOND, linewidth=2,
                    baseline=None, label="plan")  # fmt: skip
        axes.axvline(report.elapsed, color=INK, linewidth=1, linestyle=(0, (4, 4)), alpha=0.6)
        axes.legend(loc="upper left", ncols=2)
        axes.set_ylim(0, 1.25 * max(1e-6, axes.get_ylim()[1]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: rounded(round(value * 1e6))))
        _hours(axes, 1)

    return svg(draw, height=3.0, grid="y", width=12.8)


def lines(report: PacingReport) -> str:
    """Running share of the plan: each budget a line, the plan itself dashed."""
    rows = [row for row in report.rows if row.plan_micros][:MOST_LINES]
    until = min(HOURS, int(report.elapsed) + 1)

    def draw(axes: Axes) -> None:
        plan = np.concatenate([[0.0], np.cumsum(report.traffic)])
        axes.plot(np.arange(HOURS + 1), plan, color=INK, linewidth=1.2, linestyle=(0, (4, 4)))
        for number, row in enumerate(rows):
            share = np.concatenate([[0], np.cumsum(row.hours[:until])]) / row.plan_micros
            at = np.minimum(np.arange(until + 1), report.elapsed)
            axes.plot(at, share, color=FIRST, linewidth=1.8, alpha=1 - number / (MOST_LINES + 2))
        axes.plot([], [], color=INK, linestyle=(0, (4, 4)), label="plan")
        axes.plot([], [], color=FIRST, label=f"the {len(rows)} largest budgets")
        axes.legend(loc="upper left")
        axes.set_ylim(0, 1.12)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        _hours(axes, 3)

    return svg(draw, height=3.4, grid="y")


def deliveries(rows: Sequence[Budget]) -> str:
    """How many budgets are how far: those between the lines deliver as planned."""
    share = np.clip([row.delivery for row in rows], 0, 1.5)
    edges = np.linspace(0, 1.5, 31)

    def draw(axes: Axes) -> None:
        count, _ = np.histogram(share, edges)
        colours = [SECOND if edge < 0.95 else FIRST for edge in edges[:-1]]
        axes.bar(edges[:-1] + 0.025, count, 0.046, color=colours)
        axes.axvline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 4)), alpha=0.6)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("spent of what is due by now (150 % and more: last bar)")
        axes.set_ylabel("budgets")

    return svg(draw, height=3.4, grid="y")


def reasons(rows: Sequence[Budget]) -> str:
    """Each lagging budget counts by the money that it lags."""
    missing: dict[str, float] = {}
    for row in rows:
        for why, share in row.reasons.items():
            missing[why] = missing.get(why, 0.0) + share * (row.due_micros - row.spent_micros)
    total = sum(missing.values())
    named = sorted(
        ((why, share / total) for why, share in missing.items()), key=lambda one: -one[1]
    )
    return bars(named[:MOST_BARS], lambda value: f"{value:.1%}")


def furthest(rows: Sequence[Budget]) -> str:
    """Money missing against what is due."""
    behind = sorted(rows, key=lambda row: row.spent_micros - row.due_micros)[:MOST_BARS]
    named = [(row.name, (row.due_micros - row.spent_micros) / 1e6) for row in behind]
    return bars(named, lambda value: f"${value:,.2f}")


def _hours(axes: Axes, step: int) -> None:
    at = range(0, HOURS + 1, step)
    axes.set_xticks(list(at), [f"{hour:02}" for hour in at])
    axes.set_xlim(0, HOURS)


def _cells(row: Budget) -> list[str]:
    return [
        money(row.plan_micros) if row.plan_micros else "no plan",
        money(row.due_micros),
        money(row.spent_micros),
        f"{row.delivery:.1%}" if row.due_micros else "–",
        money(row.projected_micros),
        f"{row.projected_micros / row.plan_micros:.1%}" if row.plan_micros else "–",
        _held_back(row),
    ]


def _short_cells(row: Budget) -> list[str]:
    """For a terminal of 80 columns."""
    return [
        rounded(row.plan_micros) if row.plan_micros else "none",
        rounded(row.due_micros),
        rounded(row.spent_micros),
        f"{row.delivery:.0%}" if row.due_micros else "–",
        rounded(row.projected_micros),
        _held_back(row),
    ]


def _held_back(row: Budget) -> str:
    share = next(iter(row.reasons.values()), 0.0)
    return f"{row.reason} ({share:.0%})" if row.lags and row.reasons else row.reason


def _totals(report: PacingReport) -> list[int]:
    """Plan, due, spent and projected."""
    names = ("plan_micros", "due_micros", "spent_micros", "projected_micros")
    return [sum(getattr(row, name) for row in report.rows) for name in names]


def _sums(report: PacingReport) -> list[str]:
    plan, due, spent, projected = _totals(report)
    return [
        money(plan),
        money(due),
        money(spent),
        f"{spent / due:.1%}" if due else "–",
        money(projected),
        f"{projected / plan:.1%}" if plan else "–",
        "",
    ]


def _tiles(report: PacingReport) -> list[html.Tile]:
    plan, due, spent, projected = (rounded(micros) for micros in _totals(report))
    share, of_plan = (_sums(report)[at] for at in (3, 5))
    planned = [row for row in report.rows if row.plan_micros]
    lagging = sum(row.lags for row in planned)
    return [
        ("Plan of the day", plan, f"{len(planned):,} budgets"),
        ("Traffic over", f"{report.passed:.1%}", "of a usual day, as learnt from the log"),
        ("Due by now", due, ""),
        ("Spent", spent, f"{share} of due"),
        ("Projected", projected, f"{of_plan} of plan"),
        ("Lagging", f"{lagging:,}", "budgets below 97.5 % of what is due"),
    ]
