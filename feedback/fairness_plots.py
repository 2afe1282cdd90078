"""The plots of the fairness report. Knows figures, not where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from feedback.drawing import FIRST, INK, SECOND, name_hours, shorten, svg
from feedback.fairness import AdvertiserShare, FairnessReport, HourlyCost
from feedback.frontier import Outcome
from feedback.spread import lorenz
from feedback.windows import WindowShares

LEAST_EXPOSURES = 30
"""Shares of fewer exposures than this say nothing about fairness."""
MOST_NAMED = 4


def shares_over_time(shares: WindowShares, cap: float) -> str:
    """Share of the last sales of who ever had most, under the cap; the first is drawn strongest."""
    at = np.arange(len(shares.moment_ms))

    def draw(axes: Axes) -> None:
        for rank, share in reversed(list(enumerate(shares.share))):
            colour, alpha = (FIRST, 1.0) if rank == 0 else (INK, 0.55 - 0.08 * rank)
            axes.plot(at, share, color=colour, alpha=max(0.12, alpha), linewidth=2 - 0.15 * rank)
        top = 1.25 * float(shares.share[:, len(at) // 20 :].max(initial=0))
        if cap < 1:
            axes.axhline(cap, color=SECOND, linewidth=1.5, linestyle=(0, (4, 3)))
            side = axes.get_yaxis_transform()
            axes.text(
                1, cap, f"cap {cap:.0%}", color=SECOND, va="bottom", ha="right", transform=side
            )
            top = max(top, 1.6 * cap)
        axes.set_ylim(0, min(1.05, top))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        _name_moments(axes, shares)
        _name_lines(axes, shares, at)

    return svg(draw, height=3.2, grid="y", width=12.8)


def _name_lines(axes: Axes, shares: WindowShares, at: NDArray[np.intp]) -> None:
    """At the right end, the largest first and none over another."""
    if not len(at):
        return
    low, high = axes.get_ylim()
    taken: list[float] = []
    for rank in np.argsort(-shares.share[:, -1], kind="stable"):
        y = float(shares.share[rank, -1])
        while any(abs(y - other) < 0.07 * (high - low) for other in taken):
            y -= 0.01 * (high - low)
        if y > low + 0.02 * (high - low) and len(taken) < MOST_NAMED:
            taken.append(y)
            colour = FIRST if rank == 0 else INK
            axes.text(at[-1] * 1.008, y, shorten(shares.names[rank]), color=colour, va="center")
    axes.set_xlim(0, at[-1] * 1.16)


def _name_moments(axes: Axes, shares: WindowShares) -> None:
    if not len(shares.moment_ms):
        return
    places = np.unique(np.linspace(0, len(shares.moment_ms) - 1, 7).astype(np.int64))
    moments = [datetime.fromtimestamp(shares.moment_ms[p] / 1000, UTC) for p in places]
    long = moments[-1].timestamp() - moments[0].timestamp() > 36 * 3600
    form = "%d %b %H:%M" if long else "%H:%M"
    axes.set_xticks(places, [f"{moment:{form}}" for moment in moments])


def lorenz_curve(report: FairnessReport) -> str:
    """Share of exposure held by the least shown advertisers; the diagonal is equality."""
    part, held = lorenz(report.exposure)

    def draw(axes: Axes) -> None:
        _diagonal(axes, 0.0, 1.0)
        axes.fill_between(part, held, part, color=FIRST, alpha=0.15, linewidth=0)
        axes.plot(part, held, color=FIRST, linewidth=2)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("advertisers, least shown first")
        axes.set_ylabel("share of exposure")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.text(0.04, 0.94, f"Gini {report.overall.gini:.3f}", transform=axes.transAxes)

    return svg(draw, height=3.4, grid="both")


def _diagonal(axes: Axes, low: float, high: float) -> None:
    axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=(0, (4, 4)), alpha=0.5)


def concentration(report: FairnessReport) -> str:
    """Largest share and Herfindahl index, hour by hour; hours with hardly any traffic left out."""
    full = [item for item in report.hours if item[1].exposures >= LEAST_EXPOSURES]
    hours = full or list(report.hours)
    at = np.arange(len(hours))

    def draw(axes: Axes) -> None:
        top = [spread.top_share for _, spread in hours]
        hhi = [spread.hhi for _, spread in hours]
        axes.plot(at, top, color=FIRST, marker="o", markersize=4, label="largest share")
        axes.plot(at, hhi, color=SECOND, marker="o", markersize=4, label="HHI")
        axes.set_ylim(0, min(1.05, 1.3 * max([*top, *hhi])))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="upper left", ncols=2)
        name_hours(axes, [hour for hour, _ in hours], most=12)

    return svg(draw, height=3.4, grid="y")


def exposure_against_merit(report: FairnessReport) -> str:
    """One dot per advertiser; above the diagonal it is shown more than its offers deserve."""
    rows = [row for row in report.rows if row.share > 0 and row.merit_share > 0]
    share = np.array([row.share for row in rows])
    deserved = np.array([row.merit_share for row in rows])

    def draw(axes: Axes) -> None:
        low = 0.7 * float(min(share.min(initial=1), deserved.min(initial=1)))
        high = min(1.0, 1.8 * float(max(share.max(initial=0), deserved.max(initial=0))))
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        _diagonal(axes, low, high)
        axes.scatter(deserved, share, s=26, color=FIRST, alpha=0.65, linewidths=0)
        _name_dots(axes, [row for row in rows if row.share >= 0.02])
        axes.set_xlabel("merit: share of what could have been paid")
        axes.set_ylabel("share of exposure")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
            axis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)

    return svg(draw, height=3.8, grid=None)


def _name_dots(axes: Axes, rows: Sequence[AdvertiserShare]) -> None:
    """Largest first, away from the diagonal, and none over another."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        above = row.share >= row.merit_share
        y = float(np.log10(row.share))
        if any(abs(y - other) < 0.14 for other in taken[above]):
            continue
        taken[above].append(y)
        axes.annotate(
            shorten(row.name),
            (row.merit_share, row.share),
            (-7, 0) if above else (0, -12),
            textcoords="offset points",
            ha="right" if above else "center",
            va="center",
            fontsize=9,
        )


def cost_by_hour(costs: Sequence[HourlyCost]) -> str:
    """Exact: each decision says at what price it would have sold; below 0 fairness earned."""
    at = np.arange(len(costs))
    cost = np.array([one.plain_micros - one.clear_micros for one in costs]) / 1e6

    def draw(axes: Axes) -> None:
        axes.bar(at, cost, 0.8, color=[FIRST if value >= 0 else SECOND for value in cost])
        axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{'-' if value < 0 else ''}${abs(value):g}")
        )
        axes.set_ylabel("given up by the seller")
        name_hours(axes, [one.hour for one in costs], most=12)

    return svg(draw, height=3.8, grid="y")


def frontier_of(outcomes: Sequence[Outcome]) -> str:
    """Welfare and revenue at each cap, against no cap. Revenue is drawn with the winners' dual
    prices given back: what is left when bids have answered to them."""
    free = max(outcomes, key=lambda one: one.cap)
    ordered = sorted((one for one in outcomes if not one.hard_only), key=lambda one: -one.cap)
    hard = sorted((one for one in outcomes if one.hard_only), key=lambda one: -one.cap)

    def draw(axes: Axes) -> None:
        place = {one.cap: at for at, one in enumerate(ordered)}
        at = [place[one.cap] for one in ordered]
        welfare = [one.welfare_micros / max(1, free.welfare_micros) for one in ordered]
        revenue = [one.rebated_micros / max(1, free.revenue_micros) for one in ordered]
        alone = [one.welfare_micros / max(1, free.welfare_micros) for one in hard]
        axes.plot(at, welfare, color=FIRST, marker="o", linewidth=2, label="welfare")
        axes.plot(at, revenue, color=SECOND, marker="o", linewidth=2, label="revenue, rebated")
        if hard:
            places = [place[one.cap] for one in hard]
            axes.plot(
                places,
                alone,
                color=FIRST,
                marker="o",
                alpha=0.45,
                linestyle=(0, (3, 3)),
                markersize=4,
                label="welfare, hard cap alone",
            )
        axes.set_ylim(0, 1.08)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xticks(at, ["none" if one.cap >= 1 else f"{one.cap:.0%}" for one in ordered])
        axes.set_xlabel("cap on an advertiser's share")
        axes.legend(loc="lower left")

    return svg(draw, height=3.4, grid="y", width=12.8)
