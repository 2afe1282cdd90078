"""What the auction takes and gives: columns over a batch of requests.

Money is int64 micros. A value is expected micros per impression times one million: a click bid
times its click rate in whole millionths, or a CPM bid per impression times a million. Values and
prices are therefore exact integers on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

PPM = 1_000_000
"""Click rates are whole millionths."""
MILLE = 1_000
"""A CPM price is per thousand impressions; CPM bids are multiples of 1000 micros ($0.001 CPM),
so that the price of one impression is a whole micro."""


class Rejection(IntEnum):
    """Why an ad or a slot was not sold; one code for logs, metrics, reports and explain."""

    WON = 0
    SIZE = 20
    NOT_SECURE = 23
    ADVERTISER_BLOCKED = 24
    CATEGORY_BLOCKED = 25
    ATTRIBUTE_BLOCKED = 26
    CREATIVE_BLOCKED = 27
    NOT_IN_DEAL = 29  # its deal is not offered here, or only deals may buy and it has none
    GEO = 40
    DEVICE = 41
    TIME = 42
    KEYWORD = 43
    KEY_VALUE = 44
    DOMAIN = 45
    SEGMENT = 46
    SIMILARITY = 47  # eligible, but not among the candidates worth scoring
    LANGUAGE = 49
    FREQUENCY = 50  # this user has had it as often as it wants to be seen
    BUDGET = 51
    PACING = 52  # at its whole bid it would have met the floor; it is kept back for later
    EXCLUSION = 53  # its advertiser, or a competitor of its own label, already stands on the page
    DUPLICATE = 54  # this ad, or this creative, already stands on the page
    FAIRNESS = 55  # its advertiser has had its share of the window
    PAUSED = 56
    ROADBLOCK = 57  # it may only stand with the rest of its set, and that did not win
    BELOW_FLOOR = 60
    BELOW_DEAL_FLOOR = 61
    OUTBID = 62
    LOST_TO_DEAL = 63
    LOWER_TIER = 64
    EXPLORED = (
        65  # the only slot it could have was given away by lot, to learn what others do there
    )
    NOT_SCORED_TIME = 70
    SHED = 101  # of a slot: too much was asked at once, or time had run out before it was looked at
    NO_CANDIDATE = 102  # of a slot: nothing eligible was found


class Pricing(IntEnum):
    """What a line item pays for."""

    CPM = 0
    CPC = 1
    CPA = 2
    FLAT = 3  # a fee for the flight: it bids the CPM that its goal implies, and no event costs it
    VCPM = 4  # per thousand viewable impressions


class Level(IntEnum):
    """Whose budget a sale is paid from; all four may be limited at once."""

    ADVERTISER = 0
    CAMPAIGN = 1
    LINE_ITEM = 2
    DEAL = 3


LEVELS = len(Level)
SCOPES = 4
"""Sums of sales that one slot can count in: site, publisher, placement, segment."""
STANDARD_TIER = 50


class PackageKind(IntEnum):
    """How much of a page a package must have."""

    ALL = 0  # a roadblock: every slot of the page
    AS_MANY = 1  # as many slots as it fits, at least two
    SET = 2  # companions: each of its rows has a slot


def account_of(level: Level, number: int) -> int:
    """Index of a budget in the ledger: stable, whatever else the catalogue holds."""
    return number * LEVELS + level


@dataclass(frozen=True, slots=True)
class Bids:
    """Candidates of a batch with what they offer; [R] rows, requests end to end."""

    offset: NDArray[np.int32]
    """[B + 1] where each request's rows begin."""
    ad: NDArray[np.int32]
    creative: NDArray[np.int32]
    advertiser: NDArray[np.int32]
    """Index of the fairness state: dense advertiser id."""
    account: NDArray[np.int32]
    """[R, LEVELS] budgets that pay for the row (`account_of`), by level; -1: no limit there."""
    bid_micros: NDArray[np.int64]
    """As offered now, after pacing. Per thousand impressions (a multiple of MILLE), or per click
    where `per_click`."""
    per_click: NDArray[np.bool_]
    pctr_ppm: NDArray[np.int64]
    """[R, S] calibrated click rate of the row in each slot of its request, at least 1."""
    slots: NDArray[np.uint32]
    """Bit s: the ad may fill slot s of its request."""
    rejected: NDArray[np.uint8]
    """Rejection code of rows that an earlier stage let go (0: still in the running)."""
    tier: NDArray[np.uint8] | None = None
    """1 to 100, sold lowest first; None: all STANDARD_TIER. Of every column below, None means
    that nothing is asked for."""
    share: NDArray[np.int64] | None = None
    """In a guaranteed tier the row's urgency, in a weighted tier its weight in the draw."""
    weight_ppm: NDArray[np.int64] | None = None
    """[R, S] rank, in value units, per micro of bid for one billable event, at least 1: event rate
    times quality. None: the event rate itself (click rate, or a million per impression)."""
    full_bid_micros: NDArray[np.int64] | None = None
    """The bid before pacing."""
    deal: NDArray[np.int32] | None = None
    """The deal that the row buys in; -1: none, an open bid."""
    floor_micros: NDArray[np.int64] | None = None
    """Floor per thousand impressions in place of the slot's (that of a deal); -1: the slot's."""
    reserve_micros: NDArray[np.int64] | None = None
    """Least price per thousand impressions that this row is asked for; 0: none of its own."""
    fixed_price: NDArray[np.bool_] | None = None
    """The row pays its `floor_micros`, no more and no less (OpenRTB at=3)."""
    labels: NDArray[np.uint64] | None = None
    """Bits of competitive exclusion: rows that share one do not stand on one page."""
    package: NDArray[np.int32] | None = None
    """Rows of a request with the same number win together or not at all; 0: on its own."""
    package_kind: NDArray[np.uint8] | None = None
    """`PackageKind` of rows in a package."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a batch, [T] end to end in the requests' order."""

    offset: NDArray[np.int32]
    """[B + 1] where each request's slots begin."""
    floor_micros: NDArray[np.int64]
    """Least price per thousand impressions."""
    first_price: NDArray[np.bool_]
    """[B] the winner pays its own bid (OpenRTB at=1)."""
    seed: NDArray[np.uint64]
    """[B] breaks ties: fair over many decisions, identical in a replay."""
    scope: NDArray[np.int32] | None = None
    """[T, SCOPES] where exposure of the slot counts (site, publisher, placement, segment); -1:
    nowhere. None: scope 0 for all."""
    private: NDArray[np.bool_] | None = None
    """[T] only rows with a deal may buy."""
    explore: NDArray[np.bool_] | None = None
    """[B] one of the slots goes by lot to one of the rows that could buy it. None: nothing is
    explored, and nothing is counted for it."""
    explore_ppm: NDArray[np.int32] | None = None
    """[B] with what probability, in millionths, `explore` is true of a request like this."""


@dataclass(frozen=True, slots=True)
class Slate:
    """Who won each slot and at what price, and the one reason of everybody else."""

    winner: NDArray[np.int32]
    """[T] row of `Bids`, -1 when unsold."""
    runner_up: NDArray[np.int32]
    """[T] row that set the price, or would have won next; -1 when there was none."""
    clear_micros: NDArray[np.int64]
    """[T] price per thousand impressions (expected, for a bid per click)."""
    charge_micros: NDArray[np.int64]
    """[T] price of one billable event: an impression, or a click if the winner bids per click."""
    reason: NDArray[np.uint8]
    """[T] WON, or why the slot stayed empty."""
    rejected: NDArray[np.uint8]
    """[R] WON for a row that won a slot of its request, else exactly one Rejection."""
    plain_winner: NDArray[np.int32]
    """[T] who would have won with fairness off."""
    plain_clear_micros: NDArray[np.int64]
    relaxed: NDArray[np.bool_]
    """[T] sold past the hard cap because the slot would have stayed empty."""
    cost_micros: NDArray[np.int64]
    """[T] expected cost of the sale, rounded up: what the ledger sets aside in each account."""
    dual: NDArray[np.int64] | None = None
    """[R, S] dual price of each row's advertiser in each slot, in value units: its score is its
    rank less this."""
    room: NDArray[np.int8] | None = None
    """[R, S] sales that its advertiser might still make before a hard cap; 127: that or more."""
    eligible: NDArray[np.int32] | None = None
    """[T] rows among which the slot's lot would be drawn; 0 where it cannot be explored. This and
    the next three only where `Slots.explore` is given."""
    among: NDArray[np.bool_] | None = None
    """[T] the winner is one of them."""
    greedy: NDArray[np.int32] | None = None
    """[T] row that wins when the page is not explored; -1: none."""
    explored: NDArray[np.bool_] | None = None
    """[T] the lot decided: the winner was drawn, and pays the floor."""


def bid_cpm_micros(bid_micros: int, per_click: bool, pctr_ppm: int) -> int:
    """A bid per thousand impressions; per click, the expected one, rounded down to whole micros."""
    return bid_micros * pctr_ppm // MILLE if per_click else bid_micros // MILLE * MILLE
