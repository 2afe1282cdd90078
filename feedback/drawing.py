"""How the reports' plots are drawn: as inline SVG.

Colours are CSS variables and the page's own text colour, so that one drawing suits a light and a
dark page; text stays text. Knows no figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# stand-ins that the SVG's text is searched for; chosen so that no two colours are alike
INK, GRID, FIRST, SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
_CSS = {
    INK: "currentColor",
    GRID: "var(--grid)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,  # an advertiser's name may hold dollar signs
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "legend.frameon": False,
}


def bars(named: Sequence[tuple[str, float]], written: Callable[[float], str]) -> str:
    def draw(axes: Axes) -> None:
        at = np.arange(len(named))
        colours = [GRID if name.endswith(" others") else FIRST for name, _ in named]
        drawn = axes.barh(at, [value for _, value in named], 0.7, color=colours)
        axes.bar_label(drawn, [written(value) for _, value in named], padding=4, color=INK)
        axes.set_yticks(at, [shorten(name) for name, _ in named])
        axes.set_xticks([])
        axes.set_xlim(0, 1.2 * max(value for _, value in named))
        axes.set_ylim(max(8, len(named)) - 0.4, -0.6)
        axes.spines["bottom"].set_visible(False)

    return svg(draw, height=3.4, grid=None)


def name_hours(axes: Axes, hours: Sequence[str], most: int) -> None:
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


def svg(draw: Any, height: float, grid: Any, width: float = 6.4) -> str:
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
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for stand_in, css in _CSS.items():
        drawn = drawn.replace(stand_in, css)
    return drawn


def short(value: float, _: Any = None) -> str:
    """12, 3.4k, 5.6M: short enough for an axis."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:,.0f}"


def shorten(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
