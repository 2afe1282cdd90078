"""A body of POST /v1/decision as an AdRequest. Knows nothing of HTTP or of what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

from adserver.errors import BadRequest
from adserver.request import AdRequest, Explain, Slot, Unserved
from adserver.wire import geo, names, useragent
from adserver.wire.fields import (
    MOST_SLOTS,
    BlockList,
    Cpm,
    Flag,
    Id,
    Key,
    KeyValues,
    Line,
    Milliseconds,
    Pixels,
    Text,
    Words,
    deadline_ms,
    decode,
    micros,
)
from adserver.wire.hints import Sua, by_hints


class _Placement(Struct, gc=False):
    id: Id
    zone_id: Key | None = None
    sizes: Annotated[list[tuple[Pixels, Pixels]], Meta(max_length=64)] | None = None
    formats: Annotated[list[Key], Meta(max_length=16)] | None = None
    floor_cpm: Cpm | None = None
    count: Annotated[int, Meta(ge=1, le=MOST_SLOTS)] | None = None
    kv: KeyValues | None = None
    keywords: Words | None = None


class _Page(Struct, gc=False):
    url: Line | None = None
    domain: Text | None = None
    categories: Words | None = None
    keywords: Words | None = None
    page_view_id: Key | None = None
    lang: Key | None = None


class _User(Struct, gc=False):
    key: Key | None = None
    segments: Words | None = None


class _Geo(Struct, gc=False):
    country: Key | None = None
    region: Key | None = None


class _Device(Struct, gc=False):
    ua: Line | None = None
    sua: Sua | None = None
    type: Key | None = None
    os: Key | None = None
    browser: Key | None = None
    language: Key | None = None
    geo: _Geo | None = None


class _Block(Struct, gc=False):
    advertisers: BlockList | None = None
    categories: BlockList | None = None
    creative_ids: BlockList | None = None


class _Request(Struct, gc=False):
    id: Id
    placements: Annotated[list[_Placement], Meta(min_length=1, max_length=MOST_SLOTS)]
    publisher_id: Key | None = None
    deadline_ms: Milliseconds | None = None
    page: _Page | None = None
    user: _User | None = None
    device: _Device | None = None
    block: _Block | None = None
    test: Flag | None = None
    explain: Literal["none", "summary"] | None = None


_DECODER = Decoder(_Request)


def parse(body: bytes, user_agent: str = "") -> AdRequest:
    """The request, or a BadRequest naming the field.

    `user_agent`, the caller's HTTP header, counts where the body names none. Keywords and
    key-values of the placements are joined: they describe the page that all of them stand on.
    """
    asked = decode(_DECODER, body)
    _check(asked.placements)
    page, user = asked.page or _Page(), asked.user or _User()
    device, block = asked.device or _Device(), asked.block or _Block()
    place = device.geo or _Geo()
    country = geo.country(place.country)
    client = _client(device, user_agent)
    secure = (page.url or "")[:8].lower() == "https://"
    return AdRequest(
        id=asked.id,
        slots=tuple(_slots(asked.placements, secure)),
        publisher=asked.publisher_id or "",
        domain=names.host(page.domain or page.url or ""),
        page=page.url or "",
        categories=names.categories(page.categories),
        keywords=names.keywords(page.keywords, *(p.keywords for p in asked.placements)),
        segments=names.segments(user.segments or ()),
        key_values=names.key_values(p.kv for p in asked.placements),
        country=country,
        region=geo.region(place.region, country),
        device=client.device,
        os=client.os,
        browser=client.browser,
        language=names.language(page.lang or device.language),
        user=user.key or "",
        page_view=page.page_view_id or "",
        blocked_domains=names.domains(block.advertisers),
        blocked_categories=names.blocked_categories(block.categories),
        blocked_creatives=tuple(block.creative_ids or ()),
        deadline_ms=deadline_ms(asked.deadline_ms),
        test=bool(asked.test),
        explain=Explain(asked.explain or "none"),
        unserved=tuple((p.id, Unserved.FORMAT) for p in asked.placements if not _banner(p)),
    )


def _check(placements: list[_Placement]) -> None:
    """What types cannot say: ids differ, sizes are known, all fit into one request."""
    total = 0
    seen: set[str] = set()
    for index, placement in enumerate(placements):
        at = f"placements[{index}]"
        if placement.id in seen:
            raise BadRequest("duplicate", f"{at}.id", "is the id of an earlier placement")
        if not placement.sizes and not placement.zone_id:
            raise BadRequest("missing", f"{at}.sizes", "is required where no zone_id is given")
        total += placement.count or 1
        if total > MOST_SLOTS:
            raise BadRequest("invalid", f"{at}.count", f"brings the slots to over {MOST_SLOTS}")
        seen.add(placement.id)


def _banner(placement: _Placement) -> bool:
    return not placement.formats or "banner" in placement.formats


def _slots(placements: list[_Placement], secure: bool) -> Iterator[Slot]:
    for placement in placements:
        if not _banner(placement):
            continue
        slot = Slot(
            id=placement.id,
            placement=placement.zone_id or "",
            sizes=tuple(placement.sizes or ()),
            floor_micros=micros(placement.floor_cpm),
            secure=secure,
        )
        for _ in range(placement.count or 1):
            yield slot


def _client(device: _Device, user_agent: str) -> useragent.Client:
    stated = useragent.Client(
        useragent.device_name(device.type or ""),
        useragent.os_name(device.os or ""),
        useragent.browser_name(device.browser or ""),
    )
    if all(stated):
        return stated
    return stated.over(by_hints(device.sua)).over(useragent.classify(device.ua or user_agent))
