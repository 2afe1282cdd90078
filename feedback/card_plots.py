"""The pictures of a model card, as PNG files. Knows figures, not where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    Formatter,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)
from numpy.typing import NDArray

from feedback.chance import NORMAL_95

Floats = NDArray[np.float64]
BLUE, ORANGE, GREY = "#1f5fa8", "#c4601d", "#9aa3ad"
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "legend.frameon": False,
    "text.parse_math": False,
}
HISTOGRAM = 60
"""Bins of the scores' histogram."""
MANY = 3_000
"""How many times the least value of an axis is the largest where its names have no room."""
PERCENT = FuncFormatter(lambda rate, _: f"{rate * 100:g}%")


def roc(path: Path, curves: Sequence[tuple[str, Floats, Floats]]) -> None:
    """Named curves of false and true positive rates, the first one in front."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for (name, false, true), colour in zip(curves, (BLUE, ORANGE, GREY), strict=False):
            axes.plot(false, true, color=colour, linewidth=1.8, label=name)
        axes.set_xlabel("share of unclicked impressions above the threshold")
        axes.set_ylabel("share of clicks above it")
        axes.set_aspect("equal")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="lower right")

    _save(path, draw, 5.2, 5.2)


def calibration(path: Path, curves: Sequence[tuple[str, Floats, Floats, Floats]]) -> None:
    """Named predicted and seen rates of bins, with the standard errors of what was seen."""

    def draw(axes: Axes) -> None:
        every = np.concatenate([np.concatenate([p, s]) for _, p, s, _ in curves])
        low, high = every[every > 0].min() * 0.8, every.max() * 1.25
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=":")
        for (name, predicted, seen, error), colour in zip(curves, (ORANGE, BLUE), strict=False):
            axes.errorbar(
                predicted, seen, NORMAL_95 * error, color=colour, marker="o", markersize=3.5,
                linewidth=1.2, elinewidth=0.8, label=name,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        for axis in (axes.xaxis, axes.yaxis):
            _in_decades(axis, PERCENT)
        axes.set_xlabel("predicted click rate")
        axes.set_ylabel("seen click rate (95 % intervals)")
        axes.legend(loc="upper left")

    _save(path, draw, 5.2, 5.2)


def drift(path: Path, names: Sequence[str], psi: Floats, critical: Floats) -> None:
    """Stability indices, the largest first, with what chance alone exceeds once in a thousand."""

    def draw(axes: Axes) -> None:
        at = np.arange(len(names))
        axes.barh(at, psi, 0.7, color=BLUE, label="PSI, last day against first")
        axes.plot(critical, at, "|", color=ORANGE, markersize=11, label="exceeded by chance in 1 ‰")
        axes.set_yticks(at, names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xscale("log")
        _in_decades(axes.xaxis, StrMethodFormatter("{x:g}"))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)

    _save(path, draw, 7.2, 0.9 + 0.28 * len(names))


def _in_decades(axis: Axis, words: Formatter) -> None:
    """Of a logarithmic axis: 1, 2 and 5 of each decade are named, of many decades 1 alone, as the
    names would run into one another."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < low * MANY else (1,)))
    axis.set_major_formatter(words)
    axis.set_minor_formatter(NullFormatter())


def scores(path: Path, clicked: Floats, unclicked: Floats) -> None:
    """Two histograms of predicted click rates, each of area one."""

    def draw(axes: Axes) -> None:
        every = np.concatenate([clicked, unclicked])
        low, high = np.quantile(every, [0.0005, 0.9995]).tolist()
        edges = np.geomspace(low, high, HISTOGRAM)
        for values, colour, name in (
            (unclicked, GREY, "not clicked"),
            (clicked, BLUE, "clicked"),
        ):
            share = np.histogram(values, edges)[0] / max(1, len(values))
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.55, label=name)
        axes.set_xscale("log")
        _in_decades(axes.xaxis, PERCENT)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("predicted click rate")
        axes.set_ylabel("share of impressions of the kind")
        axes.legend(loc="upper right")

    _save(path, draw, 6.4, 3.6)


def _save(path: Path, draw: Callable[[Axes], None], width: float, height: float) -> None:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(path, dpi=110, metadata={"Software": None})
