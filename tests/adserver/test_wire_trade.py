"""Deals and currencies as callers state them; money is in US dollars from there on."""

import copy
import json

import pytest
from valid_bodies import DECISION, OPENRTB

from adserver.catalogue.currency import Rates
from adserver.errors import BadRequest
from adserver.request import Dialect, OfferedDeal, Unserved
from adserver.wire import decision, openrtb

RATES = Rates(4, {"EUR": 920_000, "GBP": 790_000})


def auction(**changes):
    body = copy.deepcopy(OPENRTB) | changes
    return openrtb.parse(json.dumps(body).encode(), Dialect.AUCTION, rates=RATES)


def imp(**changes):
    return {"id": "a", "banner": {"w": 300, "h": 250}} | changes


def test_a_deals_floor_says_its_own_currency_and_not_that_of_the_imp():
    deals = [{"id": "d1", "bidfloor": 1}, {"id": "d2", "bidfloor": 1, "bidfloorcur": "EUR"}]

    request = auction(imp=[imp(bidfloor=1, bidfloorcur="GBP", pmp={"deals": deals})])

    (slot,) = request.slots
    assert slot.floor_micros == 1_265_823  # rounded up
    assert [deal.floor_micros for deal in slot.deals] == [1_000_000, 1_086_957]


def test_a_deal_is_taken_over_with_its_buyers_and_its_fixed_price():
    (slot,) = auction(imp=[OPENRTB["imp"][1]]).slots

    assert slot.deals == (OfferedDeal("gold", 2_500_000, True, ("s1",), ("acme.example",)),)
    assert not slot.private
    assert auction(imp=[imp(pmp={"private_auction": 1})]).slots[0].private


def test_a_deal_in_an_unknown_currency_is_left_out_and_a_floor_in_one_is_not_sold():
    deals = [{"id": "d1", "bidfloor": 1, "bidfloorcur": "XTS"}]
    one, other = imp(pmp={"deals": deals}), imp(id="b", bidfloor=1, bidfloorcur="XTS")

    request = auction(imp=[one, other])

    assert [(slot.id, slot.deals) for slot in request.slots] == [("a", ())]
    assert request.unserved == (("b", Unserved.CURRENCY),)


def test_the_answer_is_in_the_first_currency_that_has_a_rate():
    assert auction(cur=["XTS", "GBP", "USD"]).currency == "GBP"
    assert auction(cur=["GBP"]).per_usd_ppm == 790_000
    assert auction(cur=["GBP"]).rates == 4
    assert {why for _, why in auction(cur=["XTS"]).unserved} == {Unserved.CURRENCY}


def test_all_imps_make_a_page_complete():
    assert auction(allimps=1).complete
    assert not auction(allimps=0).complete


def test_our_own_dialect_says_the_same_of_each_placement():
    body = copy.deepcopy(DECISION) | {"currency": "EUR"}
    body["placements"][1] |= {"floor_currency": "EUR", "private": 1}

    request = decision.parse(json.dumps(body).encode(), rates=RATES)

    side = request.slots[-1]
    assert (side.floor_micros, side.private) == (1_086_957, True)
    assert side.deals == (OfferedDeal("gold", 2_500_000, True),)
    assert (request.currency, request.complete) == ("EUR", True)


@pytest.mark.parametrize(
    ("pmp", "field"),
    [
        ({"deals": [{"bidfloor": 1}]}, "imp[0].pmp.deals[0].id"),
        ({"deals": [{"id": "d", "bidfloor": -1}]}, "imp[0].pmp.deals[0].bidfloor"),
        ({"deals": [{"id": "d"}] * 101}, "imp[0].pmp.deals"),
        ({"deals": [{"id": "d", "wseat": ["s"] * 201}]}, "imp[0].pmp.deals[0].wseat"),
        ({"deals": {"id": "d"}}, "imp[0].pmp.deals"),
        ({"private_auction": "yes"}, "imp[0].pmp.private_auction"),
    ],
)
def test_a_malformed_deal_is_named(pmp, field):
    with pytest.raises(BadRequest) as refusal:
        auction(imp=[imp(pmp=pmp)])

    assert refusal.value.field.replace("[...]", "[0]").startswith(field.split("[0]")[0])
