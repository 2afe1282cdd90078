"""Rows of the catalogue as somebody states them, and what is wrong with those that are refused.

Fields are named as the tables' columns; an id and that of the parent are not stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from adserver.catalogue import capping, targeting
from adserver.catalogue.codes import GOALS, NO_IDENTITY, PACING, PACKAGES, PRICING
from adserver.catalogue.currency import USD
from adserver.catalogue.operations import CPM_STEP
from auction.columns import PPM, STANDARD_TIER
from auction.settings import MOST_TIER

CATEGORY: Final = r"^IAB\d{1,2}(-\d{1,2})?$"
LARGEST: Final = 1 << 53
"""Of a number of micros: nine billion dollars, and exact in every reader of JSON."""
WORDS: Final = {
    "pricing": PRICING,
    "goal_kind": (*GOALS, None),
    "pacing": PACING,
    "no_identity": (*NO_IDENTITY, None),
    "package": PACKAGES,
}
"""What a line item's field may say."""
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Micros = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Id = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]
Active = Literal["active", "paused"]
Capping = list[dict[str, Any]] | None


class Stated(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of its level's table, but for the id and that of its parent."""


class Advertiser(Stated, frozen=True, forbid_unknown_fields=True):
    name: Name
    domain: Annotated[str, Meta(pattern=r"^([a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}$", max_length=253)]
    category: Annotated[str, Meta(pattern=rf"^$|{CATEGORY}")] = ""
    daily_budget_micros: Micros | None = None
    lifetime_budget_micros: Micros | None = None
    frequency_caps: Capping = None
    status: Active = "active"


class Campaign(Stated, frozen=True, forbid_unknown_fields=True):
    name: Name
    daily_budget_micros: Micros
    lifetime_budget_micros: Micros | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = USD
    frequency_caps: Capping = None
    status: Active = "active"


class LineItem(Stated, frozen=True, forbid_unknown_fields=True):
    name: Name
    pricing: str
    bid_micros: Positive
    targeting: dict[str, Any] = field(default_factory=dict)
    start_s: Annotated[float, Meta(ge=0)] = 0.0
    end_s: Annotated[float, Meta(ge=0)] | None = None
    deal_id: Id | None = None
    tier: Annotated[int, Meta(ge=1, le=MOST_TIER)] = STANDARD_TIER
    share: Positive = 1
    quality_ppm: Annotated[int, Meta(ge=PPM // 10, le=PPM * 10)] = PPM
    pcvr_ppm: Annotated[int, Meta(ge=1, le=PPM)] | None = None
    daily_budget_micros: Micros | None = None
    lifetime_budget_micros: Micros | None = None
    goal_kind: str | None = None
    goal_amount: Positive | None = None
    pacing: str = "even"
    no_identity: str | None = None
    labels: Annotated[list[Name], Meta(max_length=20)] | None = None
    package: str = "none"
    frequency_caps: Capping = None
    status: Active = "active"


class Ad(Stated, frozen=True, forbid_unknown_fields=True):
    title: Name
    width: Annotated[int, Meta(ge=1, le=10_000)]
    height: Annotated[int, Meta(ge=1, le=10_000)]
    category: Annotated[str, Meta(pattern=CATEGORY)]
    landing_url: Annotated[str, Meta(pattern=r"^https?://\S+$", max_length=2_000)]
    attributes: Annotated[list[Annotated[int, Meta(ge=1, le=500)]], Meta(max_length=100)] = field(
        default_factory=list
    )
    secure: bool = True
    language: Annotated[str, Meta(pattern=r"^([a-z]{2})?$")] = ""
    template_id: Id | None = None
    params: Annotated[dict[str, str], Meta(max_length=50)] | None = None
    markup: Annotated[str, Meta(min_length=1, max_length=100_000)] | None = None
    frequency_caps: Capping = None
    status: Active = "active"


def stated(kind: type[Stated], raw: Any, path: str) -> Stated | list[str]:
    """The row, or what is wrong with it; each mistake begins with its field's path."""
    try:
        row = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        return [targeting.located(str(error), path)]
    found = [f"{path}.{mistake}" for mistake in _problems(row)]
    return found or row


def _problems(row: Stated) -> Iterator[str]:
    caps = getattr(row, "frequency_caps", None)
    try:
        capping.parse(caps)
    except ValueError as error:
        yield f"frequency_caps: {error}"
    if isinstance(row, LineItem):
        yield from _of_line_item(row)
    if isinstance(row, Ad) and (row.template_id is None) == (row.markup is None):
        yield "markup: an ad has this or a template_id, one of the two"


def _of_line_item(row: LineItem) -> Iterator[str]:
    for name, words in WORDS.items():
        if getattr(row, name) not in words:
            listed = ", ".join(str(word) for word in words if word)
            yield f"{name}: {getattr(row, name)!r} is none of {listed}"
    if row.pricing in {"cpm", "vcpm"} and row.bid_micros % CPM_STEP:
        yield f"bid_micros: {row.bid_micros} micros CPM is not a multiple of {CPM_STEP}"
    if (row.goal_kind is None) != (row.goal_amount is None):
        yield "goal_kind: goes together with goal_amount"
    if row.pricing == "flat" and row.goal_kind != "impressions":
        yield "goal_kind: a flat fee bids what its goal of impressions implies"
    if row.end_s is not None and row.end_s <= row.start_s:
        yield "end_s: is not after start_s"
    try:
        targeting.parse(row.targeting)
    except targeting.TargetingError as error:
        yield str(error)
