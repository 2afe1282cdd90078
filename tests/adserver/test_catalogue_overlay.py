"""Changes take effect at the next refresh, and arrays already handed out never change."""

import numpy as np
import pytest
from catalogue_sample import NOW
from sqlalchemy import text

from adserver.catalogue import operations, schema
from adserver.catalogue.overlay import Overlay, packed
from adserver.catalogue.snapshot import Snapshot
from adserver.errors import ConfigError
from auction.books import UNLIMITED
from auction.columns import LEVELS, Level, account_of
from ranking.table import AdTable

DAY_S = 86_400.0


@pytest.fixture
def snapshot(place):
    return Snapshot.load(place.snapshots)


@pytest.fixture
def overlay(snapshot, engine):
    return Overlay(snapshot, engine, NOW)


def running(overlay, snapshot):
    """[L] the line items whose bit is set."""
    bits = np.unpackbits(overlay.live.line_item.view(np.uint8), bitorder="little")
    return bits[: len(snapshot.line_items)].astype(bool)


def by_account(campaign_micros):
    """Money by account, of campaigns only; the rest is unlimited."""
    money = np.full(LEVELS * len(campaign_micros), UNLIMITED)
    money[Level.CAMPAIGN :: LEVELS] = campaign_micros
    return money


def a_running_line_item(overlay, snapshot):
    counts = np.diff(snapshot.line_items.ad_start)
    return int(np.flatnonzero(running(overlay, snapshot) & (counts > 1))[0])


def test_a_line_item_runs_in_its_flight(overlay, snapshot):
    items = snapshot.line_items

    assert np.array_equal(running(overlay, snapshot), (items.start_s <= NOW) & (items.end_s > NOW))
    assert 0.9 < running(overlay, snapshot).mean() < 1.0


def test_a_flight_begins_and_ends_by_the_clock(overlay, snapshot):
    items = snapshot.line_items
    future = int(np.flatnonzero(items.start_s > NOW)[0])
    ending = int(np.flatnonzero(np.isfinite(items.end_s) & (items.end_s > NOW))[0])

    overlay.refresh(float(items.start_s[future]), None)
    assert running(overlay, snapshot)[future]
    overlay.refresh(float(items.end_s[ending]), None)
    assert not running(overlay, snapshot)[ending]


@pytest.mark.parametrize("level", ["line_item", "campaign", "advertiser"])
def test_a_pause_stops_all_below_it_and_resuming_restores_it(level, overlay, snapshot, engine):
    items = snapshot.line_items
    row = a_running_line_item(overlay, snapshot)
    owners = {
        "line_item": items.line_item_id,
        "campaign": items.campaign,
        "advertiser": items.advertiser,
    }[level]
    before = running(overlay, snapshot)

    operations.pause(engine, level, int(owners[row]))
    overlay.refresh(NOW, None)
    assert np.array_equal(running(overlay, snapshot), before & (owners != owners[row]))

    operations.resume(engine, level, int(owners[row]))
    overlay.refresh(NOW, None)
    assert np.array_equal(running(overlay, snapshot), before)


def test_a_paused_ad_stops_alone(overlay, snapshot, engine):
    ad_id = int(snapshot.ads.ad_id[42])

    operations.pause(engine, "ad", ad_id)
    overlay.refresh(NOW, None)

    assert overlay.live.ad[42] == 0
    assert overlay.live.ad.sum() == len(snapshot.ads) - 1


def test_a_new_bid_reaches_bids_and_values_of_its_ads_only(overlay, snapshot, engine):
    row = a_running_line_item(overlay, snapshot)
    part = slice(*snapshot.line_items.ad_start[row : row + 2].tolist())
    before, old_bid = overlay.live.base.copy(), int(overlay.bid_micros[part.start])

    operations.set_bid(engine, int(snapshot.line_items.line_item_id[row]), 3 * old_bid)
    overlay.refresh(NOW, None)

    assert (overlay.bid_micros[part] == 3 * old_bid).all()
    assert np.allclose(overlay.live.base[part] - before[part], np.log(3.0), atol=1e-5)
    outside = np.ones(len(snapshot.ads), bool)
    outside[part] = False
    assert np.array_equal(overlay.live.base[outside], before[outside])


def test_the_base_value_is_log_ecpm_micros(overlay, snapshot):
    ads = snapshot.ads
    log_odds = AdTable.load(snapshot.folder / "ranker").bias
    per_click = np.array(ads.per_click)

    expected = np.log(ads.bid_micros.astype(float))
    assert np.allclose(overlay.live.base[~per_click], expected[~per_click], atol=1e-5)
    expected = np.log(1000.0 * ads.bid_micros) + log_odds
    assert np.allclose(overlay.live.base[per_click], expected[per_click], atol=1e-5)


def test_a_campaign_without_budget_stops(overlay, snapshot, engine):
    row = a_running_line_item(overlay, snapshot)
    campaign = int(snapshot.line_items.campaign[row])

    operations.set_budget(engine, "campaign", campaign, 0)
    overlay.refresh(NOW, None)

    assert overlay.budget[campaign] == 0
    assert not running(overlay, snapshot)[snapshot.line_items.campaign == campaign].any()


def test_a_budget_cut_to_nothing_counts_before_the_ledger_has_heard_of_it(
    overlay, snapshot, engine
):
    row = a_running_line_item(overlay, snapshot)
    remaining = by_account(overlay.budget)

    operations.set_budget(engine, "campaign", int(snapshot.line_items.campaign[row]), 0)
    overlay.refresh(NOW, remaining)

    assert not running(overlay, snapshot)[row]


def test_a_campaign_that_the_ledger_does_not_know_yet_runs(overlay, snapshot):
    row = a_running_line_item(overlay, snapshot)

    overlay.refresh(NOW, by_account(overlay.budget[:1]))

    assert running(overlay, snapshot)[row]


def test_budgets_lie_at_their_campaigns_ids(overlay, snapshot):
    campaigns = snapshot.campaigns

    assert len(overlay.budget) == campaigns.campaign_id.max() + 1
    assert np.array_equal(overlay.budget[campaigns.campaign_id], campaigns.daily_budget_micros)


def test_a_line_item_runs_while_its_campaign_can_pay_one_more_event(overlay, snapshot):
    row = a_running_line_item(overlay, snapshot)
    ad, campaign = snapshot.line_items.ad_start[row], snapshot.line_items.campaign[row]
    bid = int(overlay.bid_micros[ad])
    cost = bid if snapshot.ads.per_click[ad] else bid // 1_000

    for left, expected in ((cost, True), (cost - 1, False), (0, False)):
        remaining = by_account(overlay.budget)
        remaining[account_of(Level.CAMPAIGN, int(campaign))] = left
        overlay.refresh(NOW, remaining)
        assert running(overlay, snapshot)[row] == expected


@pytest.mark.parametrize("level", [Level.ADVERTISER, Level.CAMPAIGN, Level.LINE_ITEM])
def test_a_line_item_stops_when_any_of_its_budgets_has_run_out(overlay, snapshot, level):
    row = a_running_line_item(overlay, snapshot)
    items = snapshot.line_items
    owner = (items.advertiser, items.campaign, items.line_item_id)[level][row]
    remaining = np.full(10**5, UNLIMITED)
    remaining[account_of(level, int(owner))] = 0

    overlay.refresh(NOW, remaining)

    assert not running(overlay, snapshot)[row]


def test_arrays_that_were_handed_out_never_change(overlay, snapshot, engine):
    held, bids, budget = overlay.live, overlay.bid_micros, overlay.budget
    copies = [array.copy() for array in (held.line_item, held.ad, held.base, bids, budget)]

    operations.pause(engine, "ad", 1)
    operations.pause(engine, "campaign", 1)
    operations.set_bid(engine, 1, 5_000)
    operations.set_budget(engine, "campaign", 2, 1)
    overlay.refresh(NOW, None)

    now_held = (held.line_item, held.ad, held.base, bids, budget)
    assert all(np.array_equal(a, b) for a, b in zip(copies, now_held, strict=True))
    assert overlay.live.ad[0] == 0


def test_nothing_changes_nothing(overlay):
    before = overlay.live

    assert overlay.refresh(NOW, None) is before


def test_changes_since_the_build_are_seen_by_a_server_that_starts_later(place, engine):
    operations.pause(engine, "ad", 5)

    snapshot = Snapshot.load(place.snapshots)
    overlay = Overlay(snapshot, engine, NOW)

    row = int(np.flatnonzero(snapshot.ads.ad_id == 5)[0])
    assert overlay.live.ad[row] == 0


def test_what_was_paused_before_the_build_is_paused_after_it(place, engine):
    for level in ("ad", "line_item", "campaign", "advertiser"):
        operations.pause(engine, level, 1)
    place.build()

    snapshot = Snapshot.load(place.snapshots)
    overlay = Overlay(snapshot, engine, NOW)

    assert overlay.revision == snapshot.manifest.revision == 4
    assert overlay.live.ad[snapshot.ads.ad_id == 1].tolist() == [0]
    assert not running(overlay, snapshot)[snapshot.line_items.advertiser == 1].any()


def test_a_change_of_something_newer_than_the_snapshot_waits_for_the_build(overlay, engine):
    with engine.begin() as connection:
        values = dict(connection.execute(schema.ad.select().limit(1)).mappings().one())
        connection.execute(schema.ad.insert().values({**values, "id": 9_999}))
    before = overlay.live

    operations.pause(engine, "ad", 9_999)
    overlay.refresh(NOW, None)

    assert np.array_equal(before.ad, overlay.live.ad)
    assert not overlay.trouble


def test_a_database_that_is_away_leaves_everything_as_it_was(overlay, snapshot, engine):
    before = running(overlay, snapshot)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE revision RENAME TO elsewhere"))

    overlay.refresh(NOW, None)
    assert "revision" in overlay.trouble
    assert np.array_equal(running(overlay, snapshot), before)

    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO revision"))
    overlay.refresh(NOW, None)
    assert overlay.trouble == ""


def test_many_changes_at_once_are_all_seen(overlay, snapshot, engine):
    for ad_id in range(1, 31):
        operations.pause(engine, "ad", ad_id)
    overlay.refresh(NOW, None)

    assert (overlay.live.ad[snapshot.ads.ad_id <= 30] == 0).all()
    assert overlay.revision == 30


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda engine: operations.pause(engine, "ad", 10**6), "ad: there is none with id 1000000"),
        (lambda engine: operations.pause(engine, "zone", 1), "level: 'zone'"),
        (lambda engine: operations.set_bid(engine, 1, 0), "bid: 0"),
        (lambda engine: operations.set_budget(engine, "campaign", 1, -1), "budget: -1"),
        (lambda engine: operations.show(engine, "zone", 1), "level: 'zone'"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_and_leaves_no_trace(change, named, engine):
    before = operations.summary(engine)

    with pytest.raises(ConfigError) as caught:
        change(engine)

    assert named in str(caught.value)
    assert operations.summary(engine) == before


def test_a_cpm_bid_is_whole_micros_an_impression(engine, snapshot):
    ads = snapshot.ads
    cpm = int(snapshot.line_items.line_item_id[ads.line_item[np.argmin(ads.per_click)]])

    with pytest.raises(ConfigError, match="multiple of 1000"):
        operations.set_bid(engine, cpm, 1_500)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_flags_are_packed_lowest_bit_first(count, rng):
    flags = rng.random(count) < 0.5

    words = packed(flags)

    assert len(words) == -(-count // 64)
    assert [bool(int(words[i // 64]) >> (i % 64) & 1) for i in range(count)] == flags.tolist()
