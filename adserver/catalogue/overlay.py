"""What changes within a second: flights, pauses, bids and budgets, laid over one snapshot.

The database is polled for its revision; only rows that changed since are read. Arrays that were
handed out are never written again: whoever holds a `Live` keeps a consistent one. New ads and new
targeting wait for the next build.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Row, Table, select
from sqlalchemy.exc import SQLAlchemyError

from adserver.catalogue import schema
from adserver.catalogue.columns import AdColumns, LineItemColumns
from adserver.catalogue.reading import ACTIVE, current_revision
from adserver.catalogue.snapshot import Snapshot
from adserver.catalogue.value import base_value
from auction.columns import LEVELS, Level
from ranking.table import AdTable
from retrieval.query import Live

IDS_MOST = 500
"""Ids in one query: databases bound the number of parameters."""
MILLE = 1_000
Changed = dict[str, list[int]]
"""Kind of row -> ids."""


class Overlay:
    """The live part of one snapshot; one owner, who calls `refresh` twice a second."""

    def __init__(self, snapshot: Snapshot, database: Engine, now: float) -> None:
        self._ads, self._items = snapshot.ads, snapshot.line_items
        self._database = database
        self.revision = snapshot.manifest.revision
        """The last change that is in effect here."""
        self.trouble = ""
        """Why the database could not be asked the last time; what was known before stands."""
        campaigns, advertisers = snapshot.campaigns, snapshot.advertisers
        self._campaign = _by_id(campaigns.campaign_id, campaigns.active)
        self._advertiser = _by_id(advertisers.advertiser_id, advertisers.active)
        self._line_item = np.array(self._items.active)
        self._cost = _event_costs(self._items, self._ads)
        self.budget = _by_id(campaigns.campaign_id, campaigns.daily_budget_micros)
        """[largest campaign id + 1] micros a day, by campaign id; replaced, never edited."""
        self.bid_micros = np.array(self._ads.bid_micros)
        """[N] today's bid of each ad; replaced, never edited."""
        self._log_odds = AdTable.load(snapshot.folder / "ranker").bias
        self._accounts = tuple(
            owner * LEVELS + level
            for level, owner in (
                (Level.ADVERTISER, self._items.advertiser),
                (Level.CAMPAIGN, self._items.campaign),
                (Level.LINE_ITEM, self._items.line_item_id),
            )
        )
        """Of each level [L] who pays for a line item."""
        self._by_ad_id = np.argsort(self._ads.ad_id, kind="stable")
        self._not_paused = self._all_active()
        self.live = Live(
            np.zeros(0, np.uint64),
            np.array(self._ads.active, np.uint8),
            base_value(self.bid_micros, self._ads.per_click, self._log_odds),
        )
        """What retrieval takes; replaced, never edited."""
        self.refresh(now, None)

    def refresh(self, now: float, remaining: NDArray[np.int64] | None) -> Live:
        """Bring in what the database says, the flights of `now` (wall seconds), the money left.

        `remaining` is micros left by account; None: the whole budgets. A line item runs while
        its accounts can all still pay for one event at its full bid. A database that cannot be
        asked changes nothing but `trouble`.
        """
        try:
            self._poll()
            self.trouble = ""
        except SQLAlchemyError as error:
            self.trouble = str(error)
        bits = packed(self._running(now, remaining))
        if not np.array_equal(bits, self.live.line_item):
            self.live = Live(bits, self.live.ad, self.live.base)
        return self.live

    def _poll(self) -> None:
        with schema.one_state(self._database) as connection:
            latest = current_revision(connection)
            if latest == self.revision:
                return
            changed = _changed(connection, self.revision)
            self._take_owners(connection, changed)
            self._take_line_items(connection, changed)
            self._take_ads(connection, changed)
        self._not_paused = self._all_active()
        self.revision = latest

    def _take_owners(self, connection: Connection, changed: Changed) -> None:
        for row in _rows(connection, schema.advertiser, changed):
            if row.id < len(self._advertiser):
                self._advertiser[row.id] = row.status == ACTIVE
        budget = self.budget.copy()
        for row in _rows(connection, schema.campaign, changed):
            if row.id < len(budget):
                self._campaign[row.id] = row.status == ACTIVE
                budget[row.id] = row.daily_budget_micros
        self.budget = budget

    def _take_line_items(self, connection: Connection, changed: Changed) -> None:
        items, bid, base = self._items, self.bid_micros, self.live.base
        for row in _rows(connection, schema.line_item, changed):
            place = _place(items.line_item_id, row.id)
            if place is None:
                continue
            if bid is self.bid_micros:
                bid, base = bid.copy(), base.copy()
            part = slice(int(items.ad_start[place]), int(items.ad_start[place + 1]))
            bid[part] = row.bid_micros
            base[part] = base_value(bid[part], self._ads.per_click[part], self._log_odds[part])
            self._line_item[place] = row.status == ACTIVE
            self._cost[place] = _event_cost(row.bid_micros, row.pricing == "cpc")
        self.bid_micros = bid
        self.live = Live(self.live.line_item, self.live.ad, base)

    def _take_ads(self, connection: Connection, changed: Changed) -> None:
        ad = self.live.ad.copy()
        for row in _rows(connection, schema.ad, changed):
            place = _place(self._ads.ad_id, row.id, self._by_ad_id)
            if place is not None:
                ad[place] = row.status == ACTIVE
        self.live = Live(self.live.line_item, ad, self.live.base)

    def _all_active(self) -> NDArray[np.bool_]:
        """[L] neither the line item nor its campaign nor its advertiser is paused."""
        items = self._items
        owners = self._campaign[items.campaign] & self._advertiser[items.advertiser]
        active: NDArray[np.bool_] = self._line_item & owners
        return active

    def _running(self, now: float, money: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        items = self._items
        # a budget just cut to nothing stops its campaign before the ledger has heard of it
        affordable = self.budget[items.campaign] >= self._cost
        if money is not None and money.size:
            for account in self._accounts:
                known = account < len(money)
                affordable &= (money[np.where(known, account, 0)] >= self._cost) | ~known
        in_flight = (items.start_s <= now) & (now < items.end_s)
        running: NDArray[np.bool_] = self._not_paused & in_flight & affordable
        return running


def packed(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """[ceil(L / 64)] flag l is bit l % 64 of word l // 64."""
    padded = np.zeros(-(-len(flags) // 64) * 64, np.bool_)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def _by_id(ids: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """The values where their ids say, zero where there is no such id."""
    placed = np.zeros(int(ids.max(initial=0)) + 1, values.dtype)
    placed[ids] = values
    return placed


def _event_cost(bid_micros: int, per_click: bool) -> int:
    """Most that one impression or click can cost."""
    return bid_micros if per_click else -(-bid_micros // MILLE)


def _event_costs(items: LineItemColumns, ads: AdColumns) -> NDArray[np.int64]:
    """[L] `_event_cost` of each; 0 for a line item without ads, which never runs anyhow."""
    cost = np.zeros(len(items), np.int64)
    per_ad = np.where(ads.per_click, ads.bid_micros, -(-ads.bid_micros // MILLE))
    cost[ads.line_item] = per_ad
    return cost


def _changed(connection: Connection, since: int) -> Changed:
    table = schema.change.c
    recent = select(table.kind, table.row_id).where(table.revision > since).distinct()
    found: Changed = defaultdict(list)
    for kind, row_id in connection.execute(recent):
        found[kind].append(row_id)
    return found


def _rows(connection: Connection, table: Table, changed: Changed) -> Iterator[Row[Any]]:
    """The table's changed rows as they are now; some may be newer than the snapshot."""
    ids = changed.get(table.name, [])
    for start in range(0, len(ids), IDS_MOST):
        part = ids[start : start + IDS_MOST]
        yield from connection.execute(select(table).where(table.c.id.in_(part)))


def _place(
    ids: NDArray[np.int64], wanted: int, order: NDArray[np.intp] | None = None
) -> int | None:
    """Where the id stands, None if nowhere. `order` sorts the ids, None: they are sorted."""
    at = int(np.searchsorted(ids, wanted, sorter=order))
    if at >= len(ids):
        return None
    place = at if order is None else int(order[at])
    return place if ids[place] == wanted else None
