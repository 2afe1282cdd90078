"""What a snapshot's folder holds but for the large columns of ads and what models compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adserver.catalogue import offers
from adserver.catalogue.columns import (
    AdColumns,
    AdvertiserColumns,
    CampaignColumns,
    CataloguePlacement,
    LineItemColumns,
    MarketRows,
    Names,
)
from adserver.catalogue.currency import Rates
from adserver.errors import ConfigError
from auction.caps import Caps
from retrieval.targeting import TargetingIndex


@dataclass(frozen=True, slots=True)
class Contents:
    advertisers: AdvertiserColumns
    campaigns: CampaignColumns
    names: Names
    market: MarketRows
    placements: Mapping[str, CataloguePlacement]
    templates: Mapping[int, str]
    line_items: LineItemColumns
    ads: AdColumns
    sizes: tuple[tuple[int, int], ...]
    labels: tuple[str, ...]
    """Label n has bit n of `ads.labels`."""
    caps: Caps
    index: TargetingIndex

    @property
    def counts(self) -> dict[str, int]:
        return {
            "ads": len(self.ads),
            "line_items": len(self.line_items),
            "campaigns": len(self.campaigns.campaign_id),
            "advertisers": len(self.advertisers.advertiser_id),
            "placements": len(self.placements),
        }

    def set_bids(self) -> None:
        """Fill in what the ads bid; ConfigError for a currency without a rate."""
        rate = offers.rates_of(self.campaigns, rates_for(self.market, self.campaigns))
        owner = np.searchsorted(self.campaigns.campaign_id, self.line_items.campaign)
        # the server knows better how many are viewable, and bids anew
        events = offers.event_rates(self.line_items, offers.PRIOR_VIEWABILITY_PPM)
        bid = offers.bids(self.line_items, rate[owner], events)
        self.ads.bid_micros[:] = bid[self.ads.line_item]

    def save(self, folder: Path) -> None:
        for name in ("sizes", "placements", "names", "market", "templates", "labels"):
            (folder / f"{name}.json").write_bytes(msgspec.json.encode(getattr(self, name)))
        for name in ("ads", "line_items"):
            (folder / name).mkdir()
            for column, values in _by_name(getattr(self, name)).items():
                np.save(folder / name / f"{column}.npy", values)
        for name in ("campaigns", "advertisers", "caps"):
            np.savez(folder / f"{name}.npz", **_by_name(getattr(self, name)))
        self.index.save(folder / "targeting")


def rates_for(market: MarketRows, campaigns: CampaignColumns) -> Rates:
    """The rates in force; ConfigError, naming each currency that somebody bids in without one."""
    rates = Rates(market.rates_version, market.per_usd_ppm)
    used = set(campaigns.currency.tolist())
    used |= {deal.currency for deal in market.deals} | {rule.currency for rule in market.floors}
    unknown = sorted(currency for currency in used if not rates.knows(currency))
    if unknown:
        raise ConfigError([f"rates: there is none for {currency}" for currency in unknown])
    return rates


def _by_name(columns: Any) -> dict[str, Any]:
    return {one.name: getattr(columns, one.name) for one in fields(columns)}
