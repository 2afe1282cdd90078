"""The reports' plots as inline SVG.

Colours are CSS variables and the page's own text colour, so that one drawing suits a light and a
dark page; text stays text. Knows figures, not where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from feedback.fairness import FairnessReport
from feedback.reports import CtrReport, Figures
from feedback.spread import lorenz

MOST_BARS = 12
LEAST_EXPOSURES = 30
"""Shares of fewer exposures than this say nothing about fairness."""
# stand-ins that the SVG's text is searched for; chosen so that no two colours are alike
_INK, _GRID, _FIRST, _SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
_CSS = {
    _INK: "currentColor",
    _GRID: "var(--grid)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,  # an advertiser's name may hold dollar signs
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "legend.frameon": False,
}


def ctr_by_hour(report: CtrReport) -> str:
    """Click rate of each hour with its 95 % interval, over bars of impressions.

    The scale suits the hours with some traffic: an hour with three impressions has an interval
    that would flatten all others, and is cut off at the top.
    """
    rows = report.rows
    at = np.arange(len(rows))

    def draw(axes: Axes) -> None:
        low, high = np.array([row.ctr_interval for row in rows]).T
        rate = np.array([row.ctr for row in rows])
        seen = np.array([row.impressions for row in rows])
        count = axes.twinx()
        count.bar(at, seen, 0.8, color=_GRID)
        count.yaxis.set_major_formatter(FuncFormatter(_short))
        count.set_ylabel("impressions (bars)")
        axes.set_zorder(count.get_zorder() + 1)
        error = np.abs(np.stack([rate - low, high - rate]))
        some = seen > 0
        axes.errorbar(
            at[some], rate[some], error[:, some], color=_FIRST, marker="o", markersize=4, capsize=2
        )
        busy = seen >= max(1, 0.1 * seen.max())
        axes.set_ylim(0, max(1e-6, 1.2 * float(high[busy].max(initial=0))))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.set_ylabel("click rate (line)")
        _name_hours(axes, [row.name for row in rows], most=24)

    return _svg(draw, height=3.0, grid=None, width=12.8)


def spend_by(report: CtrReport) -> str:
    """Who spent most, in currency units; the rest as one bar."""
    paying = [row for row in report.rows if row.spend_micros]
    rest = sum(row.spend_micros for row in paying[MOST_BARS:])
    bars = [(row.name, row.spend_micros / 1e6) for row in paying[:MOST_BARS]]
    if rest:
        bars.append((f"{len(paying) - MOST_BARS} others", rest / 1e6))
    return _bars(bars, lambda value: f"${value:,.2f}" if value < 100 else f"${value:,.0f}")


def no_fill_reasons(total: Figures) -> str:
    """Slots left empty, by the one reason of each."""
    reasons = sorted(total.no_fills.items(), key=lambda item: -item[1])
    bars = [(reason.replace("_", " ").lower(), float(slots)) for reason, slots in reasons]
    return _bars(bars[:MOST_BARS], _short)


def lorenz_curve(report: FairnessReport) -> str:
    """Share of exposure held by the least shown advertisers; the diagonal is equality."""
    part, held = lorenz(report.exposure)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=(0, (4, 4)), alpha=0.5)
        axes.fill_between(part, held, part, color=_FIRST, alpha=0.15, linewidth=0)
        axes.plot(part, held, color=_FIRST, linewidth=2)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("advertisers, least shown first")
        axes.set_ylabel("share of exposure")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.text(0.04, 0.94, f"Gini {report.overall.gini:.3f}", transform=axes.transAxes)

    return _svg(draw, height=3.4, grid="both")


def concentration(report: FairnessReport) -> str:
    """Largest share and Herfindahl index, hour by hour; hours with hardly any traffic left out."""
    full = [item for item in report.hours if item[1].exposures >= LEAST_EXPOSURES]
    hours = full or list(report.hours)
    at = np.arange(len(hours))

    def draw(axes: Axes) -> None:
        top = [spread.top_share for _, spread in hours]
        hhi = [spread.hhi for _, spread in hours]
        axes.plot(at, top, color=_FIRST, marker="o", markersize=4, label="largest share")
        axes.plot(at, hhi, color=_SECOND, marker="o", markersize=4, label="HHI")
        axes.set_ylim(0, min(1.05, 1.3 * max([*top, *hhi])))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="upper left", ncols=2)
        _name_hours(axes, [hour for hour, _ in hours], most=12)

    return _svg(draw, height=3.4, grid="y")


def _bars(bars: Sequence[tuple[str, float]], written: Callable[[float], str]) -> str:
    def draw(axes: Axes) -> None:
        at = np.arange(len(bars))
        colours = [_GRID if name.endswith(" others") else _FIRST for name, _ in bars]
        drawn = axes.barh(at, [value for _, value in bars], 0.7, color=colours)
        axes.bar_label(drawn, [written(value) for _, value in bars], padding=4, color=_INK)
        axes.set_yticks(at, [_shorten(name) for name, _ in bars])
        axes.set_xticks([])
        axes.set_xlim(0, 1.2 * max(value for _, value in bars))
        axes.set_ylim(max(8, len(bars)) - 0.4, -0.6)
        axes.spines["bottom"].set_visible(False)

    return _svg(draw, height=3.4, grid=None)


def _name_hours(axes: Axes, hours: Sequence[str], most: int) -> None:
    """At most so many labels; the date only where it changes."""
    step = max(1, -(-len(hours) // most))
    at = range(0, len(hours), step)
    labels = []
    day = ""
    for index in at:
        date, _, hour = hours[index].partition(" ")
        labels.append(hour[:2] if date == day else f"{hour[:2]}\n{date}")
        day = date
    axes.set_xticks(list(at), labels)
    axes.set_xlim(-0.7, len(hours) - 0.3)


def _svg(draw: Any, height: float, grid: Any, width: float = 6.4) -> str:
    """The drawing alone, scaled by the page to its column."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        if grid:
            axes.grid(axis=grid, linewidth=0.8)
            axes.yaxis.set_major_locator(MaxNLocator(5))
        draw(axes)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for stand_in, css in _CSS.items():
        svg = svg.replace(stand_in, css)
    return svg


def _short(value: float, _: Any = None) -> str:
    """12, 3.4k, 5.6M: short enough for an axis."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:,.0f}"


def _shorten(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
