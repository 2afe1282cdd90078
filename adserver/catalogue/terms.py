"""What line items, their owners, deals and rates say today: a snapshot's columns, kept up to date.

Immutable: `after` gives new terms and leaves these as they are. New line items and new deals'
ties wait for the next snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Table, select

from adserver.catalogue import offers, reading, schema, small_tables
from adserver.catalogue.columns import (
    AdvertiserColumns,
    CampaignColumns,
    LineItemColumns,
)
from adserver.catalogue.currency import Rates
from adserver.catalogue.market import Market
from auction.books import UNLIMITED
from auction.columns import LEVELS, Level

MARKET = {"deal", "floor_rule", "rate"}
Changed = dict[str, list[int]]
"""Kind of row -> ids."""
I64 = NDArray[np.int64]
Columns = TypeVar("Columns", AdvertiserColumns, CampaignColumns, LineItemColumns)


class Owners(NamedTuple):
    """[L] whose each line item is; the same for the life of a snapshot."""

    campaign: NDArray[np.intp]
    """Row of CampaignColumns."""
    advertiser: NDArray[np.intp]


class Limits(NamedTuple):
    """Every budget of a catalogue, [K], the unlimited ones too."""

    account: I64
    """auction.columns.account_of."""
    daily_micros: I64
    lifetime_micros: I64
    """US dollars; UNLIMITED for none."""


@dataclass(frozen=True, slots=True)
class Terms:
    items: LineItemColumns
    campaigns: CampaignColumns
    advertisers: AdvertiserColumns
    market: Market

    def after(self, connection: Connection, changed: Changed) -> Terms:
        """The terms with what changed; these themselves if nothing that they know did."""
        owners, items = reading.set_owner, self.items
        after = Terms(
            _patched(
                items,
                items.line_item_id,
                changed_rows(connection, schema.line_item, changed),
                reading.set_line_item,
            ),
            _patched(
                self.campaigns,
                self.campaigns.campaign_id,
                changed_rows(connection, schema.campaign, changed),
                owners,
            ),
            _patched(
                self.advertisers,
                self.advertisers.advertiser_id,
                changed_rows(connection, schema.advertiser, changed),
                owners,
            ),
            Market.of(small_tables.market(connection)) if changed.keys() & MARKET else self.market,
        )
        same = all(getattr(after, f.name) is getattr(self, f.name) for f in fields(self))
        return self if same else after

    def owners(self) -> Owners:
        return Owners(
            np.searchsorted(self.campaigns.campaign_id, self.items.campaign),
            np.searchsorted(self.advertisers.advertiser_id, self.items.advertiser),
        )

    def accounts(self) -> NDArray[np.int32]:
        """[L, LEVELS] who pays for a line item; -1: nobody."""
        items = self.items
        by_level: dict[Level, NDArray[np.integer]] = {
            Level.ADVERTISER: items.advertiser,
            Level.CAMPAIGN: items.campaign,
            Level.LINE_ITEM: items.line_item_id,
            Level.DEAL: items.deal,
        }
        account = np.empty((len(items), LEVELS), np.int32)
        for level, ids in by_level.items():
            account[:, level] = np.where(ids < 0, -1, _accounts(level, ids))
        return account

    def rate(self, owners: Owners) -> I64:
        """[L] units of each line item's currency for a million dollars."""
        return offers.rates_of(self.campaigns, self.market.rates)[owners.campaign]

    def not_paused(self, owners: Owners) -> NDArray[np.bool_]:
        """[L] neither the line item nor its campaign, its advertiser or its deal is paused."""
        active: NDArray[np.bool_] = (
            self.items.active
            & self.campaigns.active[owners.campaign]
            & self.advertisers.active[owners.advertiser]
            & self.market.deal_active(self.items.deal)
        )
        return active

    def purses(self, owners: Owners) -> I64:
        """[L] the least of the budgets that pay for a line item, in US dollars."""
        rate, least = self.rate(owners), np.full(len(self.items), UNLIMITED, np.int64)
        for micros in (
            self.items.daily_budget_micros,
            self.items.lifetime_budget_micros,
            self.campaigns.daily_budget_micros[owners.campaign],
            self.campaigns.lifetime_budget_micros[owners.campaign],
        ):
            np.minimum(least, offers.in_usd(micros, rate), out=least)
        for micros in (
            self.advertisers.daily_budget_micros,
            self.advertisers.lifetime_budget_micros,
        ):
            np.minimum(least, micros[owners.advertiser], out=least)
        return least

    def daily_budgets(self) -> I64:
        """[largest campaign id + 1] US dollars by campaign id; 0 where there is none."""
        ids = self.campaigns.campaign_id
        budget = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
        budget[ids] = self._campaign_budgets()[0]
        return budget

    def limits(self, owners: Owners) -> Limits:
        """Of all four levels."""
        items, rate, rates = self.items, self.rate(owners), self.market.rates
        deals = self.market.deals.values()
        parts = (
            (
                _accounts(Level.ADVERTISER, self.advertisers.advertiser_id),
                self.advertisers.daily_budget_micros,
                self.advertisers.lifetime_budget_micros,
            ),
            (_accounts(Level.CAMPAIGN, self.campaigns.campaign_id), *self._campaign_budgets()),
            (
                _accounts(Level.LINE_ITEM, items.line_item_id),
                offers.in_usd(items.daily_budget_micros, rate),
                offers.in_usd(items.lifetime_budget_micros, rate),
            ),
            (
                _accounts(Level.DEAL, np.array([deal.id for deal in deals], np.int64)),
                _deal_budgets(rates, ((d.daily_budget_micros, d.currency) for d in deals)),
                _deal_budgets(rates, ((d.lifetime_budget_micros, d.currency) for d in deals)),
            ),
        )
        account, daily, lifetime = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Limits(account, daily, lifetime)

    def _campaign_budgets(self) -> tuple[I64, I64]:
        rate = offers.rates_of(self.campaigns, self.market.rates)
        return (
            offers.in_usd(self.campaigns.daily_budget_micros, rate),
            offers.in_usd(self.campaigns.lifetime_budget_micros, rate),
        )


def _accounts(level: Level, ids: NDArray[np.integer]) -> I64:
    """auction.columns.account_of, elementwise."""
    return ids.astype(np.int64) * LEVELS + level


def _deal_budgets(rates: Rates, stated: Iterable[tuple[int | None, str]]) -> I64:
    return np.array(
        [
            UNLIMITED if micros is None else rates.bid_to_usd(micros, currency)
            for micros, currency in stated
        ],
        np.int64,
    )


def _patched(
    columns: Columns,
    ids: I64,
    rows: Iterator[Row[Any]],
    write: Callable[[Any, int, Row[Any]], None],
) -> Columns:
    """New columns with these rows of the database in them; the old ones if none is of theirs."""
    fresh = None
    for row in rows:
        place = place_of(ids, row.id)
        if place is not None:
            fresh = fresh or type(columns)(
                *(getattr(columns, one.name).copy() for one in fields(columns))
            )
            write(fresh, place, row)
    return fresh or columns


def changes_since(connection: Connection, since: int) -> Changed:
    table = schema.change.c
    recent = select(table.kind, table.row_id).where(table.revision > since).distinct()
    found: Changed = defaultdict(list)
    for kind, row_id in connection.execute(recent):
        found[kind].append(row_id)
    return found


def changed_rows(connection: Connection, table: Table, changed: Changed) -> Iterator[Row[Any]]:
    """The table's changed rows as they are now; some may be newer than the snapshot."""
    ids = changed.get(table.name, [])
    for start in range(0, len(ids), reading.IDS_MOST):
        part = ids[start : start + reading.IDS_MOST]
        yield from connection.execute(select(table).where(table.c.id.in_(part)))


def place_of(
    ids: NDArray[np.int64], wanted: int, order: NDArray[np.intp] | None = None
) -> int | None:
    """Where the id stands, None if nowhere. `order` sorts the ids, None: they are sorted."""
    at = int(np.searchsorted(ids, wanted, sorter=order))
    if at >= len(ids):
        return None
    place = at if order is None else int(order[at])
    return place if ids[place] == wanted else None
