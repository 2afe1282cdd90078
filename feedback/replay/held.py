"""Auctions as a replay takes them: when, who bid, and on what terms of fairness.

From the sample that a server keeps of its own auctions, or made up (`adserver.simulated`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from auction.columns import LEVELS, MILLE, PPM, Bids, Level, Slate, Slots

HOUR_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Held:
    """One batch of pages, in the order of time."""

    at_s: NDArray[np.float64]
    """[B] wall seconds."""
    bids: Bids
    slots: Slots
    slate: Slate | None = None
    """How it was sold; None where that is not known."""

    def __len__(self) -> int:
        return len(self.at_s)


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold, [W] rows; money in micros for one impression each."""

    at_s: NDArray[np.float64]
    line_item: NDArray[np.int64]
    """Catalogue id."""
    cost: NDArray[np.int64]
    value: NDArray[np.int64]
    """What it was worth to the winner, at its bid before pacing."""
    click_ppm: NDArray[np.int64]
    """Expected clicks, in millionths."""


def held_of(record: AuctionRecord) -> Held:
    return Held(record.notes.at_ms / 1000.0, record.bids, record.slots, record.slate)


def in_steps(held: Held, longest_s: float) -> Iterator[Held]:
    """The same pages in batches of at most `longest_s`, cut where time stands on a multiple."""
    step = (held.at_s // longest_s).astype(np.int64)
    edge = [0, *(np.flatnonzero(np.diff(step)) + 1).tolist(), len(held)]
    for low, high in pairwise(edge):
        yield held if high - low == len(held) else _part(held, low, high)


def _part(held: Held, low: int, high: int) -> Held:
    """Pages low to high, rows and slots counted anew."""
    first, last = held.bids.offset[[low, high]].tolist()
    base, end = held.slots.offset[[low, high]].tolist()
    rows = {"offset": held.bids.offset[low : high + 1] - first}
    slots = {"offset": held.slots.offset[low : high + 1] - base}
    slots |= {
        name: getattr(held.slots, name)[low:high]
        for name in ("first_price", "seed", "explore", "explore_ppm")
        if getattr(held.slots, name) is not None
    }
    bids = Bids(**(_cut(held.bids, first, last) | rows))
    places = Slots(**(_cut(held.slots, base, end) | slots))
    slate = (
        None
        if held.slate is None
        else _slate_part(held.slate, slice(first, last), slice(base, end))
    )
    return Held(held.at_s[low:high], bids, places, slate)


def _cut(columns: Bids | Slots, low: int, high: int) -> dict[str, Any]:
    every = {one.name: getattr(columns, one.name) for one in fields(columns)}
    return {name: None if column is None else column[low:high] for name, column in every.items()}


def _slate_part(slate: Slate, rows: slice, slots: slice) -> Slate:
    by_row = {"rejected", "dual", "room"}
    by_number = {"winner", "runner_up", "plain_winner", "greedy"}
    columns = {}
    for one in fields(Slate):
        column = getattr(slate, one.name)
        if column is not None:
            column = column[rows if one.name in by_row else slots]
        if one.name in by_number and column is not None:
            column = np.where(column >= 0, column - rows.start, column)
        columns[one.name] = column
    return Slate(**columns)


def line_item_of(bids: Bids) -> NDArray[np.int64]:
    """[R] catalogue id of each row's line item; 0 where it has none."""
    account = bids.account[:, Level.LINE_ITEM].astype(np.int64)
    return np.where(account >= 0, account // LEVELS, 0)


def full_bid_of(bids: Bids) -> NDArray[np.int64]:
    """[R] bids before pacing."""
    return bids.bid_micros if bids.full_bid_micros is None else bids.full_bid_micros


def sales_of(held: Held, bids: Bids, slate: Slate, among: NDArray[np.bool_] | None = None) -> Sales:
    """The sales of a slate of `held` in which these were the bids; `among` [B] chooses pages."""
    sold = np.flatnonzero(slate.winner >= 0)
    page = np.searchsorted(held.slots.offset, sold, side="right") - 1
    if among is not None:
        sold, page = sold[among[page]], page[among[page]]
    row = slate.winner[sold]
    ppm = bids.pctr_ppm[row, sold - held.slots.offset[page]]
    full = full_bid_of(bids)[row]
    return Sales(
        at_s=held.at_s[page],
        line_item=line_item_of(bids)[row],
        cost=slate.cost_micros[sold],
        value=np.where(bids.per_click[row], full * ppm // PPM, full // MILLE),
        click_ppm=ppm,
    )


def joined(parts: list[Sales]) -> Sales:
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Sales(np.zeros(0), nothing, nothing, nothing, nothing)
    return Sales(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("at_s", "line_item", "cost", "value", "click_ppm")
        )
    )
