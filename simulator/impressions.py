"""Which ads may be shown where, drawn in bulk, and what a server knows of visits, slots and ads.

Each slot of each visit shows one ad that fits its targeting and size. Which one is a mixture: the
first of a few drawn, the highest bid of them, or what an earlier, noisy ranker would have chosen.
The last two matter: what a ranker is asked to score later are ads that look good already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.catalogue import Catalogue
from simulator.kernels import draw_fitting
from simulator.records import ad_rows
from simulator.targeting import DIMENSION, HOURS
from simulator.truth import Appeal, appeal
from simulator.visits import Visits
from simulator.world import World

DRAWS = 40
"""Ads drawn for a slot, of which the first CHOICES that fit are kept."""
CHOICES = 6
AT_RANDOM, BY_BID = 0.3, 0.2
"""Shares of the slots; the rest go by the earlier ranker."""
EARLIER_NOISE = 0.7
"""Standard deviation of the earlier ranker's log-odds around the truth."""

Column = tuple[tuple[str, ...], NDArray[np.integer]]
"""A column of names as indices into a vocabulary, -1 for none."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The catalogue as `draw_fitting` takes it."""

    catalogue: Catalogue
    appeal: Appeal
    live: NDArray[np.bool_]
    pool_start: NDArray[np.int64]
    """[placements * countries + 1]"""
    pool_ad: NDArray[np.int32]
    """Ads of a placement's sizes that do not ask for another country."""
    term_start: NDArray[np.int64]
    term_order: NDArray[np.int64]


def pools_of(catalogue: Catalogue, now: float, order: NDArray[np.integer] | None = None) -> Pools:
    """`now` (wall seconds) decides which flights run; `order` which ads stand in which order in
    every pool: all by row, without it."""
    world, ads, items = catalogue.world, catalogue.ads, catalogue.line_items
    every = np.arange(len(ads)) if order is None else order
    fits = [np.isin(ads.size[every], one.sizes) for one in world.placement]
    open_to = [open_[ads.line_item[every]] for open_ in _open_to_countries(catalogue)]
    pools = [every[size & country] for size in fits for country in open_to]
    by_owner = np.argsort(catalogue.terms.line_item, kind="stable")
    own = catalogue.terms.line_item[by_owner]
    return Pools(
        catalogue=catalogue,
        appeal=appeal(catalogue),
        live=(items.start_s <= now) & (items.end_s > now),
        pool_start=np.cumsum([0, *map(len, pools)]),
        pool_ad=np.concatenate(pools).astype(np.int32),
        term_start=np.searchsorted(own, np.arange(len(items.campaign) + 1)),
        term_order=by_owner,
    )


def _open_to_countries(catalogue: Catalogue) -> Iterator[NDArray[np.bool_]]:
    """For each country, the line items [L] that ask for it or for none."""
    terms, country = catalogue.terms, DIMENSION["country"]
    anywhere = (terms.need & np.uint16(1 << country)) == 0
    for number in range(len(catalogue.world.country)):
        start, end = terms.start.get((country, number), (0, 0))
        asked = anywhere.copy()
        asked[terms.line_item[start:end][~terms.exclude[start:end]]] = True
        yield asked


def targeting_values(world: World, sample: Visits) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """[B, C] everything that targeting can see of each visit, and where each dimension begins."""
    parents = np.where(sample.category >= 0, world.category_parent[sample.category], -1)
    hours = [
        np.where(
            np.isin(sample.weekday, days) & (sample.hour >= first) & (sample.hour < end), h, -1
        )
        for h, (_, days, first, end) in enumerate(HOURS)
    ]
    columns = {
        "hours": np.stack(hours, axis=1),
        "category": np.concatenate([sample.category, parents], axis=1),
        "placement": np.zeros((len(sample), 0), np.int32),
    }
    blocks = [
        columns[name] if name in columns else _two_dimensional(getattr(sample, name))
        for name in DIMENSION
    ]
    start = np.cumsum([0, *(block.shape[1] for block in blocks)])[: len(blocks)]
    return np.concatenate(blocks, axis=1).astype(np.int32), start.astype(np.int32)


def _two_dimensional(column: NDArray[np.int32]) -> NDArray[np.int32]:
    return column if column.ndim == 2 else column[:, None]


def drawn(
    pools: Pools,
    sample: Visits,
    of: NDArray[np.int32],
    placement: NDArray[np.int32],
    chance: NDArray[np.float32],
    count: int = CHOICES,
) -> NDArray[np.int32]:
    """[P, count] ads that may be shown in each slot, in the order drawn; -1 for none.

    Slots [P] of visits `of`; `chance` [P, draws] in 0 … 1 says where in its pool each draw lies.
    """
    catalogue, order = pools.catalogue, pools.term_order
    terms, world = catalogue.terms, catalogue.world
    values, column_start = targeting_values(world, sample)
    choices = np.full((len(of), count), -1, np.int32)
    draw_fitting(
        values,
        column_start,
        placement,
        of,
        placement * np.int32(len(world.country)) + sample.country[of],
        pools.pool_start,
        pools.pool_ad,
        catalogue.ads.line_item,
        pools.live,
        pools.term_start,
        terms.dimension[order],
        terms.value[order],
        terms.exclude[order],
        terms.need,
        chance,
        choices,
    )
    return choices


def chosen(
    catalogue: Catalogue,
    choices: NDArray[np.int32],
    rate: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """[P] which choice each slot shows; `rate` [P, CHOICES] are their true click rates."""
    owner = catalogue.ads.line_item[np.maximum(choices, 0)]
    bid = np.log(catalogue.line_items.bid_micros[owner])
    per_click = catalogue.line_items.per_click[owner]
    noise = rng.normal(0.0, EARLIER_NOISE, choices.shape)
    ranked = bid + np.where(per_click, np.log(1000.0 * rate), 0.0) + noise
    nothing = np.where(choices < 0, -np.inf, 0.0)
    chance = rng.random(len(choices))
    return np.where(
        chance < AT_RANDOM,
        0,
        np.where(
            chance < AT_RANDOM + BY_BID,
            np.argmax(bid + nothing, axis=1),
            np.argmax(ranked + nothing, axis=1),
        ),
    )


def request_columns(world: World, sample: Visits) -> dict[str, Column | NDArray[np.integer]]:
    """What a server would have known of each visit, by the names of its request's fields."""
    user, user_index = np.unique(sample.user, return_inverse=True)
    names = ("country", "region", "device", "os", "browser", "language", "domain")
    plain: dict[str, Column | NDArray[np.integer]] = {
        name: (getattr(world, name).name, getattr(sample, name)) for name in names
    }
    return plain | {
        "publisher": (
            tuple(f"pub-{row + 1}" for row in range(len(world.domain))),
            sample.domain,
        ),
        "user": (tuple(f"u{one}" for one in user.tolist()), user_index),
        "hour": sample.hour,
        "weekday": sample.weekday,
        "categories": (world.category.name, _once(sample.category)),
        "segments": (world.segment.name, _once(sample.segment)),
        "keywords": (world.keyword.name, _once(sample.keyword)),
    }


def ad_columns(catalogue: Catalogue) -> dict[str, Any]:
    """What a server knows of each ad, by the names of the ranker's ad fields; `text` is all words
    of the creative."""
    rows = list(ad_rows(catalogue, 0, len(catalogue.ads)))
    return {
        "ad": np.arange(1, len(rows) + 1),
        "campaign": catalogue.ad_campaign().astype(np.int64) + 1,
        "advertiser": catalogue.ad_advertiser().astype(np.int64) + 1,
        "per_click": catalogue.line_items.per_click[catalogue.ads.line_item],
        "category": [row["category"] for row in rows],
        "size": [(row["width"], row["height"]) for row in rows],
        "text": [f"{row['title']} {row['params']['call']}" for row in rows],
    }


def slot_names(world: World) -> list[tuple[str, int, int]]:
    """Key and first size of each placement."""
    return [(one.key, *world.sizes[one.sizes[0]]) for one in world.placement]


def _once(bag: NDArray[np.int32]) -> NDArray[np.int32]:
    """The bags with every value after its first left out, as requests carry them."""
    kept = bag.copy()
    for column in range(1, bag.shape[1]):
        repeated = (bag[:, :column] == bag[:, column : column + 1]).any(axis=1)
        kept[repeated, column] = -1
    return kept
