"""Reads the whole catalogue from the database, a few thousand rows at a time.

Gives columns in the order of a snapshot's rows. Knows neither the indices nor the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, func, select

from adserver.catalogue import schema
from adserver.catalogue.columns import (
    AdvertiserColumns,
    CampaignColumns,
    CataloguePlacement,
    LineItemColumns,
    Names,
    Owner,
)
from adserver.catalogue.targeting import TargetingError, index_values, parse
from adserver.errors import ConfigError
from retrieval.query import Dimension

ROWS = 5_000
"""Database rows held at a time."""
MISTAKES_MOST = 20
ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class LineItems:
    """Line items with what only the builder needs of them."""

    columns: LineItemColumns
    """`ad_start` is still all zeros."""
    bid_micros: NDArray[np.int64]
    per_click: NDArray[np.bool_]
    terms: dict[tuple[Dimension, str, bool], list[int]]
    """(dimension, value, excluded) -> rows."""
    placements: dict[str, list[int]]
    """Placement key -> rows that are tied to it."""


def current_revision(connection: Connection) -> int:
    """The last change that this connection sees."""
    return int(connection.execute(select(schema.revision.c.value)).scalar_one())


def owners(connection: Connection) -> tuple[AdvertiserColumns, CampaignColumns, Names]:
    """All advertisers and campaigns."""
    a, c = schema.advertiser.c, schema.campaign.c
    advertisers = connection.execute(select(a.id, a.name, a.domain, a.status).order_by(a.id)).all()
    campaigns = connection.execute(
        select(c.id, c.advertiser_id, c.name, c.daily_budget_micros, c.status).order_by(c.id)
    ).all()
    return (
        AdvertiserColumns(
            np.array([row.id for row in advertisers], np.int64),
            np.array([row.status == ACTIVE for row in advertisers], np.bool_),
        ),
        CampaignColumns(
            np.array([row.id for row in campaigns], np.int64),
            np.array([row.advertiser_id for row in campaigns], np.int32),
            np.array([row.daily_budget_micros for row in campaigns], np.int64),
            np.array([row.status == ACTIVE for row in campaigns], np.bool_),
        ),
        Names(
            {row.id: Owner(row.name, row.domain) for row in advertisers},
            {row.id: row.name for row in campaigns},
        ),
    )


def line_items(connection: Connection, campaigns: CampaignColumns) -> LineItems:
    """All line items; ConfigError, naming each, if any has malformed targeting."""
    table = schema.line_item
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    draft = _LineItemDraft.empty(count)
    rows = connection.execution_options(yield_per=ROWS).execute(select(table).order_by(table.c.id))
    for number, row in enumerate(rows):
        draft.add(number, row)
    if draft.mistakes:
        raise ConfigError(draft.mistakes[:MISTAKES_MOST])
    owner = np.searchsorted(campaigns.campaign_id, draft.columns.campaign)
    draft.columns.advertiser[:] = campaigns.advertiser[owner]
    return LineItems(
        draft.columns, draft.bid_micros, draft.per_click, draft.terms, draft.placements
    )


@dataclass(frozen=True, slots=True)
class _LineItemDraft:
    columns: LineItemColumns
    bid_micros: NDArray[np.int64]
    per_click: NDArray[np.bool_]
    terms: dict[tuple[Dimension, str, bool], list[int]]
    placements: dict[str, list[int]]
    mistakes: list[str]

    @classmethod
    def empty(cls, count: int) -> _LineItemDraft:
        columns = LineItemColumns(
            line_item_id=np.zeros(count, np.int64),
            ad_start=np.zeros(count + 1, np.int32),
            campaign=np.zeros(count, np.int32),
            advertiser=np.zeros(count, np.int32),
            start_s=np.zeros(count, np.float64),
            end_s=np.zeros(count, np.float64),
            active=np.zeros(count, np.bool_),
        )
        bid = np.zeros(count, np.int64)
        return cls(
            columns, bid, np.zeros(count, np.bool_), defaultdict(list), defaultdict(list), []
        )

    def add(self, number: int, row: Row[Any]) -> None:
        columns = self.columns
        columns.line_item_id[number] = row.id
        columns.campaign[number] = row.campaign_id
        columns.start_s[number] = row.start_s
        columns.end_s[number] = np.inf if row.end_s is None else row.end_s
        columns.active[number] = row.status == ACTIVE
        self.bid_micros[number] = row.bid_micros
        self.per_click[number] = row.pricing == "cpc"
        try:
            targeting = parse(row.targeting, f"line item {row.id}: targeting")
        except TargetingError as error:
            self.mistakes.append(str(error))
            return
        for dimension, value, exclude in index_values(targeting):
            self.terms[dimension, value, exclude].append(number)
        for key in targeting.placement.include:
            self.placements[key].append(number)


def placements(connection: Connection) -> dict[str, CataloguePlacement]:
    """Key -> placement."""
    return {
        row.key: CataloguePlacement(
            floor_micros=row.floor_micros,
            sizes=tuple((width, height) for width, height in row.sizes),
            publisher=row.publisher,
            bcat=tuple(row.blocked_categories),
            badv=tuple(row.blocked_advertisers),
        )
        for row in connection.execute(select(schema.placement).order_by(schema.placement.c.id))
    }


def templates(connection: Connection) -> dict[int, str]:
    """Id -> markup."""
    table = schema.template.c
    return {row.id: row.markup for row in connection.execute(select(table.id, table.markup))}


def ad_count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(schema.ad)).scalar_one())


def ad_sizes(connection: Connection) -> tuple[tuple[int, int], ...]:
    """Every width and height that some ad has, in a fixed order."""
    table = schema.ad.c
    found = connection.execute(select(table.width, table.height).distinct())
    return tuple(sorted((row.width, row.height) for row in found))


def ads(connection: Connection) -> Iterator[Sequence[Row[Any]]]:
    """All ads by line item, then by id, ROWS at a time."""
    table = schema.ad
    ordered = select(table).order_by(table.c.line_item_id, table.c.id)
    rows = connection.execute(ordered, execution_options={"yield_per": ROWS})
    yield from rows.partitions()
