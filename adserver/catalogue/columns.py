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
    """As of the build; Overlay.bid_micros has today's."""
    per_click: NDArray[np.bool_]
    active: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ad_id)


@dataclass(frozen=True, slots=True)
class LineItemColumns:
    """[L] line items in the order of their ids."""

    line_item_id: NDArray[np.int64]
    ad_start: NDArray[np.int32]
    """[L + 1] its ads are the rows ad_start[l]:ad_start[l + 1]."""
    campaign: NDArray[np.int32]
    advertiser: NDArray[np.int32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    """Wall seconds; infinite for a flight without end."""
    active: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.line_item_id)


@dataclass(frozen=True, slots=True)
class CampaignColumns:
    """[C] campaigns in the order of their ids."""

    campaign_id: NDArray[np.int64]
    advertiser: NDArray[np.int32]
    daily_budget_micros: NDArray[np.int64]
    active: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AdvertiserColumns:
    """[A] advertisers in the order of their ids."""

    advertiser_id: NDArray[np.int64]
    active: NDArray[np.bool_]


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
