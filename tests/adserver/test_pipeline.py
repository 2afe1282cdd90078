"""Whole decisions in process: the real snapshot, index, auction and ledger; the scorer varies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from catalogue_sample import NOW, Place, fresh_place

from adserver.auctions.recorder import Recorder
from adserver.batcher import Ask
from adserver.catalogue import schema
from adserver.catalogue.snapshot import Snapshot
from adserver.commit import Till, parted_of
from adserver.deadline import Deadline
from adserver.editions import Editions, set_limits
from adserver.encode import with_parents
from adserver.eventlog import EventLog, LogSettings, read
from adserver.features.keeper import Features
from adserver.history import Histories
from adserver.meter import KEYS, Tally
from adserver.money import open_drawer
from adserver.offers import Offers, Pacing
from adserver.pace import Pace
from adserver.pipeline import Pipeline
from adserver.plans import Planner
from adserver.prices import Prices
from adserver.records import DecisionRecord
from adserver.request import AdRequest, Explain, Slot
from adserver.seen import HistorySettings, Shelf
from adserver.settings import Settings
from adserver.state.memory import MemoryStore
from adserver.state.store import StoreFailed
from adserver.tokens import Kind, event_token, signer_of
from adserver.trace import Numbers
from adserver.wire import decision as wire_decision
from auction.books import UNLIMITED
from auction.caps import Cap, Caps, Entity
from auction.columns import PPM, Level, Pricing, Rejection, account_of
from auction.fairness import Exposure
from auction.pacing import Mode, PacingSettings
from auction.settings import AuctionSettings, FairnessSettings
from auction.squash import Squash
from ranking.scorer import FALLBACK, FULL, TRUNCATED, Gone
from ranking.tiers import Ranks
from simulator.traffic import requests
from simulator.world import World

KEY = "a-key-for-tests-only-0123456789"


class DeadScorer:
    """A scorer that is not there."""

    async def score(self, pairs, timeout_s):
        raise Gone("nobody answers")


class System:
    """A pipeline with everything real behind it, and its event log."""

    def __init__(self, folder, clock, scorer=None, **settings):
        place = fresh_place(folder)
        self.settings = Settings(
            adserver_data=folder, database_url=place.url, scorer="local",
            clicks_per_day=100_000, adserver_token_key=KEY, **({"exploration": 0.0} | settings),
        )  # fmt: skip
        self.clock, self.wall = clock, NOW
        editions = Editions(self.settings)
        self.edition = editions.open(NOW)
        asyncio.run(editions.introduce(self.edition))
        self.drawer = open_drawer(self.settings, 0, NOW)
        set_limits(self.edition, self.drawer, NOW)
        self.log = EventLog(folder / "events", 0, lambda: NOW, LogSettings(linger_ms=1))
        self.recorder = Recorder.of(self.settings, 0, lambda: NOW)
        histories = Histories(MemoryStore(), b"x" * 32, HistorySettings.of(self.settings))
        self.features = Features.of(
            self.settings, 0, lambda: NOW, histories.identities, histories.store
        )
        till = Till(0, self.drawer, signer_of(KEY), self.log, 360_000, clock, histories)
        self.pipeline = Pipeline(
            edition=self.edition,
            ranks=Ranks(scorer or editions.scorer, clock),
            till=till,
            histories=histories,
            features=self.features,
            exposure=Exposure(FairnessSettings()),
            numbers=Numbers.of(0, 1),
            settings=self.settings,
            prices=Prices(AuctionSettings(), Squash()),
            clock=clock,
            wall=lambda: self.wall,
            recorder=self.recorder,
        )

    def decide(self, asked, seconds=1.0):
        deadline = Deadline(self.clock() + seconds, self.clock)
        asks = [Ask(request, deadline, self.clock()) for request in asked]
        return asyncio.run(self.pipeline.decide(asks))

    def close(self):
        self.log.close()
        self.recorder.close()
        self.features.close(int(NOW * 1000))
        assert self.features.check() == []
        assert self.drawer.bank.check() == []
        assert self.pipeline.exposure.check() == []


@pytest.fixture
def new_system(tmp_path, clock):
    """Makes systems; proves the ledger and the exposure window of each when the test ends."""
    made = []

    def make(scorer=None, **settings):
        folder = tmp_path / str(len(made))
        made.append(System(folder, clock, scorer, **settings))
        return made[-1]

    yield make
    for system in made:
        system.close()


@pytest.fixture(scope="module")
def pages():
    bodies = requests(World(1), np.random.default_rng(2), 60)
    parsed = [wire_decision.parse(json.dumps(body).encode()) for body in bodies]
    return [replace(page, explain=Explain.SUMMARY) for page in parsed]


def test_every_ad_of_the_catalogue_is_sold_or_has_one_reason(new_system, pages):
    system = new_system()

    for decision in system.decide(pages):
        sold = len({o.sold.creative.ad_id for o in decision.outcomes if o.sold})
        assert sold + sum(decision.funnel.rejected.values()) == len(system.edition.snapshot.ads)


def test_no_price_is_above_the_bid_or_below_the_floor(new_system, pages):
    for decision in new_system().decide(pages):
        for outcome in decision.outcomes:
            if outcome.sold:
                floor = max(outcome.slot.floor_micros, AuctionSettings().minimum_floor_micros)
                assert floor <= outcome.sold.clear_micros + 1 <= outcome.sold.bid_cpm_micros + 1001


def test_a_page_shows_no_ad_and_no_advertiser_twice(new_system, pages):
    for decision in new_system().decide(pages):
        owners = [o.sold.creative.advertiser_id for o in decision.outcomes if o.sold]
        assert len(owners) == len(set(owners))


def test_a_dead_scorer_costs_quality_not_the_page(new_system, pages):
    decisions = new_system(DeadScorer()).decide(pages)

    assert {decision.quality for decision in decisions} == {FALLBACK}
    assert any(outcome.sold for decision in decisions for outcome in decision.outcomes)


def test_no_time_left_means_the_fallback_model_at_once(new_system, pages):
    decisions = new_system().decide(pages[:4], seconds=0.0)

    assert {decision.quality for decision in decisions} == {FALLBACK}


def test_short_time_means_fewer_candidates(new_system, pages):
    system = new_system(candidates=100)
    system.pipeline.seconds_per_row = 1e-4

    decisions = system.decide(pages[:10], seconds=0.046)  # 40 ms of it for 1000 rows of 0.1 ms

    assert {decision.quality for decision in decisions} == {TRUNCATED}
    assert max(decision.funnel.retrieved for decision in decisions) <= 41


def test_enough_time_means_every_candidate(new_system, pages):
    assert {decision.quality for decision in new_system().decide(pages)} == {FULL}


def test_what_is_decided_is_in_the_log(new_system, pages):
    system = new_system()

    decisions = system.decide(pages)
    system.log.close()
    logged = list(read(system.settings.adserver_data / "events"))

    assert all(isinstance(record, DecisionRecord) for record in logged)
    assert [record.id for record in logged] == [decision.id for decision in decisions]
    assert [
        [(slot.ad, slot.clear_micros, slot.reason) for slot in record.slots] for record in logged
    ] == [
        [
            (o.sold.creative.ad_id, o.sold.clear_micros, 0) if o.sold else (0, 0, int(o.reason))
            for o in decision.outcomes
        ]
        for decision in decisions
    ]


def test_reservations_are_the_sum_of_what_was_sold(new_system, pages):
    system = new_system()

    decisions = system.decide(pages)

    sold = [o.sold for decision in decisions for o in decision.outcomes if o.sold]
    expected = np.zeros_like(system.drawer.bank.ledger.held)
    for sale in sold:
        expected[account_of(Level.CAMPAIGN, sale.creative.campaign_id)] += sale.reserved_micros
    assert np.array_equal(system.drawer.bank.ledger.held, expected)


def test_a_campaign_without_money_is_not_shown(new_system, pages):
    system = new_system()
    decisions = system.decide(pages)
    winner = next(o.sold for d in decisions for o in d.outcomes if o.sold).creative.campaign_id

    account = np.array([account_of(Level.CAMPAIGN, winner)])
    system.drawer.limit(account, np.zeros(1, np.int64), np.array([UNLIMITED]), NOW)
    again = system.decide(pages)

    assert winner not in {o.sold.creative.campaign_id for d in again for o in d.outcomes if o.sold}


def test_test_requests_cost_nobody_anything(new_system, pages):
    system = new_system()

    system.decide([replace(page, test=True) for page in pages])

    assert not system.drawer.bank.ledger.held.any()
    assert len(system.drawer.holds) == 0


def priced(system, pricing):
    """Every line item of the system's catalogue pays this way from now on."""
    overlay = system.edition.overlay
    items = replace(overlay.items, pricing=np.full_like(overlay.items.pricing, pricing))
    overlay.terms = replace(overlay.terms, items=items)
    return items


def test_who_pays_by_the_conversion_owes_a_click_over_the_conversion_rate(new_system, pages):
    before = {o.number: o.sold for d in new_system().decide(pages) for o in d.outcomes if o.sold}
    system = new_system()
    items = priced(system, Pricing.CPA)

    after = [o for d in system.decide(pages) for o in d.outcomes if o.sold]

    assert len(after) == len(before) > 0
    for outcome, was in zip(after, before.values(), strict=True):
        sold, row = outcome.sold, np.searchsorted(items.line_item_id, was.creative.line_item_id)
        most = int(system.edition.overlay.event_cost[row])
        per_click = -(-was.charge_micros * 1_000_000 // int(items.pcvr_ppm[row]))
        assert (sold.pricing, sold.charge_micros) == (Pricing.CPA, min(most, per_click))
        token = signer_of(KEY).verify(
            event_token(sold.token, Kind.IMPRESSION), Kind.IMPRESSION, int(NOW * 1000), 1
        )
        assert (token.billable, token.charge_micros) == (Kind.CONVERSION, sold.charge_micros)


def test_who_pays_by_the_viewable_owes_an_impression_over_the_viewable_share(new_system, pages):
    system = new_system()
    priced(system, Pricing.VCPM)
    overlay = system.edition.overlay
    items = overlay.items

    sold = [o.sold for d in system.decide(pages) for o in d.outcomes if o.sold]

    impressions = [one for one in sold if not one.per_click]
    assert impressions
    for one in impressions:
        row = np.searchsorted(items.line_item_id, one.creative.line_item_id)
        impression = one.reserved_micros  # what one is expected to cost
        most = int(overlay.event_cost[row])
        rate = int(overlay.event_rate[row])
        assert one.charge_micros == min(most, -(-impression * 1_000_000 // rate))
        token = signer_of(KEY).verify(
            event_token(one.token, Kind.VIEWABLE), Kind.VIEWABLE, int(NOW * 1000), 1
        )
        assert (token.billable, token.charge_micros) == (Kind.VIEWABLE, one.charge_micros)


def test_who_pays_a_flat_fee_owes_nothing_by_the_event_and_needs_no_reservation(new_system, pages):
    system = new_system()
    priced(system, Pricing.FLAT)

    sold = [o.sold for d in system.decide(pages) for o in d.outcomes if o.sold]

    assert sold
    assert {(each.charge_micros, each.reserved_micros) for each in sold} == {(0, 0)}
    assert min(each.clear_micros for each in sold) > 0
    assert not system.drawer.bank.ledger.held.any()


def test_a_creative_that_the_page_blocks_is_not_shown(new_system, pages):
    page = pages[0]
    system = new_system()
    (before,) = system.decide([page])
    shown = tuple(o.sold.creative.creative_id for o in before.outcomes if o.sold)

    (after,) = system.decide([replace(page, blocked_creatives=shown)])

    assert not {o.sold.creative.creative_id for o in after.outcomes if o.sold} & set(shown)
    assert after.funnel.rejected["CREATIVE_BLOCKED"] >= len(shown)


def test_a_slot_that_nothing_fits_says_so(new_system):
    request = AdRequest(id="odd", slots=(Slot("odd", sizes=((7, 7),)),))

    (decision,) = new_system().decide([request])

    assert decision.outcomes[0].reason is Rejection.NO_CANDIDATE
    assert decision.funnel.rejected["SIZE"] > 0


def test_a_child_category_implies_its_parent_once():
    assert with_parents(["IAB17-3", "IAB17", "IAB17-4"]) == [
        "IAB17-3", "IAB17", "IAB17-4",
    ]  # fmt: skip


def capped_system(new_system, **settings):
    """Each person may see two ads of the whole site in an hour."""
    system = new_system(**settings)
    caps = Caps.of({(Entity.USER, 0): [Cap(2, 3600)]})
    shelf = replace(system.edition.shelf, caps=caps)
    system.pipeline.edition = replace(system.edition, shelf=shelf)
    return system


def test_nobody_is_sold_more_than_the_caps_allow_within_a_page_and_across_pages(new_system, pages):
    system = capped_system(new_system)
    mine = [replace(page, user="ann", page_view="") for page in pages[:20]]

    decisions = [*system.decide(mine), *system.decide(mine)]

    sold = [o for d in decisions for o in d.outcomes if o.sold]
    assert len(sold) == 2
    assert decisions[-1].outcomes[0].reason == Rejection.FREQUENCY
    for decision in decisions:
        ads = len({o.sold.creative.ad_id for o in decision.outcomes if o.sold})
        assert ads + sum(decision.funnel.rejected.values()) == len(system.edition.snapshot.ads)


def test_the_catalogues_own_caps_hold(new_system, pages):
    """Every campaign once an hour, as the database says."""
    system = new_system()
    place = Place(system.settings.adserver_data)
    with place.engine().begin() as connection:
        once = [{"max": 1, "window": "1h"}]
        connection.execute(schema.campaign.update().values(frequency_caps=once))
    place.build()
    shelf = Shelf.of(Snapshot.load(place.snapshots))
    system.pipeline.edition = replace(system.edition, shelf=shelf)

    decisions = system.decide([replace(page, user="ann", page_view="") for page in pages])

    campaigns = [o.sold.creative.campaign_id for d in decisions for o in d.outcomes if o.sold]
    assert len(campaigns) == len(set(campaigns)) > 10


def test_a_sale_refused_at_the_till_costs_its_campaign_nothing(new_system, pages):
    system = capped_system(new_system)

    decisions = system.decide([replace(page, user="ann", page_view="") for page in pages[:20]])

    sold = [o.sold for d in decisions for o in d.outcomes if o.sold]
    assert system.drawer.bank.ledger.held.sum() == sum(each.reserved_micros for each in sold)


class FullHistories:
    """Histories in a store that takes no more."""

    def __init__(self, histories):
        self.look, self.sold = histories.look, 0

    def reserve(self, seen, sales, now_ms):
        self.sold += len(sales.row)
        raise StoreFailed("full")


def test_a_full_store_sells_nothing_and_gives_the_money_back(new_system, pages):
    system = new_system()
    full = FullHistories(system.pipeline.histories)
    system.pipeline.till.histories = full

    with pytest.raises(StoreFailed):
        system.decide(pages[:20])

    assert full.sold > 0
    assert system.drawer.bank.ledger.held.sum() == 0


def test_test_requests_take_no_place_in_a_history(new_system, pages):
    system = capped_system(new_system)
    page = replace(pages[0], user="ann", page_view="pv", test=True)

    system.decide([page] * 5)

    assert system.pipeline.histories.store.scan(b"h1/") == []
    assert system.pipeline.histories.store.scan(b"v1/") == []


def test_a_page_that_asks_slot_by_slot_shows_no_ad_and_no_advertiser_twice(new_system, pages):
    system = new_system()
    calls = [replace(page, user="", page_view="pv", publisher="p") for page in pages[:30]]

    decisions = [one for call in calls for one in system.decide([call])]

    owners = [o.sold.creative.advertiser_id for d in decisions for o in d.outcomes if o.sold]
    assert len(owners) == len(set(owners)) > 10


def test_a_line_item_that_is_held_back_offers_part_of_its_bid(new_system, pages):
    system = new_system()
    items = len(system.edition.snapshot.line_items)
    half = np.full(items, 500_000)
    system.pipeline.offers = Offers(system.edition.version, half, np.zeros(items, np.int64))

    sold = [o.sold for d in system.decide(pages) for o in d.outcomes if o.sold]

    ads = system.edition.snapshot.ads
    full = dict(zip(ads.ad_id.tolist(), system.edition.overlay.bid_micros.tolist(), strict=True))
    assert sold
    for one in sold:
        assert one.bid_micros <= full[one.creative.ad_id] // 2


def test_offers_of_another_snapshot_hold_nobody_back(new_system, pages):
    system = new_system()
    items = len(system.edition.snapshot.line_items)
    least = np.ones(items, np.int64)
    plain = [d.outcomes for d in new_system().decide(pages)]

    system.pipeline.offers = Offers(system.edition.version + 1, least, least)

    assert [d.outcomes for d in system.decide(pages)] == plain


def test_what_is_promised_is_told_to_pacing_and_lowers_the_bids_that_run_ahead(new_system, pages):
    system = new_system()
    pacing = Pacing(Pace(MemoryStore(), 0, PacingSettings()), Planner(Mode.EVEN))
    system.decide(pages)
    steps = system.drawer.bank.tally.take()
    ledger = system.drawer.bank.ledger

    first = pacing.beat(system.edition, NOW, 0, Tally().take())
    second = pacing.beat(system.edition, NOW + 1, len(pages), steps)

    assert int(steps.promised.sum()) == int(ledger.held.sum()) > 0
    assert (first.multiplier_ppm == PPM).all()
    ahead = second.multiplier_ppm < PPM
    sold = set((steps.key // KEYS).tolist())
    assert ahead.any()
    assert set(system.edition.snapshot.line_items.campaign[ahead].tolist()) <= sold


def test_a_package_of_which_one_part_could_not_be_paid_is_taken_back_whole():
    owner, package = np.array([0, 0, 0, 1, 1]), np.array([7, 7, 0, 7, 7], np.int32)
    granted = np.array([True, False, True, True, True])

    assert parted_of(owner, package, granted).tolist() == [True, False, False, False, False]
