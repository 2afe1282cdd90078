"""The plots of the click-rate reports. Knows figures, not where they come from."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from feedback.drawing import FIRST, GRID, bars, name_hours, short, svg
from feedback.reports import CtrReport, Figures

MOST_BARS = 12


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
        count.bar(at, seen, 0.8, color=GRID)
        count.yaxis.set_major_formatter(FuncFormatter(short))
        count.set_ylabel("impressions (bars)")
        axes.set_zorder(count.get_zorder() + 1)
        error = np.abs(np.stack([rate - low, high - rate]))
        some = seen > 0
        axes.errorbar(
            at[some], rate[some], error[:, some], color=FIRST, marker="o", markersize=4, capsize=2
        )
        busy = seen >= max(1, 0.1 * seen.max())
        axes.set_ylim(0, max(1e-6, 1.2 * float(high[busy].max(initial=0))))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.set_ylabel("click rate (line)")
        name_hours(axes, [row.name for row in rows], most=24)

    return svg(draw, height=3.0, grid=None, width=12.8)


def spend_by(report: CtrReport) -> str:
    """Who spent most, in currency units; the rest as one bar."""
    paying = [row for row in report.rows if row.spend_micros]
    rest = sum(row.spend_micros for row in paying[MOST_BARS:])
    named = [(row.name, row.spend_micros / 1e6) for row in paying[:MOST_BARS]]
    if rest:
        named.append((f"{len(paying) - MOST_BARS} others", rest / 1e6))
    return bars(named, lambda value: f"${value:,.2f}" if value < 100 else f"${value:,.0f}")


def no_fill_reasons(total: Figures) -> str:
    """Slots left empty, by the one reason of each."""
    reasons = sorted(total.no_fills.items(), key=lambda item: -item[1])
    named = [(reason.replace("_", " ").lower(), float(slots)) for reason, slots in reasons]
    return bars(named[:MOST_BARS], short)
