"""Documents of what is to be added, and steps that change a catalogue, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from adserver.catalogue import additions, operations, schema

SIZES = ((300, 250), (728, 90), (970, 250), (320, 50))


def an_ad(title: str = "New tea", **fields: Any) -> dict[str, Any]:
    return {
        "title": title,
        "width": 300,
        "height": 250,
        "category": "IAB8-3",
        "landing_url": "https://tea.example/new",
        "markup": '<a href="{click}">tea</a>',
        **fields,
    }


def a_line_item(*ads: dict[str, Any], **fields: Any) -> dict[str, Any]:
    stated = {"name": "spring", "pricing": "cpc", "bid_micros": 700_000}
    return {**stated, "ads": [*ads], **fields}


def a_campaign(*line_items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    stated = {"name": "leaves", "daily_budget_micros": 10**9}
    return {**stated, "line_items": [*line_items], **fields}


def an_advertiser(*campaigns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    stated = {"name": "Tea & Co", "domain": "shop.tea.example"}
    return {**stated, "campaigns": [*campaigns], **fields}


def a_document(*line_items: dict[str, Any]) -> dict[str, Any]:
    """A new advertiser with a campaign of these, or of one line item with two ads."""
    usual = a_line_item(an_ad(), an_ad("Newer tea"))
    return {"advertisers": [an_advertiser(a_campaign(*(line_items or (usual,))))]}


class Steps:
    """Random changes of a catalogue, each as an operator makes them."""

    def __init__(self, engine: Engine, rng: np.random.Generator) -> None:
        self.engine, self.rng = engine, rng
        self.kinds = (self.add_all, self.add_below, self.pause, self.bid, self.target, self.cap)

    def some(self, count: int) -> None:
        for _ in range(count):
            self.kinds[self.rng.integers(len(self.kinds))]()

    def one_of(self, level: str) -> Any:
        table = schema.LEVELS[level]
        with self.engine.connect() as connection:
            ids = connection.execute(select(table.c.id)).scalars().all()
            chosen = int(self.rng.choice(ids))
            return connection.execute(select(table).where(table.c.id == chosen)).one()

    def line_item(self) -> dict[str, Any]:
        rng = self.rng
        width, height = SIZES[rng.integers(len(SIZES))]
        count = int(rng.integers(0, 4))
        return a_line_item(
            *(an_ad(f"T{n}", width=width, height=height) for n in range(count)),
            pricing=str(rng.choice(["cpm", "cpc", "cpa"])),
            bid_micros=int(rng.integers(1, 1_000)) * 1_000,
            targeting=self.wishes(),
            labels=[None, ["category"], ["tea", "hot"]][rng.integers(3)],
            frequency_caps=[None, [{"max": 3, "window": "24h"}]][rng.integers(2)],
        )

    def wishes(self) -> dict[str, Any]:
        rng = self.rng
        wishes: dict[str, Any] = {
            "country": {"include": [str(rng.choice(["DEU", "FRA", "ATA"]))]},
            "keyword": {"exclude": [str(rng.choice(["war", "tea", "cups"]))]},
            "placement": {"include": [str(rng.choice(["top-1", "new-zone"]))]},
            "hours": {"include": ["mon-fri 08-18"]},
        }
        return {name: lists for name, lists in wishes.items() if rng.random() < 0.5}

    def add_all(self) -> None:
        line_items = [self.line_item() for _ in range(self.rng.integers(1, 4))]
        additions.add(self.engine, a_document(*line_items))

    def add_below(self) -> None:
        """Ads to an old line item, and a line item to its campaign."""
        row = self.one_of("line_item")
        with self.engine.connect() as connection:
            table = schema.campaign
            owner = connection.execute(select(table).where(table.c.id == row.campaign_id)).one()
        inside = [{"id": row.id, "ads": [an_ad(width=120, height=600)]}, self.line_item()]
        campaign = {"id": owner.id, "line_items": inside}
        document = {"advertisers": [{"id": owner.advertiser_id, "campaigns": [campaign]}]}
        additions.add(self.engine, document)

    def pause(self) -> None:
        level = str(self.rng.choice([*schema.LEVELS]))
        change = operations.pause if self.rng.random() < 0.7 else operations.resume
        change(self.engine, level, self.one_of(level).id)

    def bid(self) -> None:
        micros = int(self.rng.integers(1, 1_000)) * 1_000
        operations.set_bid(self.engine, self.one_of("line_item").id, micros)

    def target(self) -> None:
        operations.set_targeting(self.engine, self.one_of("line_item").id, self.wishes())

    def cap(self) -> None:
        level = str(self.rng.choice([*schema.LEVELS]))
        stated = [[], [{"max": 2, "window": "week", "on": "click"}]][self.rng.integers(2)]
        operations.set_caps(self.engine, level, self.one_of(level).id, stated)
