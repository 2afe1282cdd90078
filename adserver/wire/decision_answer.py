"""A Decision as the answer of POST /v1/decision. Signs nothing and decides nothing."""

from __future__ import annotations

from typing import Any

import orjson

from adserver.decision import Decision, Outcome, RunnerUp, Sold
from adserver.request import AdRequest, Explain
from adserver.wire.render import EXPIRES_S, UrlsOf, markup, price_in
from auction.columns import Pricing, Rejection

_BILLED_ON = {
    Pricing.CPM: "impression",
    Pricing.CPC: "click",
    Pricing.CPA: "conversion",
    Pricing.FLAT: "flight",
    Pricing.VCPM: "viewable",
}


def render(decision: Decision, urls: UrlsOf) -> bytes:
    """The answer: every placement listed, every empty one with its reason.

    The HTML carries no pixel: the caller requests `urls.impression` when the ad is on screen.
    """
    request = decision.request
    answer: dict[str, Any] = {
        "id": request.id,
        "decision_id": decision.id,
        "decision_quality": decision.quality,
        "took_ms": round(decision.took_ms, 3),
        "decisions": _decisions(decision, urls),
        "no_fill": _no_fill(decision),
    }
    if request.explain is Explain.SUMMARY:
        answer["explain"] = _explain(decision)
    return orjson.dumps(answer)


def _decisions(decision: Decision, urls: UrlsOf) -> dict[str, list[dict[str, Any]]]:
    ads: dict[str, list[dict[str, Any]]] = {id_: [] for id_, _ in decision.request.unserved}
    for outcome in decision.outcomes:
        placed = ads.setdefault(outcome.slot.id, [])
        if outcome.sold is not None:
            placed.append(_ad(outcome, outcome.sold, decision, urls))
    return ads


def _ad(outcome: Outcome, sold: Sold, decision: Decision, urls_of: UrlsOf) -> dict[str, Any]:
    creative, urls, request = sold.creative, urls_of(outcome), decision.request
    name, _, version = decision.model.partition("/")
    return {
        "ad_id": str(creative.ad_id),
        "creative_id": creative.creative_id,
        "campaign_id": str(creative.campaign_id),
        "line_item_id": str(creative.line_item_id),
        "advertiser_id": str(creative.advertiser_id),
        "advertiser": creative.advertiser,
        "title": creative.title,
        "tier": sold.tier,
        "deal": sold.deal_key or None,
        "width": creative.width,
        "height": creative.height,
        "adomain": [creative.adomain] if creative.adomain else [],
        "html": markup(creative, urls.click),
        "price": {
            "currency": request.currency,
            "bid_cpm": price_in(request, sold.bid_cpm_micros),
            "clear_cpm": price_in(request, sold.clear_micros),
            "basis": sold.basis,
            "pricing": sold.pricing.name.lower(),
            "billed_on": _BILLED_ON[sold.pricing],
            "charge": price_in(request, sold.charge_micros),
        },
        "model": {"name": name, "version": version, "pctr": sold.pctr},
        "urls": {
            "impression": urls.impression,
            "click": urls.click,
            "viewable": urls.viewable,
        },
        "expires_in_s": EXPIRES_S,
    }


def _no_fill(decision: Decision) -> dict[str, dict[str, Any]]:
    """Per placement with an empty slot: why the first stayed empty, how many did, ads by reason."""
    empty: dict[str, dict[str, Any]] = {
        id_: {"code": why.value[0], "reason": why.name, "counts": {}, "slots": 1}
        for id_, why in decision.request.unserved
    }
    for outcome in decision.outcomes:
        if outcome.sold is not None:
            continue
        entry = empty.get(outcome.slot.id)
        if entry is None:
            reason = outcome.reason
            entry = empty[outcome.slot.id] = {
                "code": wire_code(reason),
                "reason": reason.name,
                "counts": decision.funnel.rejected,
                "slots": 0,
            }
        entry["slots"] += 1
    return empty


def wire_code(reason: Rejection) -> int:
    """The code on the wire: reasons of a whole slot (100 and up) are 500 and up there."""
    return reason.value if reason.value < 100 else reason.value + 400


def _explain(decision: Decision) -> dict[str, Any]:
    funnel = decision.funnel
    placements: dict[str, list[dict[str, Any]]] = {}
    for outcome in decision.outcomes:
        told = {
            "reason": outcome.reason.name,
            "runner_up": _runner_up(outcome.runner_up, decision.request),
            "fairness_override": outcome.relaxed,
        }
        placements.setdefault(outcome.slot.id, []).append(told)
    return {
        "funnel": {
            "catalogue": funnel.catalogue,
            "eligible": funnel.eligible,
            "retrieved": funnel.retrieved,
            "scored": funnel.scored,
            "plan": funnel.plan,
            "rejected": funnel.rejected,
        },
        "placements": placements,
        "stages_ms": decision.stage_ms,
        "snapshot": decision.snapshot,
        "model": decision.model,
    }


def _runner_up(other: RunnerUp | None, request: AdRequest) -> dict[str, Any] | None:
    if other is None:
        return None
    return {
        "ad_id": str(other.creative.ad_id),
        "advertiser": other.creative.advertiser,
        "title": other.creative.title,
        "bid_cpm": price_in(request, other.bid_cpm_micros),
        "pctr": other.pctr,
        "reason": other.reason.name,
    }
