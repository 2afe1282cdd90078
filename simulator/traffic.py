"""The simulated page visits as the requests that publishers and exchanges send.

A request is drawn as a visit first, so that the truth of a request is the truth of its visit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import names
from simulator.visits import CATEGORIES, KEY_VALUES, KEYWORDS, SEGMENTS, SLOTS, Visits, visits
from simulator.world import World

DEVICE_TYPE = {"desktop": 2, "tv": 3, "phone": 4, "tablet": 5}
"""AdCOM list: device types."""


def request(world: World, rng: np.random.Generator) -> dict[str, Any]:
    """One body of POST /v1/decision. For many, `requests` is a hundred times cheaper."""
    return requests(world, rng, 1)[0]


def requests(world: World, rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Bodies of POST /v1/decision; about 25 µs each."""
    sample = visits(world, rng, count)
    serial = rng.integers(0, 1 << 62, (count, 2))
    return [
        decision(world, sample, i, f"{serial[i, 0]:x}", f"{serial[i, 1]:016x}")
        for i in range(count)
    ]


def decision(world: World, sample: Visits, i: int, key: str, page_view: str) -> dict[str, Any]:
    """Visit `i` as a body of POST /v1/decision."""
    domain = int(sample.domain[i])
    host = world.domain.name[domain]
    pairs = _names(world.key_value.name, sample.key_value[i])
    context = {
        "kv": dict(pair.split("=", 1) for pair in pairs),
        "keywords": _names(world.keyword.name, sample.keyword[i]),
    }
    return {
        "id": f"r-{key}",
        "publisher_id": f"pub-{domain + 1}",
        "placements": [
            _placement(world, int(p), n) | context
            for n, p in enumerate(sample.placement[i])
            if p >= 0
        ],
        "page": {
            "url": f"https://{host}/{world.key_value.name[domain % 20].split('=')[1]}/{domain}",
            "categories": _names(world.category.name, sample.category[i]),
            "page_view_id": page_view,
            "lang": world.language.name[sample.language[i]],
        },
        "user": {
            "key": f"u{sample.user[i]}",
            "segments": _names(world.segment.name, sample.segment[i]),
        },
        "device": _device(world, sample, i),
        **_block(world, domain),
    }


def _names(name: tuple[str, ...], rows: NDArray[np.int32]) -> list[str]:
    return list(dict.fromkeys(name[row] for row in rows.tolist() if row >= 0))


def _placement(world: World, p: int, number: int) -> dict[str, Any]:
    zone = world.placement[p]
    return {
        "id": f"slot{number + 1}",
        "zone_id": zone.key,
        "sizes": [list(world.sizes[size]) for size in zone.sizes],
        "formats": ["banner"],
        "floor_cpm": zone.floor_micros / 1_000_000,
    }


def _device(world: World, sample: Visits, i: int) -> dict[str, Any]:
    country, region = int(sample.country[i]), int(sample.region[i])
    geo = {"country": world.country.name[country]}
    if region >= 0:
        geo["region"] = world.region.name[region]
    os, browser = world.os.name[sample.os[i]], world.browser.name[sample.browser[i]]
    return {
        "ua": f"Mozilla/5.0 ({names.PLATFORMS[os]}) {names.ENGINES[browser]}",
        "type": world.device.name[sample.device[i]],
        "os": os,
        "browser": browser,
        "geo": geo,
    }


def _block(world: World, domain: int) -> dict[str, Any]:
    """One publisher in seven refuses two categories; its own choice, the same each time."""
    if domain % 7:
        return {}
    refused = [world.leaf[(domain * k) % len(world.leaf)] for k in (13, 29)]
    return {"block": {"categories": [world.category.name[one] for one in refused]}}


def openrtb(body: dict[str, Any]) -> dict[str, Any]:
    """The same request in OpenRTB 2.6."""
    page, device, user = body["page"], body["device"], body["user"]
    block = body.get("block", {})
    domain = page["url"].split("/")[2]
    return {
        "id": body["id"],
        "imp": [_imp(one) for one in body["placements"]],
        "site": {
            "domain": domain,
            "page": page["url"],
            "cat": page["categories"],
            "keywords": ",".join(body["placements"][0]["keywords"]),
            "publisher": {"id": body["publisher_id"], "domain": domain},
        },
        "device": {
            "ua": device["ua"],
            "devicetype": DEVICE_TYPE[device["type"]],
            "os": device["os"],
            "language": page["lang"],
            "geo": device["geo"],
            "ext": {"browser": device["browser"]},
        },
        "user": {
            "id": user["key"],
            "data": [{"name": "pub", "segment": [{"id": one} for one in user["segments"]]}],
        },
        "bcat": block.get("categories", []),
        "at": 2,
        "cur": ["USD"],
        "ext": {"kv": body["placements"][0]["kv"], "page_view_id": page["page_view_id"]},
    }


def _imp(placement: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": placement["id"],
        "tagid": placement["zone_id"],
        "secure": 1,
        "bidfloor": placement["floor_cpm"],
        "bidfloorcur": "USD",
        "banner": {"format": [{"w": w, "h": h} for w, h in placement["sizes"]]},
    }


def visit(world: World, body: dict[str, Any], hour: int, weekday: int) -> Visits:
    """The one visit that `decision` would turn into this body, so that its truth can be asked."""
    device, page = body["device"], body["page"]
    region = device["geo"].get("region")
    placements = body["placements"]
    host = page["url"].split("/")[2]
    pairs = [f"{key}={value}" for key, value in placements[0]["kv"].items()]
    zones = [one["zone_id"] for one in placements]
    return Visits(
        user=np.array([int(body["user"]["key"][1:])]),
        country=_index(world.country.name, [device["geo"]["country"]])[0],
        region=_index(world.region.name, [region] if region else [], 1)[0],
        device=_index(world.device.name, [device["type"]])[0],
        os=_index(world.os.name, [device["os"]])[0],
        browser=_index(world.browser.name, [device["browser"]])[0],
        language=_index(world.language.name, [page["lang"]])[0],
        domain=_index(world.domain.name, [host])[0],
        hour=np.array([hour], np.int32),
        weekday=np.array([weekday], np.int32),
        segment=_index(world.segment.name, body["user"]["segments"], SEGMENTS),
        keyword=_index(world.keyword.name, placements[0]["keywords"], KEYWORDS),
        category=_index(world.category.name, page["categories"], CATEGORIES),
        key_value=_index(world.key_value.name, pairs, KEY_VALUES),
        placement=_index(tuple(one.key for one in world.placement), zones, SLOTS),
    )


def _index(name: tuple[str, ...], values: list[str], width: int = 1) -> NDArray[np.int32]:
    """[1, width] indices, padded with -1."""
    found = [name.index(value) for value in values]
    return np.array([found + [-1] * (width - len(found))], np.int32)
