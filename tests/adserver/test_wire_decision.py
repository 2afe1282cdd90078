"""POST /v1/decision, both ways."""

import copy
import json
from dataclasses import replace

import pytest
from valid_bodies import DECISION
from wire_cases import CREATIVE, SOLD, decided, sold_everywhere, urls

from adserver.decision import Outcome, RunnerUp
from adserver.errors import BadRequest
from adserver.request import AdRequest, Explain, OfferedDeal, Slot, Unserved
from adserver.wire import decision
from auction.columns import Rejection

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile Safari/604.1"
SMALLEST = {"id": "r", "placements": [{"id": "a", "sizes": [[300, 250]]}]}


def parse(body, user_agent=""):
    return decision.parse(json.dumps(body).encode(), user_agent)


def changed(path, value):
    """The full body with one value replaced, or removed when the value is `...`."""
    body = copy.deepcopy(DECISION)
    *way, last = path
    place = body
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return body


def answer(made):
    return json.loads(decision.render(made, urls))


def test_a_full_request_is_understood_in_every_part():
    top = Slot("top", "z1", ((300, 250), (728, 90)), 500_000, secure=True)

    gold = (OfferedDeal("gold", 2_500_000, fixed_price=True),)
    side = Slot("side", "", ((160, 600),), 1_000_000, secure=True, deals=gold)
    assert parse(DECISION) == AdRequest(
        id="r-1",
        slots=(top, top, side),
        publisher="pub-1",
        domain="pub.example",
        page="https://www.pub.example/a?b=c#d",
        categories=("IAB17",),
        keywords=("cup", "football"),
        segments=("s1", "s2"),
        key_values=("section=sport", "paid=true", "depth=3", "tag=a", "tag=b"),
        country="USA",
        region="US-CA",
        device="phone",
        os="ios",
        browser="safari",
        language="en",
        user="u1",
        page_view="pv-9",
        blocked_domains=("bad.example",),
        blocked_categories=("IAB25",),
        blocked_creatives=("c9",),
        deadline_ms=50,
        complete=True,
        explain=Explain.SUMMARY,
    )


def test_an_id_and_one_sized_placement_are_enough():
    assert parse(SMALLEST) == AdRequest("r", (Slot("a", sizes=((300, 250),)),))


def test_a_zone_of_the_catalogue_needs_no_sizes():
    request = parse({"id": "r", "placements": [{"id": "a", "zone_id": "z1"}]})

    assert request.slots == (Slot("a", "z1"),)


def test_null_counts_as_absent():
    nulls = dict.fromkeys(["page", "user", "device", "block", "test", "explain", "deadline_ms"])

    assert parse(SMALLEST | nulls) == parse(SMALLEST)


def test_the_callers_user_agent_counts_where_the_body_names_none():
    assert parse(SMALLEST, IPHONE).device == "phone"
    assert parse(SMALLEST | {"device": {"ua": "Mozilla/5.0 (X11)"}}, IPHONE).device == "desktop"
    assert parse(SMALLEST | {"device": {"type": "tv"}}, IPHONE).device == "tv"


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [(None, None), (0, None), (1, 10), (10, 10), (50.7, 50), (500, 500), (1e300, 500)],
)
def test_a_deadline_is_brought_within_its_limits(asked, allowed):
    assert parse(SMALLEST | {"deadline_ms": asked}).deadline_ms == allowed


def test_only_a_page_on_https_demands_secure_ads():
    secure = [
        parse(SMALLEST | {"page": {"url": url}}).slots[0].secure
        for url in ("https://a.example/", "HTTPS://a.example/", "http://a.example/", "")
    ]

    assert secure == [True, True, False, False]


def test_a_placement_that_takes_no_banner_is_listed_as_unserved():
    video = {"id": "v", "sizes": [[640, 360]], "formats": ["video"]}
    request = parse({"id": "r", "placements": [video, {"id": "b", "zone_id": "z"}]})

    assert [slot.id for slot in request.slots] == ["b"]
    assert request.unserved == (("v", Unserved.FORMAT),)
    assert answer(sold_everywhere(request))["no_fill"]["v"]["reason"] == "FORMAT"


REFUSED = [
    (["id"], ..., "missing", "id"),
    (["id"], "", "invalid", "id"),
    (["id"], 7, "invalid", "id"),
    (["id"], "x" * 129, "invalid", "id"),
    (["placements"], ..., "missing", "placements"),
    (["placements"], [], "invalid", "placements"),
    (["placements"], {}, "invalid", "placements"),
    (["placements"], [{"id": str(n), "zone_id": "z"} for n in range(21)], "invalid", "placements"),
    (["placements", 1], 3, "invalid", "placements[1]"),
    (["placements", 1, "id"], ..., "missing", "placements[1].id"),
    (["placements", 1, "id"], "top", "duplicate", "placements[1].id"),
    (["placements", 1, "sizes"], ..., "missing", "placements[1].sizes"),
    (["placements", 1, "sizes"], [], "missing", "placements[1].sizes"),
    (["placements", 1, "sizes"], "300x250", "invalid", "placements[1].sizes"),
    (["placements", 1, "sizes"], [[1, 1]] * 65, "invalid", "placements[1].sizes"),
    (["placements", 1, "sizes", 0], [300], "invalid", "placements[1].sizes[0]"),
    (["placements", 1, "sizes", 0, 1], -250, "invalid", "placements[1].sizes[0][1]"),
    (["placements", 1, "sizes", 0, 1], 0, "invalid", "placements[1].sizes[0][1]"),
    (["placements", 1, "sizes", 0, 1], 10_001, "invalid", "placements[1].sizes[0][1]"),
    (["placements", 0, "floor_cpm"], -0.01, "invalid", "placements[0].floor_cpm"),
    (["placements", 0, "floor_cpm"], "0.5", "invalid", "placements[0].floor_cpm"),
    (["placements", 0, "floor_cpm"], 100_001, "invalid", "placements[0].floor_cpm"),
    (["placements", 0, "count"], 0, "invalid", "placements[0].count"),
    (["placements", 0, "count"], 21, "invalid", "placements[0].count"),
    (["placements", 0, "count"], True, "invalid", "placements[0].count"),
    (["placements", 0, "count"], 20, "invalid", "placements[1].count"),
    (["placements", 0, "kv"], [], "invalid", "placements[0].kv"),
    (["placements", 0, "kv"], {"a": {}}, "invalid", "placements[0].kv"),
    (["placements", 0, "kv"], {"": "a"}, "invalid", "placements[0].kv"),
    (["placements", 0, "kv"], {"a": "x" * 257}, "invalid", "placements[0].kv"),
    (["placements", 0, "keywords"], ["a"] * 257, "invalid", "placements[0].keywords"),
    (["placements", 0, "keywords", 0], 1, "invalid", "placements[0].keywords[0]"),
    (["page", "url"], "x" * 8193, "invalid", "page.url"),
    (["page", "categories"], "IAB1", "invalid", "page.categories"),
    (["user"], "u1", "invalid", "user"),
    (["user", "segments", 1], "x" * 513, "invalid", "user.segments[1]"),
    (["device", "geo", "country"], 1, "invalid", "device.geo.country"),
    (["block", "advertisers"], ["a.example"] * 5001, "invalid", "block.advertisers"),
    (["deadline_ms"], -1, "invalid", "deadline_ms"),
    (["test"], "yes", "invalid", "test"),
    (["explain"], "everything", "invalid", "explain"),
]


@pytest.mark.parametrize(("path", "value", "code", "field"), REFUSED)
def test_a_mistake_is_refused_with_the_field_that_holds_it(path, value, code, field):
    with pytest.raises(BadRequest) as refusal:
        parse(changed(path, value))

    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert refusal.value.message
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"{", "bad_json", "body"),
        (b"[]", "invalid", "body"),
        (b'{"id":"\xff"}', "bad_json", "body"),
        (b'{"id":"r","placements":' + b"[" * 5000, "invalid", "placements[0]"),
        (b'{"id":"r","x":' + b"[" * 50_000, "bad_json", "body"),
        (b'{"id":"r","deadline_ms":NaN}', "bad_json", "body"),
        (b'{"id":"r","deadline_ms":1e999}', "invalid", "deadline_ms"),
    ],
)
def test_what_is_no_json_object_is_refused_whole(raw, code, field):
    with pytest.raises(BadRequest) as refusal:
        decision.parse(raw)

    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_an_answer_lists_every_slot_of_a_placement():
    request = parse(DECISION)
    told = answer(sold_everywhere(request))

    assert told["id"] == "r-1"
    assert told["decision_id"] == "01J"
    assert told["decision_quality"] == 0
    assert told["took_ms"] == 14.2
    assert {id_: len(ads) for id_, ads in told["decisions"].items()} == {"top": 2, "side": 1}
    assert told["no_fill"] == {}


def test_a_sold_slot_says_what_is_shown_paid_and_predicted():
    ad = answer(sold_everywhere(parse(SMALLEST)))["decisions"]["a"][0]

    assert ad == {
        "ad_id": "7",
        "creative_id": "cr-7",
        "campaign_id": "2",
        "line_item_id": "5",
        "advertiser_id": "3",
        "advertiser": "Acme",
        "title": "Anvils",
        "tier": 50,
        "deal": None,
        "width": 300,
        "height": 250,
        "adomain": ["acme.example"],
        "html": '<a href="https://ads.example/e/click?t=v1.abc&amp;n=1">'
        '<img src="https://cdn.example/7.png" alt="Anvils"></a>',
        "price": {
            "currency": "USD",
            "bid_cpm": 2.1,
            "clear_cpm": 1.31,
            "basis": "second_price",
            "pricing": "cpm",
            "billed_on": "impression",
            "charge": 0.00131,
        },
        "model": {"name": "ctr", "version": "3.2.0", "pctr": 0.0123},
        "urls": {
            "impression": "https://ads.example/e/impression?t=v1.abc&n=1",
            "click": "https://ads.example/e/click?t=v1.abc&n=1",
            "viewable": "https://ads.example/e/viewable?t=v1.abc&n=1",
        },
        "expires_in_s": 300,
    }


@pytest.mark.parametrize(
    ("reason", "code"), [(Rejection.NO_CANDIDATE, 502), (Rejection.BELOW_FLOOR, 60)]
)
def test_an_empty_slot_says_why_and_how_many_ads_failed_where(reason, code):
    request = parse(SMALLEST)
    told = answer(decided(request, Outcome(request.slots[0], None, reason)))

    assert told["decisions"] == {"a": []}
    assert told["no_fill"]["a"] == {
        "code": code,
        "reason": reason.name,
        "counts": {"GEO": 41, "BELOW_FLOOR": 3},
        "slots": 1,
    }


def test_a_half_filled_placement_is_in_both_lists():
    request = parse(changed(["placements"], [{"id": "a", "zone_id": "z", "count": 3}]))
    first, second, third = request.slots
    told = answer(
        decided(
            request,
            Outcome(first, SOLD, Rejection.WON),
            Outcome(second, None, Rejection.EXCLUSION),
            Outcome(third, None, Rejection.NO_CANDIDATE),
        )
    )

    assert len(told["decisions"]["a"]) == 1
    assert told["no_fill"]["a"]["reason"] == "EXCLUSION"
    assert told["no_fill"]["a"]["slots"] == 2


def test_an_explained_answer_shows_funnel_stages_and_runner_up():
    request = parse(changed(["placements"], [{"id": "a", "zone_id": "z"}]))
    rival = RunnerUp(replace(CREATIVE, ad_id=8), 1_300_000, 0.01, Rejection.OUTBID)
    told = answer(decided(request, Outcome(request.slots[0], SOLD, Rejection.WON, rival)))

    assert told["explain"] == {
        "funnel": {
            "catalogue": 100_000,
            "eligible": 420,
            "retrieved": 200,
            "scored": 200,
            "plan": "exact",
            "rejected": {"GEO": 41, "BELOW_FLOOR": 3},
        },
        "placements": {
            "a": [
                {
                    "reason": "WON",
                    "runner_up": {
                        "ad_id": "8",
                        "advertiser": "Acme",
                        "title": "Anvils",
                        "bid_cpm": 1.3,
                        "pctr": 0.01,
                        "reason": "OUTBID",
                    },
                    "fairness_override": False,
                }
            ]
        },
        "stages_ms": {"retrieve": 1.5},
        "snapshot": 3,
        "model": "ctr/3.2.0",
    }


def test_an_answer_explains_nothing_unless_asked():
    assert "explain" not in answer(sold_everywhere(parse(SMALLEST)))
