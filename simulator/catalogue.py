"""Advertisers, campaigns, line items and ads of the simulated marketplace, as columns.

Knows nothing of databases and makes no strings: `simulator.records` writes the rows out. Row r of
each table gets database id r + 1 when the tables are inserted in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator import names
from simulator.draw import zipf
from simulator.targeting import Terms, draw_terms, joined
from simulator.world import World

DAY_S = 86_400.0
FOREVER = np.inf
BLOCK = 100_000
"""Ads made at a time."""


@dataclass(frozen=True, slots=True)
class Advertisers:
    category: NDArray[np.int32]
    """[A] top category it sells in."""
    quality: NDArray[np.float32]
    """[A] log-odds that it adds to each click; known to the truth alone."""


@dataclass(frozen=True, slots=True)
class Campaigns:
    advertiser: NDArray[np.int32]
    category: NDArray[np.int32]
    """[C] child category."""
    daily_budget_micros: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LineItems:
    campaign: NDArray[np.int32]
    bid_micros: NDArray[np.int64]
    """Per thousand impressions, or per click; multiples of 1000 either way."""
    per_click: NDArray[np.bool_]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    """Wall seconds; FOREVER for none."""


@dataclass(frozen=True, slots=True)
class Ads:
    line_item: NDArray[np.int32]
    """[N] ascending."""
    size: NDArray[np.int16]
    """[N] index of World.sizes."""
    noun: NDArray[np.int16]
    """[N] which noun of its category's the title is about."""
    offer: NDArray[np.int8]
    call: NDArray[np.int8]
    look: NDArray[np.int8]
    """[N] seed of colours and pattern."""
    attributes: NDArray[np.uint32]
    """[N] bit a - 1: AdCOM creative attribute a."""
    secure: NDArray[np.bool_]
    quality: NDArray[np.float32]
    """[N] log-odds that the creative adds to each click."""

    def __len__(self) -> int:
        return len(self.line_item)


@dataclass(frozen=True, slots=True)
class Catalogue:
    world: World
    advertisers: Advertisers
    campaigns: Campaigns
    line_items: LineItems
    terms: Terms
    ads: Ads

    def ad_campaign(self) -> NDArray[np.int32]:
        """[N] campaign row of each ad."""
        return self.line_items.campaign[self.ads.line_item]

    def ad_advertiser(self) -> NDArray[np.int32]:
        """[N] advertiser row of each ad."""
        return self.campaigns.advertiser[self.ad_campaign()]


Columns = TypeVar("Columns", Advertisers, Campaigns, LineItems, Ads)


def catalogue(world: World, ads: int, seed: int = 1, now: float = 0.0) -> Catalogue:
    """`ads` ads of about ads / 50 advertisers, five to a line item and four of those a campaign.

    Sizes of advertisers and campaigns are heavy-tailed. Most flights are open-ended and began
    before `now` (wall seconds); one in twenty has not begun or is over. A smaller catalogue is
    the beginning of a larger one, so that a model trained on one knows the other's ads.
    """
    blocks = [_block(world, seed, number, now) for number in range(-(-ads // BLOCK))]
    return _joined(blocks, ads) if ads % BLOCK or len(blocks) > 1 else blocks[0]


def _block(world: World, seed: int, number: int, now: float) -> Catalogue:
    """BLOCK ads with owners of their own."""
    rng = np.random.default_rng([world.seed, seed, 1 + number])
    advertisers = _advertisers(rng, BLOCK // 50)
    campaigns = _campaigns(world, rng, advertisers, BLOCK // 20)
    line_items = _line_items(rng, BLOCK // 20, BLOCK // 5, now)
    terms = draw_terms(world, rng, campaigns.category[line_items.campaign])
    ads = _ads(world, rng, BLOCK // 5, BLOCK)
    return Catalogue(world, advertisers, campaigns, line_items, terms, ads)


def _joined(blocks: Sequence[Catalogue], ads: int) -> Catalogue:
    """Blocks laid end to end, cut after `ads` ads and their owners."""
    of_ad = _stacked([b.ads for b in blocks], "line_item", [len(b.terms.need) for b in blocks])
    line_items = int(of_ad.line_item[ads - 1]) + 1
    counts = [len(b.campaigns.advertiser) for b in blocks]
    of_line_item = _stacked([b.line_items for b in blocks], "campaign", counts)
    campaigns = int(of_line_item.campaign[line_items - 1]) + 1
    counts = [len(b.advertisers.quality) for b in blocks]
    of_campaign = _stacked([b.campaigns for b in blocks], "advertiser", counts)
    advertisers = int(of_campaign.advertiser[campaigns - 1]) + 1
    return Catalogue(
        blocks[0].world,
        _first(_stacked([b.advertisers for b in blocks], "", []), advertisers),
        _first(of_campaign, campaigns),
        _first(of_line_item, line_items),
        joined([b.terms for b in blocks], line_items),
        _first(of_ad, ads),
    )


def _stacked(parts: Sequence[Columns], owner: str, owners: Sequence[int]) -> Columns:
    """The parts' rows end to end; the owner column counts on through the owners of each part."""
    shift = np.repeat(
        np.cumsum([0, *owners[:-1]]) if owners else np.zeros(len(parts), np.int64),
        [len(getattr(part, fields(part)[0].name)) for part in parts],
    )
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
    }
    if owner:
        columns[owner] = (columns[owner] + shift).astype(np.int32)
    return type(parts[0])(**columns)


def _first(columns: Columns, count: int) -> Columns:
    return type(columns)(*(getattr(columns, field.name)[:count] for field in fields(columns)))


def _advertisers(rng: np.random.Generator, count: int) -> Advertisers:
    tops = len(names.CATEGORIES)
    weight = rng.permutation(zipf(tops, 0.4))
    return Advertisers(
        category=rng.choice(tops, count, p=weight).astype(np.int32),
        quality=rng.normal(0.0, 0.3, count).astype(np.float32),
    )


def _shares(
    rng: np.random.Generator, owners: int, count: int, exponent: float
) -> NDArray[np.int32]:
    """[count] ascending owners, each at least once where possible, in heavy-tailed numbers."""
    each = np.arange(min(owners, count))
    rest = rng.choice(owners, count - len(each), p=rng.permutation(zipf(owners, exponent)))
    return np.sort(np.concatenate([each, rest])).astype(np.int32)


def _campaigns(
    world: World, rng: np.random.Generator, advertisers: Advertisers, count: int
) -> Campaigns:
    advertiser = _shares(rng, len(advertisers.quality), count, 0.8)
    parents = world.category_parent[world.leaf]
    by_parent = [world.leaf[parents == top] for top in range(len(names.CATEGORIES))]
    top = advertisers.category[advertiser]
    chance = rng.random(count)
    leaf = [by_parent[t][int(u * len(by_parent[t]))] for t, u in zip(top, chance, strict=True)]
    dollars = np.exp(rng.normal(np.log(500.0), 1.2, count))
    return Campaigns(
        advertiser=advertiser,
        category=np.array(leaf, np.int32),
        daily_budget_micros=np.maximum(dollars.round(), 20).astype(np.int64) * 1_000_000,
    )


def _line_items(rng: np.random.Generator, campaigns: int, count: int, now: float) -> LineItems:
    per_click = rng.random(count) < 0.6
    dollars = np.exp(
        np.where(
            per_click, rng.normal(np.log(0.3), 0.6, count), rng.normal(np.log(2.0), 0.7, count)
        )
    )
    start = now - DAY_S * (1 + 60 * rng.random(count))
    start[rng.random(count) < 0.02] = now + 20 * DAY_S
    end = np.where(rng.random(count) < 0.7, FOREVER, now + DAY_S * (60 + 300 * rng.random(count)))
    end[rng.random(count) < 0.03] = now - DAY_S / 2
    return LineItems(
        campaign=_shares(rng, campaigns, count, 0.3),
        bid_micros=np.maximum(np.rint(dollars * 1000), 10).astype(np.int64) * 1_000,
        per_click=per_click,
        start_s=np.floor(start),
        end_s=np.floor(end),
    )


def _ads(world: World, rng: np.random.Generator, line_items: int, count: int) -> Ads:
    most = np.array(
        [1, 3, 6, 7, 16], np.uint32
    )  # audio, expandable, in-banner video, pop, rollover
    marked = rng.random(count) < 0.03
    attribute = np.uint32(1) << (most[rng.integers(0, len(most), count)] - np.uint32(1))
    words = min(len(nouns.split()) for _, _, nouns in names.CATEGORIES)
    return Ads(
        line_item=_shares(rng, line_items, count, 0.0),
        size=rng.choice(len(world.sizes), count, p=world.size_weight).astype(np.int16),
        noun=rng.integers(0, words, count, dtype=np.int16),
        offer=rng.integers(0, len(names.OFFERS), count, dtype=np.int8),
        call=rng.integers(0, len(names.CALLS), count, dtype=np.int8),
        look=rng.integers(0, 100, count, dtype=np.int8),
        attributes=np.where(marked, attribute, 0).astype(np.uint32),
        secure=rng.random(count) < 0.98,
        quality=rng.normal(0.0, 0.25, count).astype(np.float32),
    )
