"""A replay of bid logs in the iPinYou format, from files to figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from auction.columns import MILLE, PPM
from feedback.drawing import FIRST, GRID, INK, SECOND, svg
from feedback.replay.bidlog import Mistakes, Offers, read
from feedback.replay.campaign import (
    CHECKPOINTS,
    Pacing,
    Result,
    Survey,
    Worth,
    compare,
    survey,
    trial_of,
    unlimited,
)
from feedback.replay.sheet import Figure, Sheet

HEAD = (
    "pacing",
    "won",
    "clicks",
    "value",
    "spent",
    "surplus",
    "of budget",
    "per click",
    "off plan",
    "gone after",
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What to try."""

    budget_share: float = 0.5
    """Of what the campaign would spend with money without end."""
    mean_value: float = 80.0
    """What a thousand impressions are worth to it on average, in the log's unit of price."""
    click_value: float = 0.0
    """What a click is worth, in the unit of a price per thousand; 0: from `mean_value`."""
    unit_micros: int = 10_000
    """Micros of currency in one unit of price."""
    first_price: bool = False
    pacings: tuple[Pacing, ...] = tuple(Pacing)


@dataclass(frozen=True, slots=True)
class Replay:
    survey: Survey
    results: Sequence[Result]
    """The unlimited campaign, then one per way of pacing."""
    mistakes: Mistakes
    unit_micros: int


def replay(paths: Sequence[Path], setup: Setup) -> Replay:
    """Three passes over the files, each in bounded memory: the log, no budget, all pacings."""
    mistakes = Mistakes()

    def chunks(noted: Mistakes) -> Iterator[Offers]:
        return read(paths, setup.unit_micros, noted)

    found = survey(chunks(mistakes))
    worth = _worth(found, setup)
    free = unlimited(chunks(Mistakes()), found.offers, worth, setup.first_price)
    budget = round(free.spent_micros * setup.budget_share)
    trial = partial(
        trial_of, budget_micros=budget, free=free, worth=worth, first_price=setup.first_price
    )
    results = compare(chunks(Mistakes()), [trial(pacing) for pacing in setup.pacings])
    return Replay(found, [free, *results], mistakes, setup.unit_micros)


def _worth(found: Survey, setup: Setup) -> Worth:
    micros = setup.click_value * setup.unit_micros / MILLE
    if not micros:
        micros = setup.mean_value * setup.unit_micros / MILLE * PPM / found.usual_ppm
    return Worth(max(1, round(micros)), found.usual_ppm)


def sheet(found: Replay) -> Sheet:
    """Money in the log's own unit of price, for single impressions."""
    unit = found.unit_micros
    rows = []
    for one in found.results:
        limited = one is not found.results[0]
        rows.append(
            (
                one.name,
                one.won,
                one.clicks,
                round(one.value_micros / unit),
                round(one.spent_micros / unit),
                round(one.surplus_micros / unit),
                f"{one.spent_micros / max(1, one.budget_micros):.2%}" if limited else "–",
                one.spent_micros / unit / max(1, one.clicks) if one.clicks else "–",
                f"{one.deviation:.2%}" if limited else "–",
                f"{one.ended_at:.1%}" if one.ended_at is not None else "–",
            )
        )
    log = found.survey
    notes = [
        f"{log.offers:,} impressions with {log.clicks:,} clicks at "
        f"{log.market_micros / unit:,.0f}; mean click rate used {log.usual_ppm / PPM:.5%}",
        f"value: what was won is worth to the campaign; off plan: mean distance from even spending "
        f"at {CHECKPOINTS} moments, of the budget; gone after: share of the log",
    ]
    if found.mistakes.count:
        notes.append(f"{found.mistakes.count:,} lines left out: {'; '.join(found.mistakes.named)}")
    return Sheet("One campaign against the market", HEAD, rows, notes)


def spent_over_time(found: Replay) -> Figure:
    """Share of the budget that each way of pacing had spent by each moment of the log."""
    limited = found.results[1:]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=4, label="plan")
        for one, (colour, style) in zip(limited, _LINES, strict=False):
            at = np.arange(1, len(one.track) + 1) / CHECKPOINTS
            axes.plot(at, one.track, color=colour, linestyle=style, label=one.name)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("of the log")
        axes.legend()

    return "Share of the budget spent", svg(draw, height=3.0, grid="y")


_LINES = ((SECOND, "-"), (INK, ":"), (FIRST, "-"))
