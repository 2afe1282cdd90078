"""Personal reserves between two files: learnt from recorded auctions, asked by the workers.

A key is an advertiser. What is fitted, and why part of it is asked, says `auction.reserves`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.record import AuctionRecord
from adserver.errors import ConfigError
from adserver.prices import NO_RESERVES, Prices
from adserver.settings import Settings
from auction.columns import MILLE, PPM, Bids
from auction.reserves import Reserves, ReserveSettings, fit, reserves

FILE = "reserves.npz"
MOST_BIDS = 5_000_000
"""Bids that are looked at, the first of the sample: more than any fit needs."""


def learn(records: Iterable[AuctionRecord], settings: ReserveSettings) -> Reserves:
    """What to ask of each advertiser that has bid often enough, won or lost."""
    advertiser, cpm, seen = [], [], 0
    for record in records:
        offered = record.bids.rejected == 0
        advertiser.append(record.bids.advertiser[offered].astype(np.int64))
        cpm.append(offered_cpm(record.bids)[offered])
        seen += int(offered.sum())
        if seen >= MOST_BIDS:
            break
    if not seen:
        return Reserves(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return reserves(fit(np.concatenate(advertiser), np.concatenate(cpm)), settings)


def offered_cpm(bids: Bids) -> NDArray[np.int64]:
    """[R] what each row offers per thousand impressions, in the first slot of its page."""
    full = bids.bid_micros if bids.full_bid_micros is None else bids.full_bid_micros
    rate = np.where(bids.per_click, bids.pctr_ppm[:, 0], PPM)
    cpm: NDArray[np.int64] = np.where(bids.per_click, full * rate // MILLE, full)
    return cpm


def save(folder: Path, learnt: Reserves) -> None:
    """All of it or what was there before."""
    draft = folder / f"{FILE}.new"
    with draft.open("wb") as file:
        np.savez(file, key=learnt.key, micros=learnt.micros)
    os.replace(draft, folder / FILE)


def load(folder: Path) -> Reserves:
    """What was learnt last; ConfigError if nothing was."""
    try:
        with np.load(folder / FILE) as columns:
            return Reserves(columns["key"], columns["micros"])
    except FileNotFoundError:
        mistake = f"PERSONAL_RESERVES is on, but {folder / FILE} is missing: adserver reserves fit"
        raise ConfigError([mistake]) from None


def prices_of(settings: Settings) -> Prices:
    """What a worker prices with; ConfigError if reserves are on and none were learnt."""
    reserves = settings.personal_reserves == "on"
    learnt = load(settings.adserver_data) if reserves else NO_RESERVES
    return Prices(settings.auction, settings.squash, learnt)
