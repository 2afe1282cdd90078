"""The plots of a run of the loop. Knows the report's figures, not where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from feedback.drawing import FIRST, GRID, INK, SECOND, svg

Days = Sequence[dict[str, Any]]
DASHED = (0, (4, 4))
HEIGHT = 3.2


def regret(days: Days, control: dict[str, Any] | None) -> str:
    """Share of the oracle's value that was missed, with its 95 % interval."""

    def draw(axes: Axes) -> None:
        at, value = _column(days, "day"), _column(days, "regret")
        low, high = _column(days, "regret_low"), _column(days, "regret_high")
        _with_error(axes, at, value, value - low, high - value, "as served")
        if control:
            axes.plot(control["day"], control["regret"], "D", color=SECOND, label="untrained")
        highest = max([*high.tolist(), control["regret"] if control else 0.0])
        axes.set_ylim(0, 1.1 * highest)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        _days(axes, days)
        axes.legend(loc="lower left")

    return svg(draw, height=HEIGHT, grid="y")


def revenue(days: Days, control: dict[str, Any] | None) -> str:
    """Billed."""

    def draw(axes: Axes) -> None:
        made = _column(days, "revenue_usd")
        axes.bar(_column(days, "day"), made, 0.6, color=FIRST)
        axes.set_ylim(0, 1.25 * float(made.max()))
        if control:
            axes.plot(control["day"], control["revenue_usd"], "D", color=SECOND, label="untrained")
            axes.legend(loc="upper left")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:,.0f}"))
        _days(axes, days)

    return svg(draw, height=HEIGHT, grid="y")


def click_rate(days: Days) -> str:
    """Clicked, predicted, and what the truth expects of the ads that were shown."""

    def draw(axes: Axes) -> None:
        at = _column(days, "day")
        axes.plot(at, _column(days, "ctr"), color=FIRST, marker="o", label="clicked")
        axes.plot(at, _column(days, "predicted_ctr"), color=SECOND, marker="o", label="predicted")
        true = _column(days, "true_ctr")
        axes.plot(at, true, color=INK, linestyle=DASHED, linewidth=1.2, label="by the truth")
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        _days(axes, days)
        axes.legend(loc="lower right")

    return svg(draw, height=HEIGHT, grid="y")


def calibration(days: Days) -> str:
    """Clicks over predicted clicks, with twice the deviation that chance gives."""

    def draw(axes: Axes) -> None:
        error = 2 * _column(days, "calibration_error")
        axes.axhline(1.0, color=INK, linewidth=1, linestyle=DASHED, alpha=0.6)
        copc = _column(days, "calibration")
        _with_error(axes, _column(days, "day"), copc, error, error, "")
        _days(axes, days)

    return svg(draw, height=HEIGHT, grid="y")


def ranking(days: Days) -> str:
    """AUC of the rates as served, and of the true rates, on the same impressions."""

    def draw(axes: Axes) -> None:
        at = _column(days, "day")
        axes.plot(at, _column(days, "auc"), color=FIRST, marker="o", label="as served")
        truth = _column(days, "auc_of_truth")
        axes.plot(at, truth, color=INK, linestyle=DASHED, linewidth=1.2, label="true rates")
        axes.set_ylim(0.45, None)
        _days(axes, days)
        axes.legend(loc="lower right")

    return svg(draw, height=HEIGHT, grid="y")


def curve(bins: Sequence[tuple[float, float, int, int]]) -> str:
    """Predicted against clicked in bins of equally many impressions; bars are two deviations."""

    def draw(axes: Axes) -> None:
        said, seen, rows, _ = np.array(bins, np.float64).T
        error = 2 * np.sqrt(np.maximum(seen * (1 - seen), 1e-9) / rows)
        most = 1.1 * float(max(said.max(), (seen + error).max()))
        axes.plot([0, most], [0, most], color=INK, linewidth=1, linestyle=DASHED, alpha=0.6)
        _with_error(axes, said, seen, np.minimum(error, seen), error, "")
        axes.set_xlabel("predicted")
        axes.set_ylabel("clicked")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))

    return svg(draw, height=HEIGHT, grid="y")


def deciders(hours: Sequence[dict[str, Any]]) -> str:
    """Requests of each hour by the version that decided them: releases as the market saw them."""
    moments = sorted({(row["day"], row["hour"]) for row in hours})
    place = {moment: number for number, moment in enumerate(moments)}
    versions = sorted({row["arm"] for row in hours if row["requests"]}, key=_number)
    requests = np.zeros((len(versions), len(moments)))
    for row in hours:
        if row["requests"]:
            requests[versions.index(row["arm"]), place[row["day"], row["hour"]]] += row["requests"]

    def draw(axes: Axes) -> None:
        base = np.zeros(len(moments))
        for number, name in enumerate(versions):
            colour = (GRID, FIRST, SECOND)[min(number, 1 + (number + 1) % 2)]
            share = requests[number] / np.maximum(requests.sum(axis=0), 1)
            axes.bar(np.arange(len(moments)), share, 1.0, base, color=colour)
            _name_area(axes, base, share, f"v{_number(name)}")
            base += share
        starts = [number for number, (_, hour) in enumerate(moments) if hour == moments[0][1]]
        axes.set_xticks(starts, [f"day {moments[one][0] + 1}" for one in starts], ha="left")
        axes.set_xlim(-0.5, len(moments) - 0.5)
        axes.yaxis.set_major_formatter(PercentFormatter(1))

    return svg(draw, height=2.6, grid=None, width=12.8)


def _name_area(axes: Axes, base: Any, share: Any, name: str) -> None:
    """Where it is widest."""
    if share.max() > 0:
        wide = np.flatnonzero(share >= share.max() - 1e-9)
        at = int(wide[len(wide) // 2])
        if share[at] > 0.2:
            axes.text(at, base[at] + share[at] / 2, name, ha="center", va="center", color=INK)


def _number(arm: str) -> int:
    return int(arm.rpartition("/")[2] or 0)


def _with_error(axes: Axes, at: Any, value: Any, below: Any, above: Any, label: str) -> None:
    error = np.maximum(np.stack([below, above]), 0.0)
    axes.errorbar(
        at, value, error, color=FIRST, marker="o", markersize=4, capsize=2, label=label or None
    )


def _days(axes: Axes, days: Days) -> None:
    at = [day["day"] for day in days]
    axes.set_xticks(at, [f"day {day + 1}" for day in at])
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)


def _column(days: Days, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([day[name] for day in days], np.float64)
