"""What a change would have changed: totals, who is displaced, whose money ends sooner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, Level
from feedback.replay.run import Outcome, resampled
from feedback.replay.sheet import Cell, Sheet

MOVED = 10
"""Line items named on either side."""
SEED = 7
"""Of the resampling."""


def sheets(
    before: Outcome, after: Outcome, changed: Iterable[int], names: Mapping[int, str]
) -> list[Sheet]:
    """`changed`: line items to show one by one; `names` of line items by id."""
    most = 1 + max(
        [int(one.sales.line_item.max(initial=0)) for one in (before, after)] + list(changed)
    )
    return [
        totals(before, after),
        *(delivery(before, after, one, names) for one in changed),
        displaced(before, after, most, names),
        endings(before, after),
    ]


def totals(before: Outcome, after: Outcome) -> Sheet:
    """Of the whole market."""
    rows = []
    for name, was, is_ in zip(_FIGURES, _figures(before), _figures(after), strict=True):
        rows.append((name, was, is_, _relative(was, is_)))
    notes = [
        f"{before.pages:,} pages with {before.slots:,} slots replayed, 1 in "
        f"{1 / before.share:,.0f} of all; money in dollars; welfare is the winners' value at their "
        "bids before pacing, surplus what they keep of it"
    ]
    return Sheet("The market", ("figure", "before", "after", "change"), rows, notes)


_FIGURES = ("impressions", "fill rate", "clicks expected", "revenue", "welfare", "surplus")


def _figures(one: Outcome) -> list[float]:
    sales, share = one.sales, one.share
    revenue, welfare = sales.cost.sum() / 1e6 / share, sales.value.sum() / 1e6 / share
    return [
        len(sales.cost) / share,
        len(sales.cost) / max(1, one.slots),
        float(sales.click_ppm.sum()) / 1e6 / share,
        float(revenue),
        float(welfare),
        float(welfare - revenue),
    ]


def delivery(before: Outcome, after: Outcome, line_item: int, names: Mapping[int, str]) -> Sheet:
    """Impressions, clicks and spend of one line item, with what other hours might have made."""
    rows: list[tuple[Cell, ...]] = []
    for when, one in (("before", before), ("after", after)):
        for name, weight in _weights(one).items():
            mine = one.sales.line_item == line_item
            low, middle, high = quantiles(one, weight, mine)
            rows.append(
                (f"{name} {when}", float(weight[mine].sum()) / one.share, low, middle, high)
            )
    title = f"Line item {line_item} {names.get(line_item, '')}".strip()
    return Sheet(title, ("figure", "replayed", "P10", "P50", "P90"), rows)


def _weights(one: Outcome) -> dict[str, NDArray[np.float64]]:
    sales = one.sales
    return {
        "impressions": np.ones(len(sales.cost)),
        "clicks": sales.click_ppm / 1e6,
        "spend": sales.cost / 1e6,
    }


def quantiles(
    one: Outcome, weight: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """P10, P50 and P90 of the total."""
    drawn = resampled(one, weight, chosen, np.random.default_rng(SEED))
    low, middle, high = np.quantile(drawn, [0.1, 0.5, 0.9]).tolist()
    return low, middle, high


def displaced(before: Outcome, after: Outcome, most: int, names: Mapping[int, str]) -> Sheet:
    """Who loses impressions and who gains, the most moved first."""
    was, is_ = before.by_line_item(most), after.by_line_item(most)
    moved = is_["impressions"] - was["impressions"]
    order = np.argsort(moved, kind="stable")
    ends = [*order[:MOVED].tolist(), *order[: -MOVED - 1 : -1][::-1].tolist()]
    rows = [
        (
            names.get(one, f"line item {one}"),
            float(was["impressions"][one]),
            float(is_["impressions"][one]),
            float(moved[one]),
            float(is_["spend"][one] - was["spend"][one]),
        )
        for one in dict.fromkeys(ends)
        if moved[one]
    ]
    lose, gain = int((moved < 0).sum()), int((moved > 0).sum())
    head = ("line item", "impressions before", "after", "change", "change of spend")
    return Sheet("Who is displaced", head, rows, [f"{lose:,} lose impressions, {gain:,} gain"])


def endings(before: Outcome, after: Outcome) -> Sheet:
    """Days on which money was gone, and when: mean hour of the day, UTC."""
    accounts = sorted(set(before.ended) | set(after.ended))
    accounts.sort(key=lambda a: -len(after.ended.get(a, [])))
    rows = [
        (_account(one), *_ended(before.ended.get(one, [])), *_ended(after.ended.get(one, [])))
        for one in accounts[: 2 * MOVED]
    ]
    head = ("budget", "days gone before", "at hour", "days gone after", "at hour ")
    total = [sum(len(hours) for hours in one.ended.values()) for one in (before, after)]
    note = f"{total[0]:,} days' money gone before, {total[1]:,} after"
    return Sheet("Whose money ends", head, rows, [note])


def _ended(hours: Sequence[float]) -> tuple[Cell, Cell]:
    return len(hours), float(np.mean(np.mod(hours, 24))) if hours else "–"


def _account(account: int) -> str:
    return f"{Level(account % LEVELS).name.lower()} {account // LEVELS}"


def _relative(was: float, is_: float) -> str:
    return f"{is_ / was - 1:+.2%}" if was else "–"
