"""What somebody wants to try: other bids, budgets, floors, ranks, rules. Values only.

A bid is named by its line item, a budget by its level and number, as the catalogue numbers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adserver.errors import ConfigError
from auction.columns import MILLE, PPM, Bids, Level, Slots, account_of
from auction.settings import AuctionSettings
from auction.squash import Squash, weights
from feedback.replay.held import full_bid_of, line_item_of

MOST = 1e6
"""Dollars, or times, above which a change is a slip of the pen."""
_TIMES = re.compile(r"[x×*](\d+(?:\.\d+)?)")
_MONEY = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Amount:
    """So many times what it was, or so much instead."""

    times: float | None = None
    micros: int = 0

    def of(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.times is None:
            return np.full_like(micros, self.micros)
        scaled: NDArray[np.int64] = np.rint(micros * self.times).astype(np.int64)
        return scaled


@dataclass(frozen=True, slots=True)
class Changes:
    bid: Mapping[int, Amount] = field(default_factory=dict)
    """By line item."""
    budget: Mapping[int, Amount] = field(default_factory=dict)
    """By account (`account_of`), per day."""
    floor: Amount | None = None
    squash: Squash | None = None
    cap: float | None = None
    """Greatest share of one advertiser; None: as it was."""
    rules: AuctionSettings = field(default_factory=AuctionSettings)

    def bids(self, bids: Bids) -> Bids:
        """With other bids and ranks; the columns that change are new."""
        if self.bid:
            owner, full = line_item_of(bids), full_bid_of(bids).copy()
            offered = bids.bid_micros.copy()
            for line_item, amount in self.bid.items():
                mine = owner == line_item
                was = np.maximum(1, full[mine])
                full[mine] = _whole(amount.of(full[mine]), bids.per_click[mine])
                offered[mine] = _whole(
                    np.rint(offered[mine] * (full[mine] / was)).astype(np.int64),
                    bids.per_click[mine],
                )
            bids = replace(bids, bid_micros=offered, full_bid_micros=full)
        if self.squash is not None:
            weight = weights(bids.pctr_ppm, bids.per_click, None, self.squash)
            bids = replace(bids, weight_ppm=weight)
        return bids

    def slots(self, slots: Slots) -> Slots:
        """With other floors: so many times as high, or at least so high."""
        if self.floor is None:
            return slots
        floor = self.floor.of(slots.floor_micros)
        if self.floor.times is None:
            floor = np.maximum(slots.floor_micros, floor)
        return replace(slots, floor_micros=floor)


def _whole(micros: NDArray[np.int64], per_click: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bids as the auction takes them: CPM bids in multiples of MILLE, none of nothing."""
    whole = np.where(per_click, micros, micros // MILLE * MILLE)
    least: NDArray[np.int64] = np.where(per_click, 1, MILLE)
    return np.maximum(whole, least)


def changes_of(
    bids: Sequence[str],
    budgets: Sequence[str],
    floor: str,
    gamma: float,
    cap: float,
    rules: AuctionSettings,
) -> Changes:
    """From a command line: "7=x1.2", "campaign:3=50", "0.80"; ConfigError lists every mistake.

    gamma 1 and cap 0 change nothing.
    """
    mistakes: list[str] = []
    squash = None if gamma == 1 else Squash(gamma)
    mistakes += squash.problems() if squash else []
    if not 0 <= cap <= 1:
        mistakes.append(f"--cap {cap} must be a share: above 0 and at most 1")
    made = Changes(
        bid={number: amount for _, number, amount in _named("--bid", bids, mistakes)},
        budget={
            account_of(level, number): amount
            for level, number, amount in _named("--budget", budgets, mistakes)
        },
        floor=_amount("--floor", floor, mistakes) if floor else None,
        squash=squash,
        cap=cap or None,
        rules=rules,
    )
    if mistakes:
        raise ConfigError(mistakes)
    return made


def _named(
    option: str, texts: Sequence[str], mistakes: list[str]
) -> list[tuple[Level, int, Amount]]:
    found = []
    levels = {level.name.lower(): level for level in Level}
    for text in texts:
        what, _, amount = text.partition("=")
        level, _, number = what.rpartition(":")
        known = levels.get(level or "line_item")
        if known is None or not number.isdecimal() or len(number) > 9:
            mistakes.append(f"{option} {text!r}: wants [{'|'.join(levels)}:]NUMBER=AMOUNT")
            continue
        if option == "--bid" and known is not Level.LINE_ITEM:
            mistakes.append(f"{option} {text!r}: only line items bid")
        value = _amount(f"{option} {text!r}", amount, mistakes)
        if value is not None:
            found.append((known, int(number), value))
    return found


def _amount(option: str, text: str, mistakes: list[str]) -> Amount | None:
    """ "x1.2" is so many times, "1.50" dollars instead."""
    times, money = _TIMES.fullmatch(text), _MONEY.fullmatch(text)
    number = float(times[1]) if times else float(text) if money else -1.0
    if not 0 <= number <= MOST:
        mistakes.append(f"{option}: {text!r} is neither dollars like 1.50 nor times like x1.2")
        return None
    return Amount(times=number) if times else Amount(micros=round(number * PPM))
