"""What a snapshot holds: the catalogue's columns and the facts beside them. Types only."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AdColumns:
    """[N] ads; those of a line item are neighbours."""

    ad_id: NDArray[np.int64]
    line_item: NDArray[np.int32]
    """Row of the line item."""
    campaign: NDArray[np.int32]
    """Id, which is the index of the ledger; the same of advertiser."""
    advertiser: NDArray[np.int32]
    creative: NDArray[np.int32]
    """Number of the creative; each ad has its own."""
    size: NDArray[np.int16]
    """Index of Snapshot.sizes."""
    attributes: NDArray[np.uint32]
    """Bit a - 1: AdCOM creative attribute a."""
    secure: NDArray[np.uint8]
    """1: nothing but https."""
    bid_micros: NDArray[np.int64]
    """US dollars, as of the build; Overlay.bid_micros has today's."""
    per_click: NDArray[np.bool_]
    """What it bids is for a click: also where it is billed by the conversion."""
    labels: NDArray[np.uint64]
    """Bits of competitive exclusion: two ads that share one do not stand on one page."""
    active: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ad_id)


@dataclass(frozen=True, slots=True)
class LineItemColumns:
    """[L] line items in the order of their ids; money in their campaign's currency.

    Of all but the first four and the deal, `Overlay.items` has today's.
    """

    line_item_id: NDArray[np.int64]
    ad_start: NDArray[np.int32]
    """[L + 1] its ads are the rows ad_start[l]:ad_start[l + 1]."""
    campaign: NDArray[np.int32]
    advertiser: NDArray[np.int32]
    deal: NDArray[np.int32]
    """Id of the deal that it buys in; -1: the open market."""
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    """Wall seconds; infinite for a flight without end."""
    active: NDArray[np.bool_]
    pricing: NDArray[np.uint8]
    """auction.columns.Pricing."""
    price_micros: NDArray[np.int64]
    """As the database has it: per thousand impressions, click, conversion, or the whole fee."""
    pcvr_ppm: NDArray[np.int64]
    """Conversions per million clicks."""
    tier: NDArray[np.uint8]
    share: NDArray[np.int64]
    """Weight in a weighted tier."""
    quality_ppm: NDArray[np.int64]
    daily_budget_micros: NDArray[np.int64]
    lifetime_budget_micros: NDArray[np.int64]
    """UNLIMITED for none."""
    goal_kind: NDArray[np.uint8]
    """auction.pacing.Goal; codes.NONE: without a goal, and amount 0."""
    goal_amount: NDArray[np.int64]
    pacing: NDArray[np.uint8]
    """auction.pacing.Mode."""
    no_identity: NDArray[np.uint8]
    """Place in codes.NO_IDENTITY; codes.NONE: as the server is set."""
    package: NDArray[np.uint8]
    """auction.columns.PackageKind; codes.NONE: each ad on its own."""

    def __len__(self) -> int:
        return len(self.line_item_id)


@dataclass(frozen=True, slots=True)
class CampaignColumns:
    """[C] campaigns in the order of their ids; money in their own currency."""

    campaign_id: NDArray[np.int64]
    advertiser: NDArray[np.int32]
    currency: NDArray[np.str_]
    """ISO 4217."""
    daily_budget_micros: NDArray[np.int64]
    lifetime_budget_micros: NDArray[np.int64]
    active: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AdvertiserColumns:
    """[A] advertisers in the order of their ids."""

    advertiser_id: NDArray[np.int64]
    daily_budget_micros: NDArray[np.int64]
    lifetime_budget_micros: NDArray[np.int64]
    """US dollars; UNLIMITED for none."""
    active: NDArray[np.bool_]


class Deal(msgspec.Struct, frozen=True):
    """A private agreement, as the catalogue knows it."""

    id: int
    key: str
    """What requests call it."""
    floor_micros: int
    currency: str = "USD"
    fixed_price: bool = False
    """Who buys in it pays the floor, no more and no less."""
    publisher: str = ""
    seats: tuple[str, ...] = ()
    daily_budget_micros: int | None = None
    lifetime_budget_micros: int | None = None
    active: bool = True


class FloorRule(msgspec.Struct, frozen=True):
    """A floor where all conditions hold: each names what a slot may be."""

    id: int
    conditions: dict[str, tuple[str, ...]]
    floor_micros: int
    currency: str = "USD"


class MarketRows(msgspec.Struct, frozen=True):
    """Deals, rules and rates, small tables that are read whole."""

    deals: tuple[Deal, ...] = ()
    floors: tuple[FloorRule, ...] = ()
    rates_version: int = 0
    per_usd_ppm: dict[str, int] = {}


class CataloguePlacement(msgspec.Struct, frozen=True):
    """A placement as the catalogue knows it."""

    floor_micros: int
    """Per thousand impressions."""
    sizes: tuple[tuple[int, int], ...]
    publisher: str = ""
    bcat: tuple[str, ...] = ()
    badv: tuple[str, ...] = ()


class StoredCreative(msgspec.Struct, frozen=True, array_like=True):
    """What only the page needs of one ad, as creatives.bin holds it."""

    title: str
    category: str
    landing_url: str
    language: str
    template: int
    """0: `markup` is the whole."""
    params: dict[str, str]
    markup: str


class Owner(msgspec.Struct, frozen=True, array_like=True):
    name: str
    domain: str = ""


class Names(msgspec.Struct, frozen=True):
    """Names by id, for the page, for reports and for explaining."""

    advertiser: dict[int, Owner]
    campaign: dict[int, str]


class FileFact(msgspec.Struct, frozen=True):
    sha256: str
    bytes: int


class ModelFact(msgspec.Struct, frozen=True):
    name: str
    version: int
    sha256: str
    """Bundle.tables_sha256: another version that has the same may score this snapshot."""


class Manifest(msgspec.Struct, frozen=True):
    """What a snapshot says of itself; written last."""

    version: int
    created: float
    """Wall seconds."""
    revision: int
    """Of the database; later changes are the overlay's to find."""
    counts: dict[str, int]
    model: ModelFact
    """The only model that may score with this snapshot's tables."""
    feature_schema: str
    files: dict[str, FileFact]
