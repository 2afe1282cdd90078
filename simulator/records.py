"""A simulated catalogue as rows of plain values, ready to be inserted into a database.

Knows the field names of the rows and nothing of the database. Ids are row + 1 throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from simulator import names
from simulator.catalogue import FOREVER, Catalogue
from simulator.creatives import templates
from simulator.targeting import DIMENSIONS, HOURS, Terms
from simulator.terms import STREAM, currencies, line_item_terms, plain_terms
from simulator.truth import shape
from simulator.world import World

Row = dict[str, Any]


def template_rows() -> Iterator[Row]:
    """The banner templates."""
    for number, (name, markup) in enumerate(templates().items()):
        yield {"id": number + 1, "name": name, "markup": markup}


def placement_rows(world: World) -> Iterator[Row]:
    """Every kind of zone."""
    for number, zone in enumerate(world.placement):
        yield {
            "id": number + 1,
            "key": zone.key,
            "publisher": "",
            "floor_micros": zone.floor_micros,
            "sizes": [list(world.sizes[size]) for size in zone.sizes],
            "blocked_categories": [],
            "blocked_advertisers": [],
        }


def advertiser_rows(catalogue: Catalogue) -> Iterator[Row]:
    """Every advertiser, with a name and a domain that nobody else has."""
    for row, category in enumerate(catalogue.advertisers.category.tolist()):
        name = advertiser_name(row)
        yield {
            "id": row + 1,
            "name": name,
            "domain": f"{name.replace(' ', '').lower()}.example",
            "category": catalogue.world.category.name[category],
        }


@cache
def _name_parts() -> tuple[list[str], list[str]]:
    return names.NAME_HEADS.split(), names.NAME_TAILS.split()


def advertiser_name(row: int) -> str:
    """The name of the advertiser in this row of any catalogue."""
    heads, tails = _name_parts()
    generation, rest = divmod(row, len(heads) * len(tails))
    turn, head = divmod(rest, len(heads))
    tail = tails[(turn + head) % len(tails)]  # in twenty turns each head meets each tail once
    return f"{heads[head]} {tail}" + (f" {generation + 1}" if generation else "")


def campaign_rows(catalogue: Catalogue, mixed: bool = False) -> Iterator[Row]:
    """Every campaign; `mixed`: some in other currencies than US dollars."""
    campaigns, world = catalogue.campaigns, catalogue.world
    count = len(campaigns.advertiser)
    currency = currencies(count, world.seed) if mixed else ["USD"] * count
    for row, advertiser in enumerate(campaigns.advertiser.tolist()):
        top = int(world.category_parent[campaigns.category[row]])
        yield {
            "id": row + 1,
            "advertiser_id": advertiser + 1,
            "name": f"{names.CATEGORIES[top][0]} {row + 1}",
            "currency": currency[row],
            "daily_budget_micros": int(campaigns.daily_budget_micros[row]),
        }


def line_item_rows(catalogue: Catalogue, mixed: bool = False) -> Iterator[Row]:
    """Every line item with its targeting; `mixed`: of all ways to pay and to be sold."""
    items, world = catalogue.line_items, catalogue.world
    targeting = _targeting(world, catalogue.terms)
    rng = np.random.default_rng([STREAM, world.seed, 2])
    columns = zip(
        items.campaign.tolist(),
        items.bid_micros.tolist(),
        items.per_click.tolist(),
        items.start_s.tolist(),
        items.end_s.tolist(),
        strict=True,
    )
    for row, (campaign, bid, per_click, start, end) in enumerate(columns):
        yield {
            "id": row + 1,
            "campaign_id": campaign + 1,
            "name": f"Line item {row + 1}",
            **(line_item_terms(bid, per_click, rng) if mixed else plain_terms(bid, per_click)),
            "start_s": start,
            "end_s": None if end == FOREVER else end,
            "targeting": targeting.get(row, {}),
        }


def _targeting(world: World, terms: Terms) -> dict[int, Row]:
    """Line item row -> {dimension: {"include": […], "exclude": […]}}."""
    dimensions = DIMENSIONS.split()
    vocabulary = [_values(world, name) for name in dimensions]
    found: dict[int, Row] = defaultdict(dict)
    columns = zip(
        terms.dimension.tolist(),
        terms.value.tolist(),
        terms.line_item.tolist(),
        terms.exclude.tolist(),
        strict=True,
    )
    for dimension, value, line_item, exclude in columns:
        asked = found[line_item].setdefault(dimensions[dimension], {})
        asked.setdefault("exclude" if exclude else "include", []).append(
            vocabulary[dimension][value]
        )
    return found


def _values(world: World, dimension: str) -> tuple[str, ...]:
    if dimension == "hours":
        return tuple(text for text, *_ in HOURS)
    if dimension == "placement":
        return tuple(zone.key for zone in world.placement)
    values: tuple[str, ...] = getattr(world, dimension).name
    return values


def ad_rows(catalogue: Catalogue, start: int, stop: int) -> Iterator[Row]:
    """Ads of rows start … stop - 1; about 5 µs each."""
    world = catalogue.world
    campaign = catalogue.ad_campaign()[start:stop]
    category = catalogue.campaigns.category[campaign]
    advertiser = catalogue.campaigns.advertiser[campaign].tolist()
    shapes = [shape(*size) for size in world.sizes]
    numbers = {name: number + 1 for number, name in enumerate(templates())}
    nouns = [words.split() for _, _, words in names.CATEGORIES]
    tops = world.category_parent[category].tolist()
    columns = zip(*(column[start:stop].tolist() for column in _ad_columns(catalogue)), strict=True)
    for i, (line_item, size, noun, offer, call, look, attributes, secure) in enumerate(columns):
        word = nouns[tops[i]][noun]
        width, height = world.sizes[size]
        owner = advertiser_name(advertiser[i]).replace(" ", "").lower()
        yield {
            "id": start + i + 1,
            "line_item_id": line_item + 1,
            "title": names.OFFERS[offer].format(noun=word.replace("-", " ")).capitalize(),
            "width": width,
            "height": height,
            "category": world.category.name[category[i]],
            "attributes": [bit + 1 for bit in range(32) if attributes >> bit & 1],
            "secure": secure,
            "landing_url": f"https://www.{owner}.example/{word}?ad={start + i + 1}",
            "template_id": numbers[f"{shapes[size]}-{'rings' if look % 2 else 'waves'}"],
            "params": _colours(look) | {"call": names.CALLS[call]},
        }


def _ad_columns(catalogue: Catalogue) -> tuple[np.ndarray, ...]:
    ads = catalogue.ads
    return (
        ads.line_item,
        ads.size,
        ads.noun,
        ads.offer,
        ads.call,
        ads.look,
        ads.attributes,
        ads.secure,
    )


def _colours(look: int) -> dict[str, str]:
    """Two neighbouring hues and the direction of the gradient between them."""
    hue = look * 47 % 360
    return {"hue": str(hue), "hue2": str((hue + 28) % 360), "angle": str(100 + look * 13 % 80)}
