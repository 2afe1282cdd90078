"""Markets small enough to write down, and the rules that every sale in them must obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray

from auction.columns import (
    LEVELS,
    MILLE,
    PPM,
    STANDARD_TIER,
    Bids,
    Level,
    PackageKind,
    Rejection,
    Slate,
    Slots,
    account_of,
)
from auction.settings import AuctionSettings, Mode

CALM = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason to fail a property."""
RICH = np.full(64 * LEVELS, 10**12, np.int64)
"""Money for every account that a small market can name."""


@dataclass(frozen=True, slots=True)
class Ad:
    ad: int
    advertiser: int
    bid: int
    """Micros per click where `ppm` is given, else per thousand impressions."""
    ppm: tuple[int, ...] = ()
    """Click rate per slot; the last one holds for the slots beyond."""
    campaign: int = 1
    creative: int = 0
    """0: one of its own."""
    slots: int = 2**20 - 1
    rejected: int = 0
    deal: int = -1
    """Its budget is an account of its own."""
    tier: int = STANDARD_TIER
    share: int = 1
    weight: tuple[int, ...] = ()
    """Rank per micro of bid, per slot; none: the event rate."""
    full_bid: int = -1
    floor: int = -1
    reserve: int = 0
    fixed: bool = False
    labels: int = 0
    package: int = 0
    kind: PackageKind = PackageKind.ALL


@dataclass(frozen=True, slots=True)
class Request:
    ads: tuple[Ad, ...]
    floors: tuple[int, ...] = (0,)
    first_price: bool = False
    seed: int = 1
    private: tuple[bool, ...] = ()


OPTIONAL = {
    "deal": ("deal", np.int32),
    "tier": ("tier", np.uint8),
    "share": ("share", np.int64),
    "full_bid_micros": ("full_bid", np.int64),
    "floor_micros": ("floor", np.int64),
    "reserve_micros": ("reserve", np.int64),
    "fixed_price": ("fixed", np.bool_),
    "labels": ("labels", np.uint64),
    "package": ("package", np.int32),
    "package_kind": ("kind", np.uint8),
}
"""Column of Bids: field of Ad, dtype."""


def columns(requests: Sequence[Request]) -> tuple[Bids, Slots]:
    """The requests as one batch."""
    width = max((len(request.floors) for request in requests), default=0)
    ads = [ad for request in requests for ad in request.ads]
    return Bids(
        offset=_offsets([len(request.ads) for request in requests]),
        ad=np.array([ad.ad for ad in ads], np.int32),
        creative=np.array([ad.creative or 1000 + ad.ad for ad in ads], np.int32),
        advertiser=np.array([ad.advertiser for ad in ads], np.int32),
        account=np.array([accounts(ad) for ad in ads], np.int32).reshape(len(ads), LEVELS),
        bid_micros=np.array([ad.bid for ad in ads], np.int64),
        per_click=np.array([bool(ad.ppm) for ad in ads], np.bool_),
        pctr_ppm=np.array([_rates(ad.ppm or (1,), width) for ad in ads], np.int64).reshape(
            len(ads), width
        ),
        slots=np.array([ad.slots for ad in ads], np.uint32),
        rejected=np.array([ad.rejected for ad in ads], np.uint8),
        **optional_columns(ads, width),
    ), Slots(
        offset=_offsets([len(request.floors) for request in requests]),
        floor_micros=np.array([f for request in requests for f in request.floors], np.int64),
        first_price=np.array([request.first_price for request in requests], np.bool_),
        seed=np.array([request.seed for request in requests], np.uint64),
        private=private_slots(requests),
    )


def private_slots(requests: Sequence[Request]) -> NDArray[np.bool_] | None:
    if not any(request.private for request in requests):
        return None
    each = [request.private or (False,) * len(request.floors) for request in requests]
    return np.array([private for page in each for private in page], np.bool_)


def optional_columns(ads: Sequence[Ad], width: int) -> dict[str, NDArray[Any]]:
    """Only those in which some ad asks for something: absence is a case of its own."""
    default = Ad(ad=0, advertiser=0, bid=0)
    found: dict[str, NDArray[Any]] = {}
    for column, (name, dtype) in OPTIONAL.items():
        if any(getattr(ad, name) != getattr(default, name) for ad in ads):
            found[column] = np.array([_asked(ad, name) for ad in ads], dtype)
    if any(ad.weight for ad in ads):
        rates = [_rates(ad.weight or ad.ppm or (PPM,), width) for ad in ads]
        found["weight_ppm"] = np.array(rates, np.int64).reshape(len(ads), width)
    return found


def _asked(ad: Ad, name: str) -> Any:
    value = getattr(ad, name)
    return ad.bid if name == "full_bid" and value < 0 else value


def accounts(ad: Ad) -> list[int]:
    """Of a campaign, and of a deal if it has one."""
    deal = account_of(Level.DEAL, ad.deal) if ad.deal >= 0 else -1
    return [-1, account_of(Level.CAMPAIGN, ad.campaign), -1, deal]


def by_account(campaign_micros: NDArray[np.int64]) -> NDArray[np.int64]:
    """Money by account, of campaigns only."""
    micros = np.zeros(len(campaign_micros) * LEVELS, np.int64)
    micros[Level.CAMPAIGN :: LEVELS] = campaign_micros
    return micros


def _offsets(sizes: Sequence[int]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _rates(rates: tuple[int, ...], width: int) -> list[int]:
    return [rates[min(slot, len(rates) - 1)] for slot in range(width)]


def with_bid(request: Request, position: int, bid: int) -> Request:
    """The same request with another bid of one ad."""
    ads = list(request.ads)
    ads[position] = replace(ads[position], bid=bid)
    return replace(request, ads=tuple(ads))


def as_dict(slate: Slate) -> dict[str, list[int]]:
    """What was sold and why not, comparable to the last field; without the terms of fairness."""
    columns = asdict(slate).items()
    return {
        name: column.tolist()
        for name, column in columns
        if column is not None and name not in {"dual", "room"}
    }


def event_rate(bids: Bids, row: int, slot: int) -> int:
    """Billable events of a million impressions."""
    return int(bids.pctr_ppm[row, slot]) if bids.per_click[row] else PPM


def unit(bids: Bids, row: int) -> int:
    """Bid for one billable event."""
    bid = int(bids.bid_micros[row])
    return bid if bids.per_click[row] else bid // MILLE


def floor_of(bids: Bids, slots: Slots, row: int, t: int, settings: AuctionSettings) -> int:
    """What the row must bid for the slot at least, per thousand impressions."""
    floor = int(slots.floor_micros[t])
    if bids.floor_micros is not None and bids.floor_micros[row] >= 0:
        floor = int(bids.floor_micros[row])
    if bids.reserve_micros is not None and not is_fixed(bids, row):
        floor = max(floor, int(bids.reserve_micros[row]))
    return max(floor, settings.minimum_floor_micros)


def is_fixed(bids: Bids, row: int) -> bool:
    return bids.fixed_price is not None and bool(bids.fixed_price[row])


def assert_the_rules_hold(
    bids: Bids,
    slots: Slots,
    slate: Slate,
    remaining: NDArray[np.int64],
    settings: AuctionSettings,
) -> None:
    """What is true of any auction whatever was offered."""
    for request in range(len(slots.seed)):
        rows = slice(int(bids.offset[request]), int(bids.offset[request + 1]))
        page = slice(int(slots.offset[request]), int(slots.offset[request + 1]))
        _assert_page(bids, slate, rows, page, settings)
        for t in range(page.start, page.stop):
            if slate.winner[t] >= 0:
                _assert_price(bids, slots, slate, t, request, settings)
    spent = np.zeros(len(remaining), np.int64)
    sold = slate.winner >= 0
    for account in bids.account[slate.winner[sold]].T:
        np.add.at(spent, account[account >= 0], slate.cost_micros[sold][account >= 0])
    assert (spent <= np.maximum(remaining, 0)).all()


def _assert_page(
    bids: Bids, slate: Slate, rows: slice, page: slice, settings: AuctionSettings
) -> None:
    winners = slate.winner[page][slate.winner[page] >= 0]
    won = np.flatnonzero(slate.rejected[rows] == Rejection.WON) + rows.start
    assert sorted(winners.tolist()) == won.tolist(), "retrieved = sold + rejected"
    assert set(slate.rejected[rows].tolist()) <= set(map(int, Rejection))
    assert ((slate.winner[page] >= 0) == (slate.reason[page] == Rejection.WON)).all()
    for column in (bids.ad, bids.creative):
        assert len(set(column[winners].tolist())) == len(winners), "an ad twice on a page"
    single = winners if bids.package is None else winners[bids.package[winners] == 0]
    if settings.advertiser_once:
        assert len(set(bids.advertiser[single].tolist())) == len(single)
    if bids.labels is not None:
        labels = bids.labels[single]
        assert labels.sum() == np.bitwise_or.reduce(labels), "competitors on one page"
    refused = bids.rejected[rows] != 0
    assert (slate.rejected[rows][refused] == bids.rejected[rows][refused]).all()


def _assert_price(
    bids: Bids, slots: Slots, slate: Slate, t: int, request: int, settings: AuctionSettings
) -> None:
    row, slot = int(slate.winner[t]), t - int(slots.offset[request])
    floor = floor_of(bids, slots, row, t, settings)
    charge, event = int(slate.charge_micros[t]), event_rate(bids, row, slot)
    assert int(bids.slots[row]) >> slot & 1, "a slot that the ad does not fit"
    assert floor * MILLE <= charge * event <= unit(bids, row) * event, "floor <= price <= bid"
    assert slate.clear_micros[t] >= floor // MILLE * MILLE
    if is_fixed(bids, row):
        assert charge == -(-floor * MILLE // event), "a fixed price is the floor"
    elif slots.first_price[request] or mode_of(bids, row, settings) is not Mode.AUCTION:
        assert charge == unit(bids, row)
    other = int(slate.runner_up[t])
    assert other < 0 or bids.advertiser[other] != bids.advertiser[row]


def mode_of(bids: Bids, row: int, settings: AuctionSettings) -> Mode:
    tier = STANDARD_TIER if bids.tier is None else int(bids.tier[row])
    return settings.modes.get(tier, Mode.AUCTION)
