"""Reads the whole catalogue from the database, a few thousand rows at a time.

Gives columns in the order of a snapshot's rows. Knows neither the indices nor the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import Column, ColumnElement, Connection, Row, Table, func, select, true

from adserver.catalogue import capping, schema
from adserver.catalogue.capping import Capped
from adserver.catalogue.codes import GOALS, NO_IDENTITY, PACING, PACKAGES, PRICING, code
from adserver.catalogue.columns import (
    AdvertiserColumns,
    CampaignColumns,
    LineItemColumns,
    Names,
    Owner,
)
from adserver.catalogue.targeting import TargetingError, index_values, parse
from adserver.errors import ConfigError
from auction.books import UNLIMITED
from auction.caps import Entity
from ranking.conversion import PRIOR_PPM
from retrieval.query import Dimension

ROWS = 5_000
"""Database rows held at a time."""
MISTAKES_MOST = 20
IDS_MOST = 500
"""Ids in one query: databases bound the number of parameters."""
ACTIVE = "active"


class Stray(LookupError):
    """A line item of a campaign that is not known."""


@dataclass(frozen=True, slots=True)
class LineItems:
    """Line items with what only the builder needs of them."""

    columns: LineItemColumns
    """`ad_start` is still all zeros."""
    labels: list[tuple[str, ...]]
    """[L] of competitive exclusion."""
    capped: Capped
    terms: dict[tuple[Dimension, str, bool], list[int]]
    """(dimension, value, excluded) -> rows."""
    placements: dict[str, list[int]]
    """Placement key -> rows that are tied to it."""

    @classmethod
    def empty(cls, count: int) -> LineItems:
        return cls(no_line_items(count), [()] * count, {}, defaultdict(list), defaultdict(list))

    def add(self, number: int, row: Row[Any]) -> list[str]:
        """The mistakes that are in it."""
        columns, mistakes = self.columns, list[str]()
        columns.line_item_id[number] = row.id
        columns.campaign[number] = row.campaign_id
        columns.deal[number] = -1 if row.deal_id is None else row.deal_id
        set_line_item(columns, number, row)
        self.labels[number] = tuple(row.labels or ())
        self.capped.update(capping.of_rows(Entity.LINE_ITEM, (row,), mistakes))
        try:
            targeting = parse(row.targeting, f"line item {row.id}: targeting")
        except TargetingError as error:
            return [*mistakes, str(error)]
        for dimension, value, exclude in index_values(targeting):
            self.terms[dimension, value, exclude].append(number)
        for key in targeting.placement.include:
            self.placements[key].append(number)
        return mistakes


@dataclass(frozen=True, slots=True)
class Owners:
    advertisers: AdvertiserColumns
    campaigns: CampaignColumns
    names: Names
    capped: Capped


def no_line_items(count: int) -> LineItemColumns:
    """So many rows of zeros."""

    def zeros(kind: type) -> Any:
        return np.zeros(count, kind)

    return LineItemColumns(
        line_item_id=zeros(np.int64),
        ad_start=np.zeros(count + 1, np.int32),
        campaign=zeros(np.int32),
        advertiser=zeros(np.int32),
        deal=zeros(np.int32),
        start_s=zeros(np.float64),
        end_s=zeros(np.float64),
        active=zeros(np.bool_),
        pricing=zeros(np.uint8),
        price_micros=zeros(np.int64),
        pcvr_ppm=zeros(np.int64),
        tier=zeros(np.uint8),
        share=zeros(np.int64),
        quality_ppm=zeros(np.int64),
        daily_budget_micros=zeros(np.int64),
        lifetime_budget_micros=zeros(np.int64),
        goal_kind=zeros(np.uint8),
        goal_amount=zeros(np.int64),
        pacing=zeros(np.uint8),
        no_identity=zeros(np.uint8),
        package=zeros(np.uint8),
    )


def current_revision(connection: Connection) -> int:
    """The last change that this connection sees."""
    return int(connection.execute(select(schema.revision.c.value)).scalar_one())


def owners(
    connection: Connection, only: tuple[Sequence[int], Sequence[int]] | None = None
) -> Owners:
    """All advertisers and campaigns, or those of these ids; ConfigError, naming each, if any has
    malformed caps."""
    a, c = schema.advertiser, schema.campaign
    some, others = only or (None, None)
    advertisers = [*chain.from_iterable(_ordered(connection, a, a.c.id, some))]
    campaigns = [*chain.from_iterable(_ordered(connection, c, c.c.id, others))]
    mistakes: list[str] = []
    capped = dict(
        chain(
            capping.of_rows(Entity.ADVERTISER, advertisers, mistakes),
            capping.of_rows(Entity.CAMPAIGN, campaigns, mistakes),
        )
    )
    if mistakes:
        raise ConfigError(mistakes[:MISTAKES_MOST])
    owned = AdvertiserColumns(
        np.array([row.id for row in advertisers], np.int64),
        np.zeros(len(advertisers), np.int64),
        np.zeros(len(advertisers), np.int64),
        np.zeros(len(advertisers), np.bool_),
    )
    owning = CampaignColumns(
        np.array([row.id for row in campaigns], np.int64),
        np.array([row.advertiser_id for row in campaigns], np.int32),
        np.zeros(len(campaigns), "U3"),
        np.zeros(len(campaigns), np.int64),
        np.zeros(len(campaigns), np.int64),
        np.zeros(len(campaigns), np.bool_),
    )
    for place, row in enumerate(advertisers):
        set_owner(owned, place, row)
    for place, row in enumerate(campaigns):
        set_owner(owning, place, row)
    names = Names(
        {row.id: Owner(row.name, row.domain) for row in advertisers},
        {row.id: row.name for row in campaigns},
    )
    return Owners(owned, owning, names, capped)


def set_owner(columns: AdvertiserColumns | CampaignColumns, place: int, row: Row[Any]) -> None:
    """What can change of an advertiser or a campaign, as the database has it now."""
    _set_budgets(columns, place, row)
    columns.active[place] = row.status == ACTIVE
    if isinstance(columns, CampaignColumns):
        columns.currency[place] = row.currency


def set_line_item(columns: LineItemColumns, place: int, row: Row[Any]) -> None:
    """What can change of a line item, as the database has it now."""
    columns.start_s[place] = row.start_s
    columns.end_s[place] = np.inf if row.end_s is None else row.end_s
    columns.active[place] = row.status == ACTIVE
    columns.pricing[place] = code(PRICING, row.pricing)
    columns.price_micros[place] = row.bid_micros
    columns.pcvr_ppm[place] = row.pcvr_ppm or PRIOR_PPM
    columns.tier[place] = row.tier
    columns.share[place] = row.share
    columns.quality_ppm[place] = row.quality_ppm
    _set_budgets(columns, place, row)
    columns.goal_kind[place] = code(GOALS, row.goal_kind)
    columns.goal_amount[place] = row.goal_amount or 0
    columns.pacing[place] = code(PACING, row.pacing)
    columns.no_identity[place] = code(NO_IDENTITY, row.no_identity)
    columns.package[place] = code(PACKAGES, row.package)


def _set_budgets(
    columns: AdvertiserColumns | CampaignColumns | LineItemColumns, place: int, row: Row[Any]
) -> None:
    columns.daily_budget_micros[place] = _limit(row.daily_budget_micros)
    columns.lifetime_budget_micros[place] = _limit(row.lifetime_budget_micros)


def _limit(micros: int | None) -> int:
    return UNLIMITED if micros is None else micros


def line_items(
    connection: Connection, campaigns: CampaignColumns, only: Sequence[int] | None = None
) -> LineItems:
    """All line items, or those of these ids; ConfigError, naming each, if any has malformed
    targeting or caps, Stray if one's campaign is not given."""
    table = schema.line_item
    draft = LineItems.empty(_count(connection, table, table.c.id, only))
    mistakes: list[str] = []
    rows = chain.from_iterable(_ordered(connection, table, table.c.id, only))
    for number, row in enumerate(rows):
        mistakes += draft.add(number, row)
    if mistakes:
        raise ConfigError(mistakes[:MISTAKES_MOST])
    campaign, ids = draft.columns.campaign, campaigns.campaign_id
    if not np.isin(campaign, ids).all():
        raise Stray(f"campaign {np.setdiff1d(campaign, ids)[0]} is not among those read")
    draft.columns.advertiser[:] = campaigns.advertiser[np.searchsorted(ids, campaign)]
    return draft


def ad_count(connection: Connection, only: Sequence[int] | None = None) -> int:
    """Of all line items, or of those of these ids; the same below."""
    return _count(connection, schema.ad, schema.ad.c.line_item_id, only)


def ad_sizes(
    connection: Connection, only: Sequence[int] | None = None
) -> tuple[tuple[int, int], ...]:
    """Every width and height that some ad has, in a fixed order."""
    table = schema.ad.c
    query = select(table.width, table.height).distinct()
    found = {
        (row.width, row.height)
        for part in conditions(table.line_item_id, only)
        for row in connection.execute(query.where(part))
    }
    return tuple(sorted(found))


def ads(connection: Connection, only: Sequence[int] | None = None) -> Iterator[Sequence[Row[Any]]]:
    """All ads by line item, then by id, some thousand at a time."""
    return _ordered(connection, schema.ad, schema.ad.c.line_item_id, only)


def _ordered(
    connection: Connection, table: Table, key: Column[Any], only: Sequence[int] | None
) -> Iterator[Sequence[Row[Any]]]:
    """Rows by the key, then by their id, some at a time."""
    ordered = select(table).order_by(key, table.c.id)
    for part in conditions(key, only):
        rows = connection.execute(ordered.where(part), execution_options={"yield_per": ROWS})
        yield from rows.partitions()


def _count(
    connection: Connection, table: Table, key: Column[Any], only: Sequence[int] | None
) -> int:
    query = select(func.count()).select_from(table)
    parts = conditions(key, only)
    return sum(int(connection.execute(query.where(part)).scalar_one()) for part in parts)


def conditions(key: Column[Any], only: Sequence[int] | None) -> Iterator[ColumnElement[bool]]:
    """Conditions that choose the ascending ids `only`, in this order, or everything."""
    if only is None:
        yield true()
        return
    for start in range(0, len(only), IDS_MOST):
        yield key.in_(only[start : start + IDS_MOST])
