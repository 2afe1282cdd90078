"""A Decision as an OpenRTB 2.6 bid response, in both directions of trade.

/openrtb2/auction: we are the final seller. The price is what the publisher is paid, the macros
are resolved, the impression is billed by the pixel in the markup, and 200 is the only status:
Prebid.js logs an error on 204. /openrtb2/bid: an exchange will clear. The price is our bid, the
macros are left to the exchange, the impression is billed by `burl`, and no bid is 204.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import orjson

from adserver.decision import Decision, Outcome, Sold
from adserver.request import Dialect
from adserver.wire.decision_answer import wire_code
from adserver.wire.render import EXPIRES_S, Urls, UrlsOf, markup, pixel, price_in, viewed
from auction.columns import Pricing, Rejection

CONTENT_TAXONOMY = 1
BANNER = 1
INVALID_REQUEST, TOO_LATE, OUR_REASONS, NOTHING_FOUND = 2, 15, 500, 502
SEAT_NON_BID: Final = {
    Rejection.SIZE: 351,
    Rejection.NOT_SECURE: 352,
    Rejection.ADVERTISER_BLOCKED: 356,
    Rejection.CATEGORY_BLOCKED: 357,
    Rejection.ATTRIBUTE_BLOCKED: 350,
    Rejection.NOT_IN_DEAL: 200,
    Rejection.SIMILARITY: 203,
    Rejection.BUDGET: 510,
    Rejection.EXCLUSION: 355,
    Rejection.DUPLICATE: 302,
    Rejection.FAIRNESS: 512,
    Rejection.BELOW_FLOOR: 301,
    Rejection.BELOW_DEAL_FLOOR: 304,
    Rejection.NOT_SCORED_TIME: 15,
}
"""OpenRTB's codes of an empty slot; 0, plain "no bid", for every other reason."""

_MACRO = re.compile(r"\$\{AUCTION_([A-Z_]+)(:B64)?\}")


def render(decision: Decision, urls: UrlsOf, seat: str = "adserver") -> tuple[int, bytes]:
    """Status and body; `seat` names us where the caller gave no bidder code of its own."""
    exchange = decision.request.dialect is Dialect.BID
    bids: dict[str, list[dict[str, Any]]] = {}
    for number, outcome in enumerate(decision.outcomes):
        if outcome.sold is not None:
            code = outcome.slot.seat or seat
            bids.setdefault(code, []).append(
                _bid(f"{decision.id}-{number}", outcome, outcome.sold, decision, urls, code)
            )
    if exchange and not bids:
        return 204, b""
    answer: dict[str, Any] = {
        "id": decision.request.id,
        "seatbid": [{"seat": code, "bid": its} for code, its in bids.items()],
    }
    if bids:
        answer |= {"cur": decision.request.currency, "bidid": decision.id}
    else:
        answer["nbr"] = _no_bid_reason(decision)
    if not exchange:
        answer["ext"] = _ext(decision, seat, list(bids) or [seat])
    return 200, orjson.dumps(answer)


def _bid(
    id_: str, outcome: Outcome, sold: Sold, decision: Decision, urls_of: UrlsOf, seat: str
) -> dict[str, Any]:
    creative, urls = sold.creative, urls_of(outcome)
    own_price = sold.first_price or decision.request.dialect is Dialect.BID
    bid: dict[str, Any] = {
        "id": id_,
        "impid": outcome.slot.id,
        "price": price_in(
            decision.request, sold.bid_cpm_micros if own_price else sold.clear_micros
        ),
        "crid": creative.creative_id,
        "cid": str(creative.campaign_id),
        "adid": str(creative.ad_id),
        "adomain": [creative.adomain] if creative.adomain else [],
        "cat": [creative.category] if creative.category else [],
        "cattax": CONTENT_TAXONOMY,
        "attr": list(creative.attributes),
        "w": creative.width,
        "h": creative.height,
        "mtype": BANNER,
        "exp": EXPIRES_S,
        "adm": markup(creative, urls.click),
    }
    if sold.deal_key:
        bid["dealid"] = sold.deal_key
    if creative.language:
        bid["language"] = creative.language
    measure = ""
    if sold.pricing is Pricing.VCPM:  # nobody else would report what it pays for
        measure = viewed(urls.viewable, creative.width, creative.height)
    if decision.request.dialect is Dialect.BID:
        return bid | {"adm": bid["adm"] + measure, "burl": _billing_notice(urls)}
    bid["adm"] = _resolve(bid["adm"], bid, decision, seat) + pixel(urls.impression) + measure
    return bid | {"ext": {"prebid": _prebid(sold, id_)}}


def _billing_notice(urls: Urls) -> str:
    """The impression's URL; the exchange puts in what it charges, for reconciliation."""
    joint = "&" if "?" in urls.impression else "?"
    return f"{urls.impression}{joint}price=${{AUCTION_PRICE}}"


def _resolve(adm: str, bid: dict[str, Any], decision: Decision, seat: str) -> str:
    """Markup with every auction macro replaced; one whose value is unknown becomes empty."""
    if "${AUCTION_" not in adm:
        return adm
    values = {
        "ID": decision.request.id,
        "BID_ID": decision.id,
        "IMP_ID": bid["impid"],
        "SEAT_ID": seat,
        "AD_ID": bid["adid"],
        "PRICE": str(bid["price"]),
        "CURRENCY": decision.request.currency,
    }

    def fill(macro: re.Match[str]) -> str:
        value = values.get(macro[1], "")
        return b64encode(value.encode()).decode() if macro[2] else escape(value)

    return _MACRO.sub(fill, adm)


def _prebid(sold: Sold, bid_id: str) -> dict[str, Any]:
    creative = sold.creative
    return {
        "type": "banner",
        "bidid": bid_id,
        "meta": {
            "advertiserId": creative.advertiser_id,
            "advertiserName": creative.advertiser,
            "advertiserDomains": [creative.adomain] if creative.adomain else [],
        },
    }


def _no_bid_reason(decision: Decision) -> int:
    """One number for the whole request; `ext.seatnonbid` has the reason of each slot."""
    reasons = {outcome.reason for outcome in decision.outcomes}
    if not reasons:
        return INVALID_REQUEST
    if reasons == {Rejection.NOT_SCORED_TIME}:
        return TOO_LATE
    code = max(map(wire_code, reasons))
    return code if len(reasons) == 1 and code >= OUR_REASONS else NOTHING_FOUND


def _ext(decision: Decision, seat: str, seats: list[str]) -> dict[str, Any]:
    took = round(decision.took_ms)
    ext: dict[str, Any] = {"responsetimemillis": dict.fromkeys(seats, took)}
    if decision.request.deadline_ms is not None:
        ext["tmaxrequest"] = decision.request.deadline_ms
    empty: dict[str, list[dict[str, Any]]] = {}
    for code, impid, status in _non_bids(decision, seat):
        empty.setdefault(code, []).append({"impid": impid, "statuscode": status})
    if empty:
        ext["seatnonbid"] = [{"seat": code, "nonbid": its} for code, its in empty.items()]
    return ext


def _non_bids(decision: Decision, seat: str) -> Iterator[tuple[str, str, int]]:
    for outcome in decision.outcomes:
        if outcome.sold is None:
            yield outcome.slot.seat or seat, outcome.slot.id, SEAT_NON_BID.get(outcome.reason, 0)
    for impid, why in decision.request.unserved:
        yield seat, impid, why.value[1]
