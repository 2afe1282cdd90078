"""Generated batches in which few ads, advertisers, accounts and labels meet again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auction.columns import LEVELS, PPM, Bids, PackageKind, Rejection, Slots
from auction.settings import AuctionSettings, Mode

MODES = {10: Mode.GUARANTEED, 20: Mode.WEIGHTED}
TIERS = np.array([10, 20, 50, 50, 50, 80], np.uint8)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many of what a generated batch holds, at most."""

    requests: int = 6
    rows: int = 24
    slots: int = 6
    ads: int = 30
    all_rules: bool = False
    """Every optional column, instead of none."""


def crowd(rng: np.random.Generator, shape: Crowd) -> tuple[Bids, Slots]:
    requests = int(rng.integers(1, shape.requests + 1))
    rows = rng.integers(0, shape.rows + 1, requests)
    places = rng.integers(min(1, shape.slots), shape.slots + 1, requests)
    n, total, most = int(rows.sum()), int(places.sum()), int(rng.choice([30, 3000]))
    width = max(1, int(places.max()))
    per_click = rng.random(n) < 0.5
    bids = Bids(
        offset=np.concatenate([[0], rows.cumsum()]).astype(np.int32),
        ad=rng.integers(1, shape.ads, n, dtype=np.int32),
        creative=rng.integers(1, shape.ads, n, dtype=np.int32),
        advertiser=rng.integers(1, 8, n, dtype=np.int32),
        account=some_accounts(rng, n),
        bid_micros=_bids(rng, per_click, most),
        per_click=per_click,
        pctr_ppm=rng.integers(1, rng.choice([10, 100_000]), (n, width)),
        slots=np.where(
            rng.random(n) < 0.5, 2**shape.slots - 1, rng.integers(0, 2 ** (shape.slots + 1), n)
        ).astype(np.uint32),
        rejected=np.where(rng.random(n) < 0.1, Rejection.PAUSED, 0).astype(np.uint8),
    )
    slots = Slots(
        offset=np.concatenate([[0], places.cumsum()]).astype(np.int32),
        floor_micros=rng.integers(0, most * 600, total),
        first_price=rng.random(requests) < 0.1,
        seed=rng.integers(0, 2**63, requests).astype(np.uint64),
    )
    if not shape.all_rules:
        return bids, slots
    return _with_all_rules(rng, bids, most), replace(slots, private=rng.random(total) < 0.1)


def _bids(rng: np.random.Generator, per_click: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    n = len(per_click)
    return np.where(per_click, rng.integers(0, most * 100, n), rng.integers(0, most, n) * 1000)


def _with_all_rules(rng: np.random.Generator, bids: Bids, most: int) -> Bids:
    n = len(bids.ad)
    event = np.where(bids.per_click[:, None], bids.pctr_ppm, PPM)
    quality = rng.integers(100, 10_000, n)[:, None]
    deal = np.where(rng.random(n) < 0.3, rng.integers(0, 5, n), -1).astype(np.int32)
    fixed = (deal >= 0) & (rng.random(n) < 0.3)
    own_floor = np.where((deal >= 0) | (rng.random(n) < 0.1), rng.integers(0, most * 600, n), -1)
    package = _packages(rng, n)
    together = package > 0
    return replace(
        bids,
        advertiser=np.where(together, package, bids.advertiser).astype(np.int32),
        tier=np.where(together, TIERS[package], rng.choice(TIERS, n)),
        share=rng.integers(0, 5, n),
        weight_ppm=np.maximum(1, event * quality // 1000),
        full_bid_micros=bids.bid_micros * rng.integers(1, 4, n),
        deal=deal,
        floor_micros=own_floor,
        reserve_micros=np.where(rng.random(n) < 0.2, rng.integers(0, most * 800, n), 0),
        fixed_price=fixed,
        labels=np.where(rng.random(n) < 0.2, 1 << rng.integers(0, 64, n, np.uint64), 0).astype(
            np.uint64
        ),
        package=package,
        package_kind=np.where(
            rng.random(n) < 0.9, package % len(PackageKind), rng.choice(list(PackageKind), n)
        ).astype(np.uint8),
    )


def _packages(rng: np.random.Generator, n: int) -> NDArray[np.int32]:
    """Six of them: a tier, an advertiser and, but for a few rows, a kind each."""
    number = rng.integers(1, len(TIERS), n)
    return np.where(rng.random(n) < rng.choice([0.0, 0.3, 0.6]), number, 0).astype(np.int32)


def some_accounts(rng: np.random.Generator, n: int) -> NDArray[np.int32]:
    """Of all levels: limits shared by several, limits of none, and unknown ones."""
    numbers = rng.integers(0, 11, (n, LEVELS), dtype=np.int32)
    account = numbers * LEVELS + np.arange(LEVELS, dtype=np.int32)
    return np.where(rng.random((n, LEVELS)) < 0.4, account, -1).astype(np.int32)


def some_money(rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.integers(-3, rng.choice([10, 100, 10**6, 10**9]), 10 * LEVELS)


def some_settings(rng: np.random.Generator, **more: Any) -> AuctionSettings:
    return AuctionSettings(
        increment_micros=int(rng.choice([10_000, 10_000, 0, 1])),
        minimum_floor_micros=int(rng.choice([10_000, 1])),
        advertiser_once=bool(rng.random() < 0.5),
        modes=MODES,
        **more,
    )
