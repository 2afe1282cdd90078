"""How the simulated line items pay and what they ask for beyond a bid.

Drawn apart from the catalogue itself, so that titles, targeting and the truth about clicks stay as
a model has learnt them. Most are standard; tiers above the auction and below it are few and small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Row = dict[str, Any]
STREAM = 77
"""Keeps these draws apart from all others of the same seed."""
PER_USD_PPM = {"EUR": 920_000, "GBP": 790_000}
DEALS = 5
DEFAULT: Row = {
    "pricing": "cpm",
    "tier": 50,
    "share": 1,
    "goal_kind": None,
    "goal_amount": None,
    "labels": None,
    "frequency_caps": None,
    "deal_id": None,
}
"""A bulk insert wants the same columns in every row."""


def rate_rows() -> Iterator[Row]:
    for currency, ppm in PER_USD_PPM.items():
        yield {"version": 1, "currency": currency, "per_usd_ppm": ppm}


def deal_rows() -> Iterator[Row]:
    for number in range(1, DEALS + 1):
        yield {
            "id": number,
            "key": f"deal-{number}",
            "floor_micros": 1_500_000 + 500_000 * number,
            "fixed_price": number == DEALS,
            "seats": [],
        }


def currencies(campaigns: int, seed: int) -> list[str]:
    """Of each campaign; one in eight is not in US dollars."""
    rng = np.random.default_rng([STREAM, seed, 1])
    chance = rng.random(campaigns)
    return ["EUR" if one < 0.08 else "GBP" if one < 0.12 else "USD" for one in chance.tolist()]


def line_item_terms(bid_micros: int, per_click: bool, rng: np.random.Generator) -> Row:
    """What a line item says of itself besides flight and targeting; with it its bid may change."""
    plain = plain_terms(bid_micros, per_click)
    kind, chance, caps = rng.random(3).tolist()
    terms = plain | (_by_click(bid_micros, kind) if per_click else _by_mille(bid_micros, kind))
    if kind > 0.99:
        terms |= {"tier": 95}
    if chance < 0.02:
        terms |= {"labels": ["category"]}
    if caps < 0.05:
        terms |= {"frequency_caps": [{"max": 3, "window": "24h"}]}
    return terms


def plain_terms(bid_micros: int, per_click: bool) -> Row:
    """Of a standard line item in the open market."""
    return DEFAULT | {"pricing": "cpc" if per_click else "cpm", "bid_micros": bid_micros}


def _by_click(bid_micros: int, kind: float) -> Row:
    if kind < 0.03:
        # the worth of a click at a conversion rate of one in a hundred
        return {"pricing": "cpa", "bid_micros": bid_micros * 100}
    return {}


def _by_mille(bid_micros: int, kind: float) -> Row:
    """Sponsorships and guaranteed contracts are a handful: each is sold before all others."""
    if kind < 0.0003:
        return {"tier": 5, "share": 1 + int(kind * 10_000)}
    if kind < 0.001:
        return {"tier": 15, "goal_kind": "impressions", "goal_amount": 20_000}
    if kind < 0.01:
        return {"deal_id": 1 + int(kind * 100_000) % DEALS, "bid_micros": 3 * bid_micros}
    if kind < 0.02:
        # the same price for a thousand
        fee = bid_micros * 100
        return {
            "pricing": "flat",
            "goal_kind": "impressions",
            "goal_amount": 100_000,
            "bid_micros": fee,
        }
    if kind < 0.05:
        # the same price where six of ten are seen
        return {"pricing": "vcpm", "bid_micros": bid_micros * 5 // 3 // 1000 * 1000}
    return {}
