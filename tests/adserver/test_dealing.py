"""Who may buy in the deals of a request, and on what terms; held on a built catalogue."""

from dataclasses import replace

import numpy as np
import pytest
from catalogue_sample import NOW, fresh_place

from adserver.catalogue import trading
from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.schema import line_item
from adserver.catalogue.trading import NewDeal
from adserver.columns import bids_of, within_terms
from adserver.dealing import dealing
from adserver.editions import Editions
from adserver.encode import Asked, encode
from adserver.prices import Prices
from adserver.request import AdRequest, OfferedDeal, Slot
from adserver.settings import Settings
from auction.columns import Rejection
from auction.settings import AuctionSettings
from auction.squash import Squash

SIZES = ((300, 250), (728, 90), (320, 50), (160, 600))
SLOTS = (Slot("a", sizes=SIZES), Slot("b", sizes=SIZES))


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """Every third line item is tied to the deal `gold`, all others are packages of companions."""
    place = fresh_place(tmp_path_factory.mktemp("deals"))
    engine = place.engine()
    number = trading.add_deal(
        engine, NewDeal("gold", 2_000_000, publisher="pub-1", seats=("s1", "s2"))
    )
    with engine.begin() as connection:
        tied = line_item.c.id % 3 == 0
        connection.execute(line_item.update().where(tied).values(deal_id=number))
        connection.execute(line_item.update().where(~tied).values(package="set"))
        connection.execute(line_item.update().values(quality_ppm=500_000))
    engine.dispose()
    settings = Settings(adserver_data=place.folder, database_url=place.url, scorer="local")
    build_snapshot(settings.database, settings.snapshots, settings.bundle, NOW)
    return Editions(settings).open(NOW)


def offered(edition, request, logit=-4.0):
    """Bids for the request, with the codes of what may not buy."""
    encoded = encode(Asked.by_strangers([request], [1]), edition, NOW, 1)
    candidates = edition.retriever.retrieve(encoded.queries, edition.overlay.live, 200)
    none = np.zeros(len(candidates.ad), np.uint8)
    deals = dealing(candidates, encoded.deals, edition)
    rejected = within_terms(none, candidates, deals, encoded, edition)
    odds = np.full((len(none), len(request.slots)), logit, np.float32) + encoded.slot_bias
    bids = bids_of(candidates, odds, rejected, deals, edition)
    return Prices(AuctionSettings(), Squash()).weighed(bids, edition)


def with_deals(*deals):
    slots = (SLOTS[0], replace(SLOTS[1], deals=deals))
    return AdRequest("r", slots, publisher="pub-1", country="USA", complete=True)


def test_a_line_item_buys_in_its_deal_alone_and_only_where_it_is_offered(edition):
    bids = offered(edition, with_deals(OfferedDeal("gold", 3_000_000, fixed_price=True)))

    tied = bids.deal >= 0
    assert tied.any()
    assert not tied.all()
    assert not bids.rejected.any()
    assert set(bids.slots[tied].tolist()) == {2}
    assert set(bids.floor_micros[tied].tolist()) == {3_000_000}
    assert bids.fixed_price[tied].all()
    assert (bids.floor_micros[~tied] == -1).all()


def test_the_stricter_floor_of_catalogue_and_request_counts(edition):
    bids = offered(edition, with_deals(OfferedDeal("gold", 1)))

    assert set(bids.floor_micros[bids.deal >= 0].tolist()) == {2_000_000}


@pytest.mark.parametrize(
    "request_",
    [
        with_deals(),
        with_deals(OfferedDeal("silver")),
        with_deals(OfferedDeal("gold", seats=("s9",))),
        with_deals(OfferedDeal("gold", domains=("nobody.example",))),
        replace(with_deals(OfferedDeal("gold")), publisher="pub-2"),
    ],
)
def test_who_is_in_no_offered_deal_is_let_go_before_it_costs_a_score(edition, request_):
    bids = offered(edition, request_)

    assert (bids.rejected[bids.deal >= 0] == Rejection.NOT_IN_DEAL).all()
    assert (bids.rejected[bids.deal < 0] == 0).all()


def test_a_package_needs_a_request_that_has_its_whole_page(edition):
    bids = offered(edition, replace(with_deals(), complete=False))

    assert (bids.rejected[bids.package > 0] == Rejection.ROADBLOCK).all()
    assert (bids.package > 0).any()


def test_quality_weighs_each_rate_and_never_down_to_nothing(edition):
    bids = offered(edition, with_deals())
    rate = np.where(bids.per_click[:, None], bids.pctr_ppm, 1_000_000)

    assert np.array_equal(bids.weight_ppm, np.maximum(1, (rate + 1) // 2))
