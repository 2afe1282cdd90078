"""Training, validation and test, one after the other in time, and whether they can say anything."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ranking.tabular.rows import Rows, TooLittle

SHARES = (0.6, 0.2, 0.2)
FEWEST_ROWS = 50
FEW_CLICKS = 30
"""In the test: with fewer, an AUC is known to some ±0.1."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which rows are for what; no row of a part is older than one of the part before it."""

    train: slice
    validation: slice
    test: slice

    @property
    def before_test(self) -> slice:
        return slice(0, self.test.start)


def split(rows: Rows) -> Parts:
    """Cut by time; TooLittle, with what there is, where a part could not be learnt or judged by.

    A moment that has rows on both sides of a cut goes to the later part, unless that part would
    then begin at the first row: a log whose rows are all of one moment is cut as it stands.
    """
    if len(rows) < FEWEST_ROWS:
        raise TooLittle(f"{len(rows)} rows: at least {FEWEST_ROWS} are needed")
    edge = [round(len(rows) * share) for share in np.cumsum((0.0, *SHARES))]
    if rows.time_s is not None and rows.time_s[0] < rows.time_s[edge[1]]:
        moved = [int(np.searchsorted(rows.time_s, rows.time_s[at])) for at in edge[1:3]]
        if 0 < moved[0] < moved[1]:
            edge[1:3] = moved
    parts = Parts(*(slice(begin, end) for begin, end in pairwise(edge)))
    for name in ("train", "validation", "test"):
        _can_tell(rows.click[getattr(parts, name)], name)
    return parts


def _can_tell(click: NDArray[np.uint8], name: str) -> None:
    clicks = int(click.sum())
    if clicks in (0, len(click)):
        raise TooLittle(f"{name}: {clicks} of {len(click)} rows are clicked, so nothing tells why")


def notes(rows: Rows, parts: Parts) -> list[str]:
    """What a reader should know of the figures before believing them."""
    clicks = int(rows.click[parts.test].sum())
    few = f"only {clicks} clicks in the test: read the intervals, not the figures"
    return [few] if clicks < FEW_CLICKS else []
