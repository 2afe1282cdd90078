"""The auction report for a terminal, a spreadsheet and a browser."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import PercentFormatter
from rich.table import Table

from feedback import html
from feedback.auctions import AuctionReport, Landscape, Spread, WinRate
from feedback.drawing import FIRST, GRID, INK, SECOND, bars, shorten, svg
from feedback.html import COMPACT, as_of, cell, figure, money, rounded

COLUMNS = (
    "slots", "fill rate", "revenue", "price", "bid", "paid of bid", "first price", "contested",
    "winning bids P10 · P50 · P90", "best losing bids P10 · P50 · P90", "cost of fairness",
)  # fmt: skip
SHORT = ("slots", "fill", "revenue", "price", "bid", "rival", "paid", "1st", "fairness")
"""For a terminal of 80 columns; `bid` and `rival` are medians."""
MOST_RANGES = 10
MOST_OF_EACH = 4
LEAST_ENTERED = 50
"""A win rate of fewer bids than this is not drawn."""


def auction_table(report: AuctionReport, by: str, most: int = 30) -> Table:
    """For a terminal: `most` rows, then the total."""
    table = Table(title=f"Auctions by {by} · {as_of(report.as_of_ms)}", **COMPACT)
    table.add_column(by, no_wrap=True)
    for column in SHORT:
        table.add_column(column, justify="right", no_wrap=True)
    rows = report.rows[by]
    for row in rows[:most]:
        table.add_row(row.name, *_short_cells(row))
    if len(rows) > most:
        table.add_row(f"… {len(rows) - most} more")
    table.add_section()
    table.add_row("total", *_short_cells(report.total), style="bold")
    table.caption = (
        "per thousand impressions; bid and rival: median winning and best losing bid; paid: of the "
        "bid; 1st: at first price; fairness: what it cost; revenue: if every ad sold is shown"
    )
    return table


def auction_csv(report: AuctionReport, by: str) -> str:
    """Every row in full precision, money in micros."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sums = ["slots", "sold", "bid_micros", "clear_micros", "plain_micros"]
    sums += ["first_price", "contested", "revenue_micros", "fairness_cost_micros"]
    spreads = [
        f"{kind}_{q}_micros" for kind in ("winning", "losing") for q in ("p10", "p50", "p90")
    ]
    writer.writerow([by, "name", *sums, *spreads])
    for row in report.rows[by]:
        values = [getattr(row, name) for name in sums]
        writer.writerow(
            [row.key, cell(row.name), *values, *_three(row.winning), *_three(row.losing)]
        )
    return text.getvalue()


def auction_page(report: AuctionReport) -> str:
    """A page that needs no other file."""
    figures = []
    if len(report.points):
        figures += [
            figure("Bids and prices of sold slots", distributions(report), ' class="broad"'),
            figure("Price paid against bid", paid_against_bid(report)),
            figure("Bid landscape by placement", ranges(report.rows["placement"])),
        ]
        if report.win_rate:
            title = "Win rate by bid (all candidates of sampled auctions)"
            figures.append(figure(title, win_rate_curve(report.win_rate)))
        figures.append(figure("Revenue by tier, by pricing and by deal", revenue(report)))
    tables = "".join(
        html.table(
            f"By {by}",
            [by, *COLUMNS],
            [[row.name, *_cells(row)] for row in report.rows[by][:50]],
            ["total", *_cells(report.total)],
        )
        for by in ("placement", "tier", "pricing", "deal", "advertiser")
    )
    return html.page(as_of(report.as_of_ms), _tiles(report.total), figures, tables)


def distributions(report: AuctionReport) -> str:
    """How winning bids, best losing bids and prices are spread, on one logarithmic axis."""
    colours = {"winning bid": FIRST, "best losing bid": SECOND, "price": INK}

    def draw(axes: Axes) -> None:
        for name, found in report.histograms.items():
            if len(found.count):
                share = found.count / found.count.sum()
                edges = np.log10(found.edges)
                width = 1.2 if name == "price" else 2.0
                axes.stairs(share, edges, color=colours[name], linewidth=width, label=name)
        axes.legend(loc="upper left")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylabel("of sold slots")
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
        _dollars(axes)

    return svg(draw, height=3.0, grid="y", width=12.8)


def paid_against_bid(report: AuctionReport) -> str:
    """Each hexagon is darker the more sales it holds; on the dashed line a winner paid its bid."""
    bid, price = np.log10(report.points).T

    def draw(axes: Axes) -> None:
        found = axes.hexbin(bid, price, gridsize=28, mincnt=1, linewidths=0)
        count = np.asarray(found.get_array(), np.float64)
        depth = 0.12 + 0.88 * np.log1p(count) / np.log1p(count.max())
        found.set_array(None)
        found.set_facecolor([(*to_rgba(FIRST)[:3], round(float(one), 2)) for one in depth])
        ends = [min(bid.min(), price.min()), max(bid.max(), price.max())]
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle=(0, (4, 4)), alpha=0.6)
        _dollars(axes)
        axes.set_yticks(*_ticks(axes.get_ylim()))
        axes.set_xlabel("winning bid (CPM)")
        axes.set_ylabel("price (CPM)")

    return svg(draw, height=3.4, grid="both")


def ranges(rows: Sequence[Landscape]) -> str:
    """P10 to P90 of the winning and of the best losing bids, a dot at the median."""
    shown = [row for row in rows if row.sold][:MOST_RANGES]

    def draw(axes: Axes) -> None:
        for at, row in enumerate(shown):
            for spread, colour, shift in ((row.winning, FIRST, -0.16), (row.losing, SECOND, 0.16)):
                if spread.high_micros:
                    low, middle, high = np.log10(np.maximum(1, _three(spread)) / 1e6)
                    place = at + shift
                    axes.plot([low, high], [place] * 2, color=colour, linewidth=3, alpha=0.45)
                    axes.plot([middle], [place], color=colour, marker="o", markersize=6)
        axes.plot([], [], color=FIRST, marker="o", label="winning bids")
        axes.plot([], [], color=SECOND, marker="o", label="best losing bids")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)
        axes.set_yticks(range(len(shown)), [shorten(row.name) for row in shown])
        axes.set_ylim(max(5, len(shown)) - 0.4, -0.6)
        _dollars(axes)

    return svg(draw, height=3.8, grid=None)


def win_rate_curve(rate: WinRate) -> str:
    """Share of the bids that won a slot, over bars of how many bids there were."""
    middle = np.log10(rate.entered.edges[:-1]) + 0.05
    known = rate.entered.count >= LEAST_ENTERED
    share = rate.won.count / np.maximum(1, rate.entered.count)

    def draw(axes: Axes) -> None:
        count = axes.twinx()
        count.bar(middle, rate.entered.count, 0.09, color=GRID)
        count.set_yticks([])
        axes.set_zorder(count.get_zorder() + 1)
        axes.plot(middle[known], share[known], color=FIRST, marker="o", markersize=4)
        axes.set_ylim(0, 1.15 * max(0.01, float(share[known].max(initial=0.01))))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylabel("won (line; bars: bids)")
        _dollars(axes)

    return svg(draw, height=3.4, grid=None)


def revenue(report: AuctionReport) -> str:
    """Three times the same money, split by tier, by pricing and by deal."""
    rows = [row for by in ("tier", "pricing", "deal") for row in report.rows[by][:MOST_OF_EACH]]
    named = [(row.name, row.revenue_micros / 1e6) for row in rows]
    return bars(named, lambda value: f"${value:,.2f}")


def _dollars(axes: Axes) -> None:
    """The axis counts decades; ticks at 1, 2 and 5 of each."""
    axes.set_xticks(*_ticks(axes.get_xlim()))
    axes.set_xlabel("CPM")


def _ticks(ends: tuple[float, float]) -> tuple[list[float], list[str]]:
    low, high = ends[0] + 0.02 * (ends[1] - ends[0]), ends[1]
    ticks = [
        at
        for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1)
        for at in decade + np.log10([1, 2, 5])
        if low <= at <= high
    ]
    shown = ticks[:: max(1, -(-len(ticks) // 8))]
    return shown, [f"${10**at:.3g}" for at in shown]


def _three(spread: Spread) -> list[int]:
    return [spread.low_micros, spread.median_micros, spread.high_micros]


def _cells(row: Landscape) -> list[str]:
    sold = max(1, row.sold)
    return [
        f"{row.slots:,}",
        f"{row.fill_rate:.1%}",
        money(row.revenue_micros),
        money(row.clear_micros // sold),
        money(row.bid_micros // sold),
        f"{row.paid_share:.1%}",
        f"{row.first_price / sold:.1%}",
        f"{row.contested / sold:.1%}",
        " · ".join(f"{micros / 1e6:.2f}" for micros in _three(row.winning)),
        " · ".join(f"{micros / 1e6:.2f}" for micros in _three(row.losing)),
        money(row.fairness_cost_micros),
    ]


def _short_cells(row: Landscape) -> list[str]:
    sold = max(1, row.sold)
    return [
        f"{row.slots:,}",
        f"{row.fill_rate:.0%}",
        rounded(row.revenue_micros),
        money(row.clear_micros // sold),
        money(row.winning.median_micros),
        money(row.losing.median_micros),
        f"{row.paid_share:.0%}",
        f"{row.first_price / sold:.0%}",
        money(row.fairness_cost_micros),
    ]


def _tiles(total: Landscape) -> list[html.Tile]:
    sold = max(1, total.sold)
    return [
        ("Slots", f"{total.slots:,}", f"{total.fill_rate:.1%} sold"),
        ("Revenue", money(total.revenue_micros), "if every ad sold is shown"),
        ("Mean price", money(total.clear_micros // sold), "per thousand impressions"),
        ("Paid of bid", f"{total.paid_share:.1%}", f"mean bid {money(total.bid_micros // sold)}"),
        ("First price", f"{total.first_price / sold:.1%}", "the rest pays what it had to"),
        (
            "Cost of fairness",
            money(total.fairness_cost_micros),
            f"{1 - total.clear_micros / max(1, total.plain_micros):.2%} of what was possible"
            if total.plain_micros
            else "",
        ),
    ]
