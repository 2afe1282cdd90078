"""An OpenRTB 2.6 bid request as an AdRequest: the core, banners only.

Unknown fields and unknown values of enumerations are ignored, as the specification asks; `regs`,
`source` and video, audio and native media are not looked at. Knows nothing of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.json import Decoder

from adserver.catalogue.currency import ONLY_USD, USD, Rates
from adserver.errors import BadRequest
from adserver.request import AdRequest, Dialect, Slot, Unserved
from adserver.wire import geo, names, useragent
from adserver.wire.fields import (
    MOST_SLOTS,
    deadline_ms,
    decode,
)
from adserver.wire.hints import by_hints
from adserver.wire.openrtb_body import Banner, Device, Ext, Geo, Imp, Request, Source, User
from adserver.wire.trade import Pmp, answer_currency, floor_in_usd, offered_deals

LONGEST_PLACEMENT = 128
_FIRST_PRICE, _EXCHANGE_SPECIFIC = 1, 500
_ATTRIBUTES = range(1, 33)
"""AdCOM creative attributes that a mask of 32 bits holds; the list ends well before."""

_DECODER = Decoder(Request)
_NO_DEALS = Pmp()


def parse(
    body: bytes,
    dialect: Dialect,
    user_agent: str = "",
    seat: str = "adserver",
    rates: Rates = ONLY_USD,
) -> AdRequest:
    """The request, or a BadRequest naming the field.

    `user_agent` is the caller's HTTP header: a browser's own on /auction, so it counts where the
    body has none; an exchange's server on /bid, so there it does not. `seat` is our bidder code.
    """
    asked = decode(_DECODER, body)
    _check(asked)
    source = asked.site or asked.app or Source()
    user, device, ext = asked.user or User(), asked.device or Device(), asked.ext or Ext()
    place = device.geo or Geo()
    country = geo.country(place.country)
    client = _client(device, user_agent if dialect is Dialect.AUCTION else "")
    currency = answer_currency(asked.cur, rates)
    slots, unserved = _slots(asked, seat, currency is not None, rates)
    currency = currency or USD
    return AdRequest(
        id=asked.id,
        slots=slots,
        dialect=dialect,
        publisher=(source.publisher and source.publisher.id) or "",
        domain=names.host(source.domain or source.page or source.bundle or ""),
        page=source.page or "",
        categories=names.categories(source.pagecat, source.sectioncat, source.cat),
        keywords=names.keywords(*_keywords(source), *_keywords(user)),
        segments=names.segments(_segments(user)),
        key_values=names.key_values((ext.kv,)),
        country=country,
        region=geo.region(place.region, country),
        device=client.device,
        os=client.os,
        browser=client.browser,
        language=names.language(device.language),
        user=user.id or user.buyeruid or "",
        page_view=ext.page_view_id or _page_view(ext.prebid, seat),
        blocked_domains=names.domains(asked.badv),
        blocked_categories=names.blocked_categories(asked.bcat),
        first_price=asked.at == _FIRST_PRICE or (asked.at or 0) >= _EXCHANGE_SPECIFIC,
        deadline_ms=deadline_ms(asked.tmax),
        currency=currency,
        per_usd_ppm=rates.of(currency),
        rates=rates.version,
        complete=bool(asked.allimps),
        test=bool(asked.test),
        unserved=unserved,
    )


def _check(asked: Request) -> None:
    """What types cannot say: one source of inventory, imps that can be told apart."""
    given = [name for name in ("site", "app", "dooh") if getattr(asked, name) is not None]
    if len(given) > 1:
        raise BadRequest("invalid", given[1], f"cannot stand beside {given[0]}: only one may")
    seen: set[str] = set()
    for index, imp in enumerate(asked.imp):
        if imp.id in seen:
            raise BadRequest("duplicate", f"imp[{index}].id", "is the id of an earlier imp")
        seen.add(imp.id)


def _slots(
    asked: Request, seat: str, payable: bool, rates: Rates
) -> tuple[tuple[Slot, ...], tuple[tuple[str, Unserved], ...]]:
    """What can be sold, and what cannot with its reason; every imp is in exactly one of them."""
    slots: list[Slot] = []
    unserved: list[tuple[str, Unserved]] = []
    for index, imp in enumerate(asked.imp):
        code, params = _bidder(imp.ext, seat)
        slot = _slot(imp, code, _placement(imp, index, code, params), rates)
        if slot is None:
            unserved.append((imp.id, Unserved.FORMAT))
        elif not payable or floor_in_usd(imp.bidfloor, imp.bidfloorcur, rates) is None:
            unserved.append((imp.id, Unserved.CURRENCY))
        elif len(slots) == MOST_SLOTS:
            unserved.append((imp.id, Unserved.CROWDED))
        else:
            slots.append(slot)
    return tuple(slots), tuple(unserved)


def _slot(imp: Imp, code: str, placement: str, rates: Rates) -> Slot | None:
    """None without a banner whose size is known."""
    sizes = tuple(_sizes(imp.banner)) if imp.banner else ()
    pmp = imp.pmp or _NO_DEALS
    if imp.banner is None or not sizes:
        return None
    return Slot(
        id=imp.id,
        placement=placement,
        sizes=sizes,
        floor_micros=floor_in_usd(imp.bidfloor, imp.bidfloorcur, rates) or 0,
        secure=bool(imp.secure),
        blocked_attributes=tuple(a for a in imp.banner.battr or () if a in _ATTRIBUTES),
        deals=offered_deals(pmp.deals, rates),
        private=bool(pmp.private_auction),
        seat=code,
    )


def _sizes(banner: Banner) -> Iterator[tuple[int, int]]:
    """Those of `format`, which replaces the banner's own; proportions alone are no size."""
    for shape in banner.format or (banner,):
        if shape.w and shape.h:
            yield shape.w, shape.h


def _bidder(ext: Any, seat: str) -> tuple[str, Mapping[str, Any]]:
    """The code under which the caller knows us on this imp, and the parameters it gives us.

    Prebid.js: ext.prebid.bidder.<code>, ours if it is among them, else the first. Prebid Server
    as the exchange: ext.bidder, without a code. Of other shapes nothing is made.
    """
    bidders = _mapping(_mapping(_mapping(ext).get("prebid")).get("bidder"))
    if not bidders:
        return "", _mapping(_mapping(ext).get("bidder"))
    code = seat if seat in bidders else next(iter(bidders))
    return code, _mapping(bidders[code])


def _placement(imp: Imp, index: int, code: str, params: Mapping[str, Any]) -> str:
    """Key of the catalogue's placement: our own parameter `zone`, else the tag id."""
    zone = params.get("zone")
    key = str(zone) if isinstance(zone, str | int) else imp.tagid or ""
    if len(key) > LONGEST_PLACEMENT:
        bidder = f"ext.prebid.bidder.{code}.zone" if code else "ext.bidder.zone"
        path = bidder if zone is not None else "tagid"
        message = f"expected str of length <= {LONGEST_PLACEMENT}"
        raise BadRequest("invalid", f"imp[{index}].{path}", message)
    return key


def _keywords(of: Source | User) -> Iterator[list[str]]:
    yield (of.keywords or "").split(",")
    yield of.kwarray or []


def _segments(user: User) -> Iterator[str]:
    for data in user.data or ():
        for segment in data.segment or ():
            yield segment.id or ""


def _page_view(prebid: Any, seat: str) -> str:
    """Prebid's key of this page view; it is the same under each bidder that has one."""
    keys = _mapping(_mapping(prebid).get("page_view_ids"))
    key = keys.get(seat) or next(iter(keys.values()), "")
    return key[:128] if isinstance(key, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _client(device: Device, user_agent: str) -> useragent.Client:
    stated = useragent.Client(
        useragent.device_of_type(device.devicetype), useragent.os_name(device.os or "")
    )
    return stated.over(by_hints(device.sua)).over(useragent.classify(device.ua or user_agent))
