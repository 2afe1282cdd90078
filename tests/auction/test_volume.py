"""The rules of each mechanism on 100 000 generated auctions, with every optional column.

They go through the compiled auction in batches; that it is the plain one to the last micro is held
in `test_properties` on some 20 000 pages, for the plain one is slow.

Not among the rules: that a higher floor never lowers the price. Once quality is not 1 it may: the
floor is money, and can remove a rival of low bid and high quality that set the price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from auction_crowd import MODES, Crowd, crowd
from auction_market import RICH
from numpy.typing import NDArray

from auction.columns import LEVELS, MILLE, PPM, Bids, Slate, Slots
from auction.mechanism import run_auction
from auction.settings import GSP, VCG, AuctionSettings, Mode

AUCTIONS = 100_000
BATCH = 5_000
MECHANISMS = {
    "gsp, one slot": (GSP, 1, False),
    "gsp, several slots": (GSP, 4, False),
    "first price": (GSP, 4, True),
    "vcg": (VCG, 3, False),
}


@pytest.fixture(params=list(MECHANISMS), ids=lambda name: name.replace(", ", "-"))
def mechanism(request):
    return MECHANISMS[request.param]


def test_every_rule_holds_on_100_000_auctions(mechanism):
    kind, most, first_price = mechanism
    settings = AuctionSettings(mechanism=kind, modes=MODES)
    auctions = sold = 0
    for bids, slots in batches(most, first_price):
        slate = run_auction(bids, slots, None, RICH, settings)

        won = np.flatnonzero(slate.winner >= 0)
        assert_prices(bids, slots, slate, won, settings)
        assert_raised_bids_keep_their_price(bids, slots, settings)
        assert_order_does_not_matter(bids, slots, slate, settings)
        auctions, sold = auctions + len(slots.seed), sold + len(won)
    assert auctions >= AUCTIONS
    assert sold > AUCTIONS / 2


def batches(most: int, first_price: bool) -> Iterator[tuple[Bids, Slots]]:
    """Ads have a row each, as in a catalogue, accounts are rich, and a package is of one kind."""
    rng = np.random.default_rng(11)
    auctions = 0
    while auctions < AUCTIONS:
        bids, slots = crowd(rng, Crowd(requests=BATCH, rows=8, slots=most, all_rules=True))
        rows = len(bids.ad)
        bids = replace(
            bids,
            ad=np.arange(rows, dtype=np.int32),
            account=np.full((rows, LEVELS), -1, np.int32),
            package_kind=(bids.package % 3).astype(np.uint8),
        )
        slots = replace(slots, first_price=np.full(len(slots.seed), first_price))
        auctions += len(slots.seed)
        yield bids, slots


def place(slots: Slots) -> NDArray[np.int64]:
    """[T] each slot's number on its page."""
    owner = np.repeat(np.arange(len(slots.seed)), np.diff(slots.offset))
    return np.arange(len(owner)) - slots.offset[owner]


def assert_prices(
    bids: Bids, slots: Slots, slate: Slate, won: NDArray[np.int64], settings: AuctionSettings
) -> None:
    """Floor <= price <= bid; fixed prices, contracts, draws and first prices to the micro."""
    row = slate.winner[won]
    charge = slate.charge_micros[won]
    event = np.where(bids.per_click[row], bids.pctr_ppm[row, place(slots)[won]], PPM)
    unit = np.where(bids.per_click[row], bids.bid_micros[row], bids.bid_micros[row] // MILLE)
    floor = np.where(bids.floor_micros[row] >= 0, bids.floor_micros[row], slots.floor_micros[won])
    fixed = bids.fixed_price[row]
    floor = np.maximum(floor, np.where(fixed, 0, bids.reserve_micros[row]))
    floor = np.maximum(floor, settings.minimum_floor_micros)
    least = -(-floor * MILLE // event)
    assert (least <= charge).all()
    assert (charge <= unit).all()
    assert (charge[fixed] == least[fixed]).all()
    own = ~fixed & (np.isin(bids.tier[row], list(MODES)) | slots.first_price[0])
    assert (charge[own] == unit[own]).all()
    assert (bids.slots[row] >> place(slots)[won] & 1 != 0).all()
    assert not (slots.private[won] & (bids.deal[row] < 0)).any()


def assert_raised_bids_keep_their_price(
    bids: Bids, slots: Slots, settings: AuctionSettings
) -> None:
    """One winner of each page bids twice as much: it stays on the page, and pays in the same slot
    what it paid, unless that was its whole bid.

    Without packages. Of tiers with an auction, and not of several slots sold one after the other:
    sooner sold, the winner meets other rivals.
    """
    bids = replace(bids, package=None, package_kind=None)
    slate = run_auction(bids, slots, None, RICH, settings)
    won = np.flatnonzero(slate.winner >= 0)
    owner = np.repeat(np.arange(len(slots.seed)), np.diff(slots.offset))
    _, first = np.unique(owner[won], return_index=True)
    chosen = won[first]
    row = slate.winner[chosen]
    more = bids.bid_micros.copy()
    more[row] *= 2
    again = run_auction(replace(bids, bid_micros=more), slots, None, RICH, settings)

    assert np.isin(row, again.winner).all(), "a raised bid left the page"
    auctioned = ~np.isin(bids.tier[row], [t for t, m in MODES.items() if m is not Mode.AUCTION])
    single = len(slots.seed) == len(slots.floor_micros)
    if single:
        assert (again.winner[chosen] == row).all()
    if slots.first_price[0] or not (single or settings.mechanism == VCG):
        return
    unit = np.where(bids.per_click[row], bids.bid_micros[row], bids.bid_micros[row] // MILLE)
    cut = slate.charge_micros[chosen] == unit
    same = auctioned & (again.winner[chosen] == row) & ~cut
    assert (again.charge_micros[chosen][same] == slate.charge_micros[chosen][same]).all()


def assert_order_does_not_matter(
    bids: Bids, slots: Slots, slate: Slate, settings: AuctionSettings
) -> None:
    """Each page's rows backwards: the same ads win, at the same prices, for the same reasons."""
    start = np.repeat(bids.offset[:-1], np.diff(bids.offset))
    end = np.repeat(bids.offset[1:], np.diff(bids.offset))
    order = start + end - 1 - np.arange(len(bids.ad))
    names = [name for name in Bids.__slots__ if name != "offset"]
    turned = replace(bids, **{name: getattr(bids, name)[order] for name in names})
    again = run_auction(turned, slots, None, RICH, settings)

    assert (again.rejected == slate.rejected[order]).all()
    assert (np.where(again.winner >= 0, order[again.winner], -1) == slate.winner).all()
    assert (again.charge_micros == slate.charge_micros).all()
    assert (again.reason == slate.reason).all()
