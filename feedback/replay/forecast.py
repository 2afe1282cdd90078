"""What a line item that does not exist yet would get, on the pages that a server has kept.

It enters every page where it would have been eligible, at its own bid, paced for its own budget;
all others bid what they bid then. Two ways to say where it is eligible: where a line item is that
exists already ("like 7"), with that one's ads and click rates, or by what was asked for (country,
device, placement, size) at a click rate given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from adserver.request import AdRequest
from auction.columns import LEVELS, MILLE, PPM, Bids, Level, Rejection, Slate, Slots, account_of
from auction.workspace import MOST_ROOM
from feedback.replay.changes import Changes
from feedback.replay.compare import displaced, quantiles
from feedback.replay.held import HOUR_S, Held, Sales, held_of, joined, line_item_of, sales_of
from feedback.replay.money import Money
from feedback.replay.run import Outcome, Run, has_terms
from feedback.replay.sheet import Sheet

NEW = 1 << 24
"""Line item and advertiser of the newcomer; above all that a catalogue numbers."""
PASSING = (Rejection.BUDGET, Rejection.PACING, Rejection.FREQUENCY)
"""Reasons why a model line item is out of a page that do not hold for another like it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A line item to come. Empty tuples ask for nothing."""

    bid_micros: int
    """Per thousand impressions, or per click."""
    per_click: bool
    daily_budget_micros: int
    like: int = 0
    """Line item whose ads and pages are taken; 0: by what follows."""
    click_ppm: int = 1_000
    """Click rate where `like` is 0."""
    sizes: tuple[tuple[int, int], ...] = ()
    countries: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    placements: tuple[str, ...] = ()

    @property
    def account(self) -> int:
        return account_of(Level.LINE_ITEM, NEW)

    @property
    def typical_micros(self) -> float:
        """A guess at the price of an impression: half of the bid."""
        whole = self.click_ppm / PPM if self.per_click else 1 / MILLE
        return self.bid_micros * whole / 2

    @property
    def picky(self) -> bool:
        """Whether requests must be looked at."""
        return not self.like or bool(self.countries or self.devices or self.placements)

    def slots(self, request: AdRequest) -> int:
        """Bits of the slots of a request that it may have."""
        if self.countries and request.country not in self.countries:
            return 0
        if self.devices and request.device not in self.devices:
            return 0
        bits = 0
        for number, slot in enumerate(request.slots):
            known = not self.placements or slot.placement in self.placements
            fits = not self.sizes or bool(set(slot.sizes) & set(self.sizes))
            bits |= (known and fits) << number
        return bits


@dataclass(slots=True)
class Forecast:
    before: Outcome
    """Of the pages that the newcomer enters, as they were sold."""
    after: Outcome
    pages: int
    """Replayed, of all kinds."""
    daily_budget_micros: int

    @property
    def days(self) -> float:
        return len(self.after.hours) / 24

    def budget_micros(self) -> float:
        """Of the whole time and the whole traffic."""
        return self.daily_budget_micros * self.days


@dataclass(slots=True)
class Forecaster:
    """Give it the records in order with `see`, then ask for `forecast`."""

    proposal: Proposal
    run: Run
    share: float
    pages: int = 0
    _before: list[Sales] = field(default_factory=list)
    _hours: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, proposal: Proposal, changes: Changes, money: Money, share: float) -> Forecaster:
        return cls(proposal, Run(changes, money, share), share)

    def see(self, record: AuctionRecord) -> None:
        self.pages += len(record)
        held = held_of(record)
        self._hours.update((held.at_s // HOUR_S).astype(np.int64).tolist())
        entry = entry_of(self.proposal, record)
        if not len(entry.page):
            return
        among = np.zeros(len(held), np.bool_)
        among[entry.page] = True
        if held.slate is not None:
            self._before.append(sales_of(held, held.bids, held.slate, among))
        self.run.hold(entered(held, entry, self.proposal))

    def forecast(self) -> Forecast:
        after = self.run.outcome()
        after.hours = np.array(sorted(self._hours), np.int64)
        before = replace(after, sales=joined(self._before))
        return Forecast(before, after, self.pages, self.proposal.daily_budget_micros)


@dataclass(frozen=True, slots=True)
class Entry:
    """Rows with which the newcomer enters a batch, ascending by page."""

    page: NDArray[np.int64]
    row: NDArray[np.int64]
    """Row of the batch that it is like; -1: none."""
    fits: NDArray[np.uint32]
    ppm: NDArray[np.int64]
    """[K, S]"""


def entry_of(proposal: Proposal, record: AuctionRecord) -> Entry:
    bids = record.bids
    row, page = np.full(len(record), -1), np.arange(len(record))
    fits = np.full(len(record), 2**32 - 1, np.uint32)
    ppm = np.full((len(record), bids.pctr_ppm.shape[1]), proposal.click_ppm, np.int64)
    if proposal.like:
        free = np.isin(bids.rejected, (0, *PASSING))
        row = np.flatnonzero((line_item_of(bids) == proposal.like) & free)
        page = np.searchsorted(bids.offset, row, side="right") - 1
        fits, ppm = bids.slots[row], bids.pctr_ppm[row]
    if proposal.picky:
        asked = {one: proposal.slots(record.request(one)) for one in np.unique(page).tolist()}
        fits = fits & np.array([asked[one] for one in page.tolist()], np.uint32)
    some = fits != 0
    return Entry(page[some], row[some], fits[some], ppm[some])


def entered(held: Held, entry: Entry, proposal: Proposal) -> Held:
    """Only the pages that the newcomer enters, with its rows at the end of each."""
    pages = np.unique(entry.page)
    low, high = held.bids.offset[pages], held.bids.offset[pages + 1]
    there = ranges(low, high)
    home = np.repeat(np.arange(len(pages)), high - low)
    order = np.argsort(np.concatenate([home, np.searchsorted(pages, entry.page)]), kind="stable")
    take = np.concatenate([there, np.maximum(entry.row, 0)])[order]
    new = np.flatnonzero(order >= len(there))
    count = (high - low) + np.bincount(np.searchsorted(pages, entry.page), minlength=len(pages))
    bids = _with_newcomer(held.bids, take, new, entry, proposal)
    bids = replace(bids, offset=np.concatenate([[0], np.cumsum(count)]).astype(np.int32))
    return Held(held.at_s[pages], bids, slots_of(held.slots, pages), _terms(held, take, new))


def ranges(low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.int64]:
    """All numbers from each low to each high, end to end."""
    length = (high - low).astype(np.int64)
    start = np.repeat(low.astype(np.int64) - np.cumsum(length) + length, length)
    return start + np.arange(int(length.sum()))


def _with_newcomer(
    bids: Bids,
    take: NDArray[np.int64],
    new: NDArray[np.int64],
    entry: Entry,
    proposal: Proposal,
) -> Bids:
    """The rows `take` of these bids, of which `new` are the newcomer's."""
    columns = {
        one.name: column[take]
        for one in fields(Bids)
        if one.name != "offset" and (column := getattr(bids, one.name)) is not None
    }
    account = np.full((len(new), LEVELS), -1, np.int32)
    account[:, Level.LINE_ITEM] = proposal.account
    number = np.where(entry.row >= 0, bids.ad[np.maximum(entry.row, 0)], 0)
    columns.setdefault("full_bid_micros", columns["bid_micros"].copy())
    own = {
        "ad": NEW + number,
        "creative": NEW + number,
        "advertiser": NEW,
        "account": account,
        "bid_micros": proposal.bid_micros,
        "full_bid_micros": proposal.bid_micros,
        "per_click": proposal.per_click,
        "pctr_ppm": entry.ppm,
        "slots": entry.fits,
        "rejected": 0,
    } | {name: value for name, value in _NOTHING.items() if name in columns}
    if "weight_ppm" in columns:
        own["weight_ppm"] = entry.ppm if proposal.per_click else PPM
    for name, value in own.items():
        columns[name][new] = value
    return Bids(offset=bids.offset, **columns)


_NOTHING: dict[str, int] = {
    "tier": 50,
    "share": 0,
    "deal": -1,
    "floor_micros": -1,
    "reserve_micros": 0,
    "fixed_price": 0,
    "labels": 0,
    "package": 0,
    "package_kind": 0,
}
"""What the newcomer asks for in the optional columns: the open auction of the standard tier."""


def slots_of(slots: Slots, pages: NDArray[np.int64]) -> Slots:
    """The slots of these pages."""
    low, high = slots.offset[pages], slots.offset[pages + 1]
    take = ranges(low, high)
    return Slots(
        offset=np.concatenate([[0], np.cumsum(high - low)]).astype(np.int32),
        floor_micros=slots.floor_micros[take],
        first_price=slots.first_price[pages],
        seed=slots.seed[pages],
        scope=None if slots.scope is None else slots.scope[take],
        private=None if slots.private is None else slots.private[take],
    )


def _terms(held: Held, take: NDArray[np.int64], new: NDArray[np.int64]) -> Slate | None:
    """Fairness as it was for the others; the newcomer has had nothing yet."""
    slate = held.slate
    if slate is None or not has_terms(held) or slate.dual is None or slate.room is None:
        return None
    dual, room = slate.dual[take], slate.room[take]
    dual[new], room[new] = 0, MOST_ROOM
    return replace(slate, dual=dual, room=room)


def sheets(found: Forecast, names: dict[int, str]) -> Sequence[Sheet]:
    """Delivery of the newcomer with its spread, and who makes room for it."""
    after = found.after
    most = int(found.before.sales.line_item.max(initial=0)) + 1
    others = replace(after, sales=_others(after.sales))
    return [_delivery(found), displaced(found.before, others, most, names)]


def _others(sales: Sales) -> Sales:
    kept = sales.line_item != NEW
    return Sales(*(getattr(sales, one.name)[kept] for one in fields(Sales)))


def _delivery(found: Forecast) -> Sheet:
    after, mine = found.after, found.after.sales.line_item == NEW
    weights = {
        "impressions": np.ones(len(mine)),
        "clicks": after.sales.click_ppm / 1e6,
        "spend": after.sales.cost / 1e6,
    }
    most = found.budget_micros() / 1e6
    spends = quantiles(after, weights["spend"], mine)
    rows: list[tuple[str, float, float, float, float]] = []
    for name, weight in weights.items():
        total = float(weight[mine].sum()) / after.share
        held = [min(1.0, most / spend) if spend > 0 else 1.0 for spend in spends]
        drawn = np.array(quantiles(after, weight, mine)) * held
        rows.append((name, total, float(drawn[0]), float(drawn[1]), float(drawn[2])))
    notes = [
        f"over {found.days:.1f} days; enters {after.pages / after.share:,.0f} pages of "
        f"{found.pages / after.share:,.0f}; budget of that time {most:,.2f} dollars, used "
        f"{rows[2][1] / most if most else 0:.1%}"
    ]
    return Sheet("Forecast", ("figure", "replayed", "P10", "P50", "P90"), rows, notes)
