"""OpenRTB 2.6, as the final seller and as a bidder."""

import copy
import json
from dataclasses import replace

import pytest
from valid_bodies import OPENRTB
from wire_cases import CREATIVE, SOLD, decided, sold_everywhere, urls

from adserver.decision import Outcome
from adserver.errors import BadRequest
from adserver.request import AdRequest, Dialect, Slot, Unserved
from adserver.wire import openrtb
from adserver.wire.openrtb_answer import SEAT_NON_BID
from auction.columns import Pricing, Rejection

BANNER = {"format": [{"w": 300, "h": 250}]}
SMALLEST = {"id": "q", "imp": [{"id": "1", "banner": BANNER}]}
PREBID = {
    # what Prebid.js 11 posts for one ad unit with floors, consent and currency modules
    "id": "20c1",
    "test": 0,
    "tmax": 400,
    "cur": ["USD"],
    "imp": [
        {
            "id": "slot1",
            "secure": 1,
            "bidfloor": 0.75,
            "bidfloorcur": "USD",
            "banner": {"topframe": 1, "format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]},
            "ext": {
                "prebid": {
                    "bidder": {"rk": {"zone": "z1"}},
                    "adunitcode": "slot1",
                    "floors": {"floorMin": 0.75},
                }
            },
        }
    ],
    "site": {
        "domain": "pub.example",
        "page": "https://pub.example/a",
        "publisher": {"domain": "pub.example", "id": "pub-1"},
        "cat": ["IAB1"],
        "keywords": "hiking, Tents",
    },
    "bcat": ["iab25"],
    "badv": ["WWW.Bad.example", ".worse.example"],
    "device": {
        "w": 800,
        "h": 600,
        "ua": "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/156.0 Safari/537.36",
        "language": "en",
        "ext": {"vpw": 780, "vph": 437},
        "sua": {
            "source": 1,
            "platform": {"brand": "Linux"},
            "browsers": [{"brand": "Chromium", "version": ["156"]}],
            "mobile": 0,
        },
    },
    "user": {"data": [{"name": "pub", "segment": [{"id": "42"}]}], "ext": {"consent": "CPX"}},
    "regs": {"coppa": 0, "gpp": "DBAC", "gpp_sid": [6], "ext": {"gdpr": 1, "us_privacy": "1YNN"}},
    "source": {"ext": {"schain": {"ver": "1.0", "complete": 1, "nodes": []}}},
    "ext": {
        "tmaxmax": 1000,
        "prebid": {
            "auctiontimestamp": 1795333555416,
            "channel": {"name": "pbjs", "version": "v11.36.0"},
            "page_view_ids": {"rk": "71cc"},
        },
    },
}


def parse(body, dialect=Dialect.AUCTION, **more):
    return openrtb.parse(json.dumps(body).encode(), dialect, **more)


def imps(*changes):
    whole = [{"id": str(n), "banner": BANNER} | change for n, change in enumerate(changes)]
    return {"id": "q", "imp": whole}


def answer(made, **more):
    status, body = openrtb.render(made, urls, **more)
    return status, json.loads(body) if body else None


def sole_bid(made):
    return answer(made)[1]["seatbid"][0]["bid"][0]


def test_what_prebid_sends_is_understood_in_every_part():
    assert parse(PREBID) == AdRequest(
        id="20c1",
        slots=(Slot("slot1", "z1", ((300, 250), (728, 90)), 750_000, secure=True, seat="rk"),),
        dialect=Dialect.AUCTION,
        publisher="pub-1",
        domain="pub.example",
        page="https://pub.example/a",
        categories=("IAB1",),
        keywords=("hiking", "tents"),
        segments=("42",),
        device="desktop",
        os="linux",
        browser="chrome",
        language="en",
        page_view="71cc",
        blocked_domains=("bad.example", "worse.example"),
        blocked_categories=("IAB25",),
        deadline_ms=400,
    )


def test_an_app_is_a_place_like_a_site():
    app = {"bundle": "com.pub.news", "domain": "pub.example", "publisher": {"id": "p"}}
    request = parse(SMALLEST | {"app": app})

    assert (request.domain, request.publisher) == ("pub.example", "p")


def test_our_extensions_carry_key_values_and_the_page_view():
    request = parse(OPENRTB)

    assert request.key_values == ("section=sport",)
    assert request.page_view == "pv-1"


def test_a_banner_has_the_sizes_of_its_formats_else_its_own():
    request = parse(
        imps(
            {"banner": {"w": 1, "h": 2, "format": [{"w": 3, "h": 4}, {"wratio": 1, "hratio": 2}]}},
            {"banner": {"w": 1, "h": 2, "format": []}},
        )
    )

    assert [slot.sizes for slot in request.slots] == [((3, 4),), ((1, 2),)]


@pytest.mark.parametrize(
    ("imp", "placement", "seat"),
    [
        ({"tagid": "t"}, "t", ""),
        ({"tagid": "t", "ext": {"prebid": {"bidder": {"rk": {"zone": "z"}}}}}, "z", "rk"),
        ({"tagid": "t", "ext": {"prebid": {"bidder": {"rk": {}}}}}, "t", "rk"),
        ({"ext": {"prebid": {"bidder": {"rk": {"zone": 17}}}}}, "17", "rk"),
        ({"ext": {"prebid": {"bidder": {"x": {"zone": "a"}, "us": {"zone": "b"}}}}}, "b", "us"),
        ({"ext": {"bidder": {"zone": "z"}}}, "z", ""),
        ({"ext": {"prebid": {"bidder": [1]}}}, "", ""),
        ({"ext": {"prebid": "x"}}, "", ""),
        ({"ext": []}, "", ""),
    ],
)
def test_the_zone_is_our_bidder_parameter_else_the_tag_id(imp, placement, seat):
    slot = parse(imps(imp), seat="us").slots[0]

    assert (slot.placement, slot.seat) == (placement, seat)


def test_only_attributes_that_exist_are_blocked():
    request = parse(imps({"banner": {**BANNER, "battr": [1, 17, 0, -3, 99, 500]}}))

    assert request.slots[0].blocked_attributes == (1, 17)


@pytest.mark.parametrize(
    ("at", "first_price"), [(None, False), (2, False), (1, True), (500, True), (3, False)]
)
def test_the_auction_is_second_price_unless_told(at, first_price):
    assert parse(SMALLEST | {"at": at}).first_price is first_price


def test_an_imp_that_cannot_be_sold_is_skipped_and_the_others_are_not():
    request = parse(
        imps(
            {},
            {"banner": None, "video": {"mimes": ["video/mp4"]}},
            {"banner": {}},
            {"bidfloor": 1, "bidfloorcur": "EUR"},
            {"bidfloorcur": "EUR"},
        )
    )

    assert [slot.id for slot in request.slots] == ["0", "4"]
    assert request.unserved == (
        ("1", Unserved.FORMAT),
        ("2", Unserved.FORMAT),
        ("3", Unserved.CURRENCY),
    )


def test_a_request_that_takes_no_dollars_gets_none():
    request = parse(SMALLEST | {"cur": ["EUR", "SEK"]})
    status, told = answer(decided(request))

    assert request.unserved == (("1", Unserved.CURRENCY),)
    assert (status, told["seatbid"], told["nbr"]) == (200, [], 2)
    assert told["ext"]["seatnonbid"][0]["nonbid"] == [{"impid": "1", "statuscode": 301}]
    assert parse(SMALLEST | {"cur": ["EUR", "USD"]}).unserved == ()


def test_imps_past_the_twentieth_are_left_over_not_refused():
    request = parse(imps(*[{}] * 23))

    assert len(request.slots) == 20
    assert request.unserved == tuple((str(n), Unserved.CROWDED) for n in (20, 21, 22))


def test_a_browsers_user_agent_header_counts_but_an_exchanges_does_not():
    iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1"

    assert parse(SMALLEST, Dialect.AUCTION, user_agent=iphone).device == "phone"
    assert parse(SMALLEST, Dialect.BID, user_agent=iphone).device == ""


@pytest.mark.parametrize(
    ("devicetype", "device"),
    [
        (1, "phone"),
        (2, "desktop"),
        (3, "tv"),
        (4, "phone"),
        (5, "tablet"),
        (7, "tv"),
        (99, "phone"),
    ],
)
def test_the_stated_device_type_beats_hints_and_user_agent(devicetype, device):
    stated = {"devicetype": devicetype, "ua": "Mozilla/5.0 (iPhone)"}

    assert parse(SMALLEST | {"device": stated}).device == device


REFUSED = [
    (["id"], ..., "missing", "id"),
    (["id"], 5, "invalid", "id"),
    (["imp"], ..., "missing", "imp"),
    (["imp"], [], "invalid", "imp"),
    (["imp"], [{"id": "1"}] * 201, "invalid", "imp"),
    (["imp", 0], [], "invalid", "imp[0]"),
    (["imp", 1, "id"], ..., "missing", "imp[1].id"),
    (["imp", 1, "id"], "slot1", "duplicate", "imp[1].id"),
    (["imp", 0, "banner"], [], "invalid", "imp[0].banner"),
    (["imp", 0, "banner", "w"], -1, "invalid", "imp[0].banner.w"),
    (["imp", 0, "banner", "format", 1, "h"], "90", "invalid", "imp[0].banner.format[1].h"),
    (["imp", 0, "banner", "battr"], [1.5], "invalid", "imp[0].banner.battr[0]"),
    (["imp", 0, "bidfloor"], -0.5, "invalid", "imp[0].bidfloor"),
    (["imp", 0, "bidfloor"], "0.5", "invalid", "imp[0].bidfloor"),
    (["imp", 0, "secure"], "1", "invalid", "imp[0].secure"),
    (["imp", 1, "tagid"], "x" * 129, "invalid", "imp[1].tagid"),
    (
        ["imp", 0, "ext", "prebid", "bidder", "rk", "zone"],
        "x" * 129,
        "invalid",
        "imp[0].ext.prebid.bidder.rk.zone",
    ),
    (["app"], {}, "invalid", "app"),
    (["dooh"], {}, "invalid", "dooh"),
    (["site", "page"], 1, "invalid", "site.page"),
    (["site", "publisher", "id"], 1, "invalid", "site.publisher.id"),
    (["device", "geo"], "US", "invalid", "device.geo"),
    (["user", "data", 0, "segment", 0, "id"], 42, "invalid", "user.data[0].segment[0].id"),
    (["bcat"], "IAB25", "invalid", "bcat"),
    (["badv"], ["x.example"] * 5001, "invalid", "badv"),
    (["tmax"], -1, "invalid", "tmax"),
    (["at"], "2", "invalid", "at"),
    (["cur"], "USD", "invalid", "cur"),
]


@pytest.mark.parametrize(("path", "value", "code", "field"), REFUSED)
def test_a_mistake_is_refused_with_the_field_that_holds_it(path, value, code, field):
    body = copy.deepcopy(OPENRTB)
    *way, last = path
    place = body
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value

    with pytest.raises(BadRequest) as refusal:
        parse(body)

    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert refusal.value.message


def test_the_final_sellers_answer_is_what_prebid_needs_to_render():
    status, told = answer(sold_everywhere(parse(PREBID)))
    adm = (
        '<a href="https://ads.example/e/click?t=v1.abc&amp;n=1">'
        '<img src="https://cdn.example/7.png" alt="Anvils"></a>'
        '<img src="https://ads.example/e/impression?t=v1.abc&amp;n=1"'
        ' width="1" height="1" alt="" style="position:absolute">'
    )

    assert status == 200
    assert told == {
        "id": "20c1",
        "seatbid": [
            {
                "seat": "rk",
                "bid": [
                    {
                        "id": "01J-0",
                        "impid": "slot1",
                        "price": 1.31,
                        "crid": "cr-7",
                        "cid": "2",
                        "adid": "7",
                        "adomain": ["acme.example"],
                        "cat": ["IAB3-1"],
                        "cattax": 1,
                        "attr": [3],
                        "w": 300,
                        "h": 250,
                        "mtype": 1,
                        "exp": 300,
                        "adm": adm,
                        "language": "en",
                        "ext": {
                            "prebid": {
                                "type": "banner",
                                "bidid": "01J-0",
                                "meta": {
                                    "advertiserId": 3,
                                    "advertiserName": "Acme",
                                    "advertiserDomains": ["acme.example"],
                                },
                            }
                        },
                    }
                ],
            }
        ],
        "cur": "USD",
        "bidid": "01J",
        "ext": {"responsetimemillis": {"rk": 14}, "tmaxrequest": 400},
    }


@pytest.mark.parametrize(
    ("dialect", "first_price", "paid"),
    [
        (Dialect.AUCTION, False, 1.31),
        (Dialect.AUCTION, True, 2.1),
        (Dialect.BID, False, 2.1),
        (Dialect.BID, True, 2.1),
    ],
)
def test_the_price_is_the_clearing_price_only_where_we_are_the_final_seller(
    dialect, first_price, paid
):
    sold = replace(SOLD, first_price=first_price)

    assert sole_bid(sold_everywhere(parse(PREBID, dialect), sold))["price"] == paid


@pytest.mark.parametrize("dialect", [Dialect.AUCTION, Dialect.BID])
def test_an_impression_is_billed_by_the_pixel_or_by_the_notice_never_by_both(dialect):
    bid = sole_bid(sold_everywhere(parse(PREBID, dialect)))

    by_pixel = "/e/impression" in bid["adm"]
    by_notice = "/e/impression" in bid.get("burl", "")
    assert by_pixel is (dialect is Dialect.AUCTION)
    assert by_notice is not by_pixel


@pytest.mark.parametrize("dialect", [Dialect.AUCTION, Dialect.BID])
def test_only_an_ad_that_pays_for_being_seen_brings_a_measure_of_that(dialect):
    page = parse(PREBID, dialect)

    assert "/e/viewable" not in sole_bid(sold_everywhere(page))["adm"]
    seen = sole_bid(sold_everywhere(page, replace(SOLD, pricing=Pricing.VCPM)))
    assert seen["adm"].count("/e/viewable") == 1


def test_the_exchange_fills_in_its_price_and_we_fill_in_ours():
    tracked = replace(CREATIVE, markup="<i>${AUCTION_PRICE} ${AUCTION_IMP_ID} ${AUCTION_LOSS}</i>")
    sold = replace(SOLD, creative=tracked)
    ours = sole_bid(sold_everywhere(parse(PREBID), sold))
    theirs = sole_bid(sold_everywhere(parse(PREBID, Dialect.BID), sold))

    assert ours["adm"].startswith("<i>1.31 slot1 </i>")
    assert theirs["adm"] == tracked.markup
    assert theirs["burl"].endswith("&price=${AUCTION_PRICE}")


def test_a_macro_cannot_bring_markup_of_the_callers_into_the_ad():
    tracked = replace(CREATIVE, markup="${AUCTION_IMP_ID} ${AUCTION_PRICE:B64}")
    request = parse(imps({"id": "<script>"}))

    bid = sole_bid(sold_everywhere(request, replace(SOLD, creative=tracked)))

    assert bid["adm"].startswith("&lt;script&gt; MS4zMQ==")


def test_bids_stand_under_the_seat_that_the_caller_knows():
    known = {"ext": {"prebid": {"bidder": {"rk": {}}}}}
    told = answer(sold_everywhere(parse(imps(known, {}))), seat="house")[1]

    assert [seat["seat"] for seat in told["seatbid"]] == ["rk", "house"]
    assert told["ext"]["responsetimemillis"] == {"rk": 14, "house": 14}


@pytest.mark.parametrize(
    ("reason", "nbr", "statuscode"),
    [
        (Rejection.NO_CANDIDATE, 502, 0),
        (Rejection.BELOW_FLOOR, 502, 301),
        (Rejection.NOT_SCORED_TIME, 15, 15),
    ],
)
def test_no_bid_is_a_reason_for_prebid_and_204_for_an_exchange(reason, nbr, statuscode):
    for dialect in (Dialect.AUCTION, Dialect.BID):
        request = parse(SMALLEST, dialect)
        made = decided(request, Outcome(request.slots[0], None, reason))

        status, told = answer(made, seat="house")

        if dialect is Dialect.BID:
            assert (status, told) == (204, None)
        else:
            assert status == 200
            assert told["seatbid"] == []
            assert told["nbr"] == nbr
            nonbid = [{"impid": "1", "statuscode": statuscode}]
            assert told["ext"]["seatnonbid"] == [{"seat": "house", "nonbid": nonbid}]


def test_a_sold_and_an_empty_slot_are_answered_side_by_side():
    request = parse(imps({}, {}))
    sold = Outcome(request.slots[0], SOLD, Rejection.WON)
    empty = Outcome(request.slots[1], None, Rejection.FAIRNESS)

    told = answer(decided(request, sold, empty))[1]

    assert [bid["impid"] for bid in told["seatbid"][0]["bid"]] == ["0"]
    assert told["ext"]["seatnonbid"][0]["nonbid"] == [{"impid": "1", "statuscode": 512}]
    assert "nbr" not in told


def test_no_status_is_told_of_a_reason_that_means_no_bid_or_none_at_all():
    assert not {Rejection.WON, Rejection.OUTBID, Rejection.GEO} & set(SEAT_NON_BID)
    assert set(SEAT_NON_BID) < set(Rejection)
