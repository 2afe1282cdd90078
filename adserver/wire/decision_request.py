"""A body of POST /v1/decision as an AdRequest. Knows nothing of HTTP or of what comes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

from adserver.catalogue.currency import ONLY_USD, USD, Rates
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
)
from adserver.wire.hints import Sua, by_hints
from adserver.wire.trade import Deals, floor_in_usd, offered_deals
from auction.columns import PPM


class _Placement(Struct, gc=False):
    id: Id
    zone_id: Key | None = None
    sizes: Annotated[list[tuple[Pixels, Pixels]], Meta(max_length=64)] | None = None
    formats: Annotated[list[Key], Meta(max_length=16)] | None = None
    floor_cpm: Cpm | None = None
    floor_currency: Key | None = None
    deals: Deals | None = None
    private: Flag | None = None
    count: Annotated[int, Meta(ge=1, le=MOST_SLOTS)] | None = None
    kv: KeyValues | None = None
    keywords: Words | None = None


class _Page(Struct, gc=False):
    url: Line | None = None
    domain: Text | None = None
    categories: Words | None = None
    keywords: Words | None = None
    page_view_id: Key | None = None
    complete: Flag | None = None
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
    currency: Key | None = None
    test: Flag | None = None
    explain: Literal["none", "summary"] | None = None


_DECODER = Decoder(_Request)


def parse(body: bytes, user_agent: str = "", rates: Rates = ONLY_USD) -> AdRequest:
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
    currency = asked.currency or USD
    reasons = {p.id: why for p in asked.placements if (why := _unserved(p, currency, rates))}
    return AdRequest(
        id=asked.id,
        slots=tuple(
            slot
            for placement in asked.placements
            if placement.id not in reasons
            for slot in [_slot(placement, secure, rates)] * (placement.count or 1)
        ),
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
        currency=currency,
        per_usd_ppm=rates.of(currency) if rates.knows(currency) else PPM,
        rates=rates.version,
        complete=bool(page.complete),
        test=bool(asked.test),
        explain=Explain(asked.explain or "none"),
        unserved=tuple(reasons.items()),
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


def _unserved(placement: _Placement, currency: str, rates: Rates) -> Unserved | None:
    if placement.formats and "banner" not in placement.formats:
        return Unserved.FORMAT
    floor = floor_in_usd(placement.floor_cpm, placement.floor_currency, rates)
    return None if floor is not None and rates.knows(currency) else Unserved.CURRENCY


def _slot(placement: _Placement, secure: bool, rates: Rates) -> Slot:
    return Slot(
        id=placement.id,
        placement=placement.zone_id or "",
        sizes=tuple(placement.sizes or ()),
        floor_micros=floor_in_usd(placement.floor_cpm, placement.floor_currency, rates) or 0,
        secure=secure,
        deals=offered_deals(placement.deals, rates),
        private=bool(placement.private),
    )


def _client(device: _Device, user_agent: str) -> useragent.Client:
    stated = useragent.Client(
        useragent.device_name(device.type or ""),
        useragent.os_name(device.os or ""),
        useragent.browser_name(device.browser or ""),
    )
    if all(stated):
        return stated
    return stated.over(by_hints(device.sua)).over(useragent.classify(device.ua or user_agent))
