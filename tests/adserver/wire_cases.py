"""What the tests of the wire formats share: one creative, its sale, its event URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adserver.decision import Creative, Decision, Funnel, Outcome, Sold
from adserver.request import AdRequest
from adserver.wire.render import Urls
from auction.columns import Rejection

CREATIVE = Creative(
    ad_id=7,
    creative_id="cr-7",
    campaign_id=2,
    line_item_id=5,
    advertiser_id=3,
    advertiser="Acme",
    adomain="acme.example",
    category="IAB3-1",
    title="Anvils",
    width=300,
    height=250,
    markup='<a href="{click}"><img src="https://cdn.example/7.png" alt="Anvils"></a>',
    landing_url="https://acme.example/anvils?a=1&b=2",
    attributes=(3,),
    language="en",
)
SOLD = Sold(
    creative=CREATIVE,
    bid_micros=2_100_000,
    per_click=False,
    bid_cpm_micros=2_100_000,
    clear_micros=1_310_000,
    charge_micros=1_310,
    pctr=0.0123,
    first_price=False,
)


def urls(outcome: Outcome) -> Urls:
    base = f"https://ads.example/e/{{}}?t=v1.{outcome.slot.id and 'abc'}&n=1"
    return Urls(base.format("impression"), base.format("click"), base.format("viewable"))


def decided(request: AdRequest, *outcomes: Outcome, **changes: Any) -> Decision:
    whole = Decision(
        id="01J",
        request=request,
        outcomes=outcomes,
        quality=0,
        snapshot=3,
        model="ctr/3.2.0",
        funnel=Funnel(100_000, 420, 200, 200, "exact", {"GEO": 41, "BELOW_FLOOR": 3}),
        stage_ms={"retrieve": 1.5},
        took_ms=14.2004,
    )
    return replace(whole, **changes)


def sold_everywhere(request: AdRequest, sold: Sold = SOLD) -> Decision:
    return decided(request, *(Outcome(slot, sold, Rejection.WON) for slot in request.slots))
