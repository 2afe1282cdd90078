"""Why a plan is behind: the reasons that its ads were not shown, grouped as people ask for them.

Knows reason codes and counts; not where they were counted.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from auction.columns import Rejection


class Shortfall(IntEnum):
    """What keeps a plan from delivering."""

    SUPPLY = 0  # too few requests, or they could not be answered in time
    TARGETING = 1  # requests that it does not want, or that fit other ads better
    OUTBID = 2  # others paid more, or the floor was higher
    PACING = 3  # kept back for later, or its money is promised already
    CAPS = 4  # people, pages and shares that had enough of it
    CREATIVE = 5  # its creative does not fit, or is refused


_GROUPS = {
    Shortfall.SUPPLY: "SHED NO_CANDIDATE NOT_SCORED_TIME",
    Shortfall.TARGETING: "GEO DEVICE TIME KEYWORD KEY_VALUE DOMAIN SEGMENT SIMILARITY LANGUAGE "
    "NOT_IN_DEAL",
    Shortfall.OUTBID: "BELOW_FLOOR BELOW_DEAL_FLOOR OUTBID LOST_TO_DEAL LOWER_TIER EXPLORED",
    Shortfall.PACING: "PACING BUDGET PAUSED",
    Shortfall.CAPS: "FREQUENCY EXCLUSION DUPLICATE FAIRNESS ROADBLOCK",
    Shortfall.CREATIVE: "SIZE NOT_SECURE ADVERTISER_BLOCKED CATEGORY_BLOCKED ATTRIBUTE_BLOCKED "
    "CREATIVE_BLOCKED",
}
GROUP = {Rejection[name]: group for group, names in _GROUPS.items() for name in names.split()}
"""Of every reason but WON."""
_PLACE = np.full(256, -1, np.int64)
_PLACE[list(map(int, GROUP))] = list(map(int, GROUP.values()))


def grouped(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """[..., 6] opportunities lost by Shortfall, of counts [..., up to 256] by Rejection."""
    place = _PLACE[: count.shape[-1]]
    shares: NDArray[np.int64] = np.stack(
        [count[..., place == group].sum(axis=-1) for group in Shortfall], axis=-1
    )
    return shares


def main_reason(
    count: NDArray[np.int64], won: NDArray[np.int64], needed: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[L] Shortfall that cost each plan most; -1 where it has won what it needed.

    `count` [L, codes] by Rejection, `won` and `needed` [L] in the same time. If winning every
    auction that it was looked at for would not have been enough, the supply is too small.
    """
    lost = grouped(count)
    short = needed > won
    most = np.where(lost.any(axis=-1), lost.argmax(axis=-1), int(Shortfall.SUPPLY))
    auctions = won + lost[..., [Shortfall.OUTBID, Shortfall.PACING, Shortfall.CAPS]].sum(axis=-1)
    targeted = lost[..., [Shortfall.TARGETING, Shortfall.CREATIVE]].sum(axis=-1)
    scarce = auctions + targeted < needed
    reason: NDArray[np.int64] = np.where(scarce, int(Shortfall.SUPPLY), most)
    return np.where(short, reason, -1)
