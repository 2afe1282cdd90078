"""The fields of an OpenRTB 2.6 bid request that we look at, typed and bounded."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from adserver.wire.fields import (
    BlockList,
    Cpm,
    Flag,
    Id,
    Key,
    KeyValues,
    Line,
    Milliseconds,
    Text,
    Words,
)
from adserver.wire.hints import Sua
from adserver.wire.trade import Pmp

Side = Annotated[int, Meta(ge=0, le=10_000)]


class Format(Struct, gc=False):
    w: Side | None = None
    h: Side | None = None


class Banner(Struct, gc=False):
    format: Annotated[list[Format], Meta(max_length=64)] | None = None
    w: Side | None = None
    h: Side | None = None
    battr: Annotated[list[int], Meta(max_length=64)] | None = None


class Imp(Struct):
    id: Id
    banner: Banner | None = None
    tagid: Text | None = None
    bidfloor: Cpm | None = None
    bidfloorcur: Key | None = None
    pmp: Pmp | None = None
    secure: Flag | None = None
    ext: Any = None


class Publisher(Struct, gc=False):
    id: Key | None = None


class Source(Struct, gc=False):
    """Site or app: where the ad will stand."""

    domain: Text | None = None
    page: Line | None = None
    bundle: Text | None = None
    cat: Words | None = None
    sectioncat: Words | None = None
    pagecat: Words | None = None
    keywords: Line | None = None
    kwarray: Words | None = None
    publisher: Publisher | None = None


class Geo(Struct, gc=False):
    country: Key | None = None
    region: Key | None = None


class Device(Struct, gc=False):
    ua: Line | None = None
    sua: Sua | None = None
    devicetype: int | None = None
    os: Key | None = None
    language: Key | None = None
    geo: Geo | None = None


class Segment(Struct, gc=False):
    id: Text | None = None


class Data(Struct, gc=False):
    segment: Annotated[list[Segment], Meta(max_length=1000)] | None = None


class User(Struct, gc=False):
    id: Text | None = None
    buyeruid: Text | None = None
    keywords: Line | None = None
    kwarray: Words | None = None
    data: Annotated[list[Data], Meta(max_length=100)] | None = None


class Ext(Struct):
    """Ours: `kv` and `page_view_id`, for callers who are not Prebid."""

    kv: KeyValues | None = None
    page_view_id: Key | None = None
    prebid: Any = None


class Request(Struct):
    id: Id
    imp: Annotated[list[Imp], Meta(min_length=1, max_length=200)]
    site: Source | None = None
    app: Source | None = None
    dooh: dict[str, Any] | None = None
    device: Device | None = None
    user: User | None = None
    at: int | None = None
    tmax: Milliseconds | None = None
    test: Flag | None = None
    cur: Annotated[list[Key], Meta(max_length=200)] | None = None
    allimps: Flag | None = None
    bcat: BlockList | None = None
    badv: BlockList | None = None
    ext: Ext | None = None
