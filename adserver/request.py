"""One ad request, whatever the dialect it arrived in.

The wire formats translate into this and back; nothing behind them knows JSON or OpenRTB.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Dialect(Enum):
    DECISION = "decision"  # POST /v1/decision
    AUCTION = "auction"  # POST /openrtb2/auction: we are the final seller
    BID = "bid"  # POST /openrtb2/bid: an exchange will clear


class Explain(Enum):
    NONE = "none"
    SUMMARY = "summary"  # funnel, stage times, runner-up of each slot


class Unserved(Enum):
    """Why a slot cannot be sold whatever the catalogue holds: (code, OpenRTB seat-non-bid)."""

    FORMAT = (21, 353)  # no banner, or one without a size
    CURRENCY = (60, 301)  # its floor, or the whole request, is in a currency we do not sell in
    CROWDED = (80, 0)  # past the slots that one request may have


@dataclass(frozen=True, slots=True)
class OfferedDeal:
    """A private agreement that a caller lets us buy in; the catalogue knows the rest of it."""

    key: str
    floor_micros: int = 0
    """Per thousand impressions, in place of the slot's."""
    fixed_price: bool = False
    """The floor is the price."""
    seats: tuple[str, ...] = ()
    """Buyers that may use it; empty: any."""
    domains: tuple[str, ...] = ()
    """Advertisers that may use it; empty: any."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place on the page. `count` > 1 in a request becomes that many slots of one id."""

    id: str
    placement: str = ""
    """Catalogue key of the placement (zone_id, tagid); may be unknown."""
    sizes: tuple[tuple[int, int], ...] = ()
    floor_micros: int = 0
    """Per thousand impressions, US dollars like all money behind the wire."""
    secure: bool = False
    blocked_attributes: tuple[int, ...] = ()
    seat: str = ""
    """Bidder code under which an OpenRTB caller knows us on this slot; empty: our own."""
    deals: tuple[OfferedDeal, ...] = ()
    private: bool = False
    """Only who has one of these deals may buy."""


@dataclass(frozen=True, slots=True)
class AdRequest:
    """Everything a decision depends on but the catalogue, the clock and the seed."""

    id: str
    slots: tuple[Slot, ...]
    dialect: Dialect = Dialect.DECISION
    publisher: str = ""
    domain: str = ""
    page: str = ""
    categories: tuple[str, ...] = ()
    """IAB Content Taxonomy 1.0 ids; a parent ("IAB17") is implied by its child ("IAB17-3")."""
    keywords: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    key_values: tuple[str, ...] = ()
    """Each "key=value"."""
    country: str = ""
    """ISO 3166-1 alpha-3, upper case; alpha-2 is translated at the edge."""
    region: str = ""
    """ISO 3166-2 ("US-CA")."""
    device: str = ""
    """desktop | phone | tablet | tv | other"""
    os: str = ""
    browser: str = ""
    language: str = ""
    """ISO 639-1, lower case."""
    user: str = ""
    page_view: str = ""
    blocked_domains: tuple[str, ...] = ()
    blocked_categories: tuple[str, ...] = ()
    blocked_creatives: tuple[str, ...] = ()
    first_price: bool = False
    deadline_ms: int | None = None
    currency: str = "USD"
    """Of the prices in the answer."""
    per_usd_ppm: int = 1_000_000
    """Units of it for a million dollars."""
    rates: int = 0
    """Version of the table that floors were converted with."""
    complete: bool = False
    """The slots are all that the page has (OpenRTB allimps): packages may have it whole."""
    test: bool = False
    explain: Explain = Explain.NONE
    unserved: tuple[tuple[str, Unserved], ...] = ()
    """Slot ids of what was asked for but never goes to auction, each with its reason."""
