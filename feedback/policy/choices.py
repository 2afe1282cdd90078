"""Logged pages as a policy sees them: what it would show where, and what is known of that.

Between the columns of the auction and those of `feedback.policy.estimate`; knows no files.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from adserver.exploring import Chances
from auction.columns import PPM, Bids, Slate, Slots
from feedback.policy.estimate import Slots as Seen


class Value(StrEnum):
    """What a policy is judged by, per slot."""

    CLICKS = "clicks"
    REVENUE = "revenue"
    """Micros, by the prices at which the policy would sell: a click's, or an impression's."""


def seen_by(
    bids: Bids,
    slots: Slots,
    logged: Slate,
    chosen: Slate,
    chances: Chances,
    click: NDArray[np.bool_],
    value: Value,
) -> Seen:
    """The slots of a batch as the policy sees them that would sell them as in `chosen`.

    `logged` is what was shown, with `chances`, and `click` [T] what came of it. Both slates are of
    these bids.
    """
    count = np.diff(slots.offset)
    page = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(page)) - slots.offset[page]
    sells = chosen.winner >= 0
    row = np.maximum(chosen.winner, 0)
    per_click = bids.per_click[row] & sells
    charge = chosen.charge_micros.astype(np.float64)
    clicks = value is Value.CLICKS
    return Seen(
        page=page,
        sells=sells,
        per_click=np.where(sells, 1.0, 0.0) if clicks else np.where(per_click, charge, 0.0),
        per_view=np.where(sells & ~per_click, charge, 0.0) * (not clicks),
        predicted=bids.pctr_ppm[row, place] / PPM,
        matched=sells & (logged.winner == chosen.winner) & (chances.shown > 0),
        chance=chances.shown,
        click=click.astype(np.float64),
    )
