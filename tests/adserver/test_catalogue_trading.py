"""Deals, floors and rates: what is refused, and what reaches a server within a second."""

import pytest
from catalogue_sample import NOW, Place, fresh_place
from typer.testing import CliRunner

from adserver.catalogue import operations, schema, trading
from adserver.catalogue.columns import FloorRule
from adserver.catalogue.currency import Rates
from adserver.catalogue.floors import Floors, SlotKind
from adserver.catalogue.learning import learn_conversions
from adserver.catalogue.overlay import Overlay
from adserver.catalogue.sample import create_sample
from adserver.catalogue.snapshot import Snapshot
from adserver.catalogue.trading import NewDeal
from adserver.cli_catalog import app
from adserver.errors import ConfigError
from adserver.records import ClickRecord, ConversionRecord, Filter
from auction.books import UNLIMITED
from auction.columns import STANDARD_TIER, Level, Pricing, account_of

EUR = {"EUR": 920_000}
TOP = SlotKind("pub-1", "top", "DEU", "phone", ((300, 250), (728, 90)), 8)


@pytest.fixture
def place(tmp_path) -> Place:
    return fresh_place(tmp_path)


@pytest.fixture
def engine(place):
    engine = place.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def overlay(place, engine):
    return Overlay(Snapshot.load(place.snapshots), engine, NOW)


def test_a_deal_is_known_within_a_poll(engine, overlay):
    trading.set_rates(engine, EUR)
    number = trading.add_deal(engine, NewDeal("gold", 920_001, "EUR", fixed_price=True))
    operations.set_budget(engine, "deal", number, 5_000_000, "lifetime")

    overlay.refresh(NOW, None)

    deal = overlay.market.deals["gold"]
    assert overlay.market.deal_floor(deal) == 1_000_002  # rounded up
    limits = overlay.limits
    at = limits.account.tolist().index(account_of(Level.DEAL, number))
    assert (limits.daily_micros[at], limits.lifetime_micros[at]) == (UNLIMITED, 5_434_782)


def test_new_rates_convert_bids_down_and_name_their_version(engine, overlay):
    campaign = int(overlay.items.campaign[0])
    with engine.begin() as connection:
        number = operations.next_revision(connection)
        values = {"currency": "EUR", "daily_budget_micros": 100}
        rows = schema.campaign.c.id == campaign
        connection.execute(schema.campaign.update().where(rows).values(**values))
        operations.note(connection, number, "campaign", campaign)
        connection.execute(schema.rate.insert().values(version=7, currency="EUR", per_usd_ppm=3))
        operations.note(connection, number + 1, "rate", 7)
        operations.next_revision(connection)

    overlay.refresh(NOW, None)

    assert overlay.market.rates.version == 7
    assert overlay.budget[campaign] == 100 * 1_000_000 // 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda e: trading.add_deal(e, NewDeal("a b")), "key: 'a b'"),
        (lambda e: trading.add_deal(e, NewDeal("a", -1)), "floor: -1"),
        (lambda e: trading.add_deal(e, NewDeal("a", fixed_price=True)), "a fixed price is not 0"),
        (lambda e: trading.add_deal(e, NewDeal("a", 1, "XYZ")), "currency: 'XYZ'"),
        (lambda e: trading.set_rates(e, {"EUR": 0}), "rates: EUR"),
        (lambda e: trading.set_rates(e, {"EUR": 9 * 10**12 + 1}), "rates: EUR"),
        (lambda e: trading.set_rates(e, {"euro": 1}), "'euro' is not a currency"),
        (lambda e: trading.add_floor_rule(e, {"moon": ["full"]}, 1), "conditions.moon"),
        (lambda e: trading.add_floor_rule(e, {"size": ["wide"]}, 1), "conditions.size: 'wide'"),
        (lambda e: trading.add_floor_rule(e, {"country": []}, 1), "conditions.country: has 0"),
        (lambda e: trading.remove_floor_rule(e, 5), "floor_rule: there is none with id 5"),
        (lambda e: operations.set_tier(e, 1, 0), "tier: 0"),
        (lambda e: operations.set_tier(e, 1, 101), "tier: 101"),
        (lambda e: operations.set_quality(e, 1, 99_999), "quality: 99999"),
        (lambda e: operations.set_goal(e, 1, "fame", 3), "goal: 'fame'"),
        (lambda e: operations.set_goal(e, 1, "clicks", 0), "goal: 0"),
        (lambda e: operations.set_pacing(e, 1, "slowly"), "pacing: 'slowly'"),
        (lambda e: operations.set_caps(e, "ad", 1, [{"max": 0, "window": "1h"}]), "caps: "),
        (lambda e: operations.set_caps(e, "ad", 1, [{"max": 1, "window": "ever"}]), "'ever'"),
        (lambda e: operations.set_budget(e, "ad", 1, 5), "level: 'ad'"),
        (lambda e: operations.set_budget(e, "campaign", 1, None), "always has a daily one"),
        (lambda e: operations.set_budget(e, "deal", 1, 1, "weekly"), "'weekly'"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_and_leaves_no_trace(change, named, engine):
    before = operations.summary(engine)

    with pytest.raises(ConfigError) as refusal:
        change(engine)

    assert any(named in mistake for mistake in refusal.value.mistakes), refusal.value.mistakes
    assert operations.summary(engine) == before


def test_a_currency_in_use_cannot_lose_its_rate(engine):
    trading.set_rates(engine, EUR)
    trading.add_deal(engine, NewDeal("gold", 1, "EUR"))

    with pytest.raises(ConfigError, match="EUR is left out"):
        trading.set_rates(engine, {"GBP": 790_000})


def test_what_changes_of_a_line_item_is_known_within_a_poll(engine, overlay):
    number = int(overlay.items.line_item_id[3])
    operations.set_tier(engine, number, 12, share=7)
    operations.set_quality(engine, number, 2_000_000)
    operations.set_goal(engine, number, "clicks", 500)
    operations.set_pacing(engine, number, "asap")
    operations.set_budget(engine, "line_item", number, 0, "lifetime")
    before = overlay.items

    overlay.refresh(NOW, None)

    items = overlay.items
    found = (items.tier[3], items.share[3], items.quality_ppm[3], items.goal_amount[3])
    assert found == (12, 7, 2_000_000, 500)
    assert before.tier[3] != 12
    assert not int(overlay.live.line_item[0]) >> 3 & 1  # it may spend nothing


@pytest.mark.parametrize(
    ("price", "viewability", "bid"),
    [(5_000_000, 600_000, 3_000_000), (7_001_000, 333_333, 2_333_000), (1_000, 1, 1_000)],
)
def test_a_viewable_bid_is_the_part_of_its_price_that_is_expected_to_be_paid(
    place, engine, price, viewability, bid
):
    """On the auction's scale: per thousand impressions, down to a multiple of 1000, never 0."""
    snapshot = Snapshot.load(place.snapshots)
    number = int(snapshot.line_items.line_item_id[3])
    with engine.begin() as connection:
        rows = schema.line_item.c.id == number
        values = {"pricing": "vcpm", "bid_micros": price}
        connection.execute(schema.line_item.update().where(rows).values(**values))
        operations.note(connection, operations.next_revision(connection), "line_item", number)

    overlay = Overlay(snapshot, engine, NOW, viewability)

    ads = slice(*snapshot.line_items.ad_start[3:5].tolist())
    assert set(overlay.bid_micros[ads].tolist()) == {bid}
    assert (overlay.event_cost[3], overlay.event_rate[3]) == (price // 1000, viewability)
    with pytest.raises(ConfigError, match="not a multiple of 1000"):
        operations.set_bid(engine, number, 1_234)


def test_of_all_floor_rules_that_hold_the_strictest_counts():
    rules = [
        FloorRule(1, {"country": ("DEU",)}, 100),
        FloorRule(2, {"size": ("728x90",), "publisher": ("pub-1", "pub-2")}, 300),
        FloorRule(3, {"size": ("728x90",), "device": ("tv",)}, 900),
        FloorRule(4, {"hours": ("mon 08-09",)}, 100, "EUR"),
    ]
    floors = Floors(rules, Rates(1, {"EUR": 300_000}))

    assert floors.micros(TOP) == 334  # 100 at three tenths to the dollar, rounded up
    assert floors.micros(TOP._replace(hour_of_week=9)) == 300
    assert floors.micros(TOP._replace(publisher="", hour_of_week=9)) == 100
    assert floors.micros(TOP._replace(publisher="", country="", hour_of_week=9)) == 0


def test_every_command_can_be_given(place, monkeypatch):
    monkeypatch.setenv("ADSERVER_DATA", str(place.folder))
    monkeypatch.setenv("DATABASE_URL", place.url)
    run = CliRunner()

    for words in (
        "rates set EUR=0.92 GBP=0.79",
        "rates show",
        "deal create gold 1000000 --currency EUR --fixed --seat s1",
        "deal list",
        'floor add {"device":["phone"]} 500000',
        "floor list",
        "floor remove 1",
        "budget advertiser 1 9000000 --period lifetime",
        "budget advertiser 1 --period lifetime --unlimited",
        "tier 1 20 --share 3",
        "quality 1 500000",
        "goal 1 impressions 1000",
        "goal 1 none",
        "pacing 1 front_loaded",
        'caps line_item 1 [{"max":3,"window":"day"}]',
        "conversions",
        "pause deal 1",
        "show deal 1",
    ):
        done = run.invoke(app, words.split(" "))
        assert done.exit_code == 0, (words, done.output)


def test_a_conversion_bid_follows_what_the_log_counted(engine, overlay):
    number = int(overlay.items.line_item_id[2])
    with engine.begin() as connection:
        values = {"pricing": "cpa", "bid_micros": 5_000_000}
        cpa = schema.line_item.c.id == number
        connection.execute(schema.line_item.update().where(cpa).values(**values))
    clicks = [ClickRecord(t=1, code=Filter.OK, line_item=number) for _ in range(200)]
    sold = [ConversionRecord(t=2, code=Filter.OK, line_item=number) for _ in range(10)]
    other = [ClickRecord(t=1, code=Filter.EXPIRED, line_item=number)]

    assert learn_conversions(engine, [*clicks, *sold, *other]) == 1
    overlay.refresh(NOW, None)

    assert overlay.items.pcvr_ppm[2] == 30_000  # half of one in a hundred, half of its own
    assert overlay.bid_micros[overlay.items.ad_start[2]] == 150_000


def test_a_mixed_sample_is_built_and_mostly_standard(tmp_path):
    place = Place(tmp_path)
    create_sample(place.url, 10_000, NOW, mixed=True)
    place.build()

    snapshot = Snapshot.load(place.snapshots)

    items = snapshot.line_items
    assert set(items.pricing.tolist()) == set(Pricing)
    assert (items.tier == STANDARD_TIER).mean() > 0.95
    assert (items.tier < STANDARD_TIER).mean() < 0.005
    assert {"EUR", "GBP", "USD"} == set(snapshot.campaigns.currency.tolist())
    assert snapshot.caps
    assert snapshot.ads.labels.any()
    assert (items.deal > 0).any()
    assert (snapshot.ads.bid_micros > 0).all()
