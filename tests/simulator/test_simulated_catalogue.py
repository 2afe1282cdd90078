from dataclasses import fields

import numpy as np

from simulator import records
from simulator.catalogue import catalogue
from simulator.creatives import templates
from simulator.targeting import fitting
from simulator.visits import visits
from simulator.world import World


def columns(part):
    return {one.name: getattr(part, one.name) for one in fields(part)}


def test_equal_seeds_give_equal_catalogues(small_market):
    again = catalogue(World(1), 2_000)
    other = catalogue(World(1), 2_000, seed=2)

    for name in ("advertisers", "campaigns", "line_items", "ads"):
        for column, values in columns(getattr(small_market, name)).items():
            assert np.array_equal(values, columns(getattr(again, name))[column]), column
    assert not np.array_equal(small_market.ads.noun, other.ads.noun)


def test_a_small_catalogue_is_the_beginning_of_a_large_one(small_market, market):
    ads = len(small_market.ads)

    for column, values in columns(small_market.ads).items():
        assert np.array_equal(values, columns(market.ads)[column][:ads]), column
    line_items = len(small_market.terms.need)
    assert np.array_equal(small_market.terms.need, market.terms.need[:line_items])
    assert np.array_equal(small_market.ad_advertiser(), market.ad_advertiser()[:ads])


def test_ads_are_grouped_by_owner_and_every_owner_has_some(market):
    for column, owners in (
        (market.ads.line_item, market.line_items.campaign),
        (market.line_items.campaign, market.campaigns.advertiser),
        (market.campaigns.advertiser, market.advertisers.quality),
    ):
        assert (np.diff(column) >= 0).all()
        assert np.array_equal(np.unique(column), np.arange(len(owners)))


def test_advertisers_are_many_and_heavy_tailed(market):
    ads = np.bincount(market.ad_advertiser())

    assert len(ads) == 2_000
    assert ads.max() > 20 * np.median(ads)
    assert 0.55 < market.line_items.per_click.mean() < 0.65


def test_bids_are_whole_micros_an_impression(market):
    assert (market.line_items.bid_micros % 1_000 == 0).all()
    assert market.line_items.bid_micros.min() > 0


def test_a_usual_request_finds_three_to_eight_percent_of_the_ads_eligible(market):
    world, ads = market.world, market.ads
    sample = visits(world, np.random.default_rng(11), 150)
    flight = (market.line_items.start_s <= 0) & (market.line_items.end_s > 0)

    share = []
    for i in range(len(sample)):
        sizes = {size for p in sample.placement[i] if p >= 0 for size in world.placement[p].sizes}
        fits = fitting(world, market.terms, sample, i) & flight
        share.append((fits[ads.line_item] & np.isin(ads.size, list(sizes))).mean())

    assert 0.03 < np.mean(share) < 0.08
    assert np.percentile(share, 5) > 0.003


def test_no_line_item_asks_for_what_it_refuses(market):
    terms = market.terms
    key = terms.dimension.astype(np.int64) << 48 | terms.value.astype(np.int64) << 32
    key |= terms.line_item

    assert len(np.unique(key)) == len(key)


def test_rows_name_their_owners_and_their_template(small_market):
    ads = list(records.ad_rows(small_market, 0, 2_000))
    advertisers = list(records.advertiser_rows(small_market))
    campaigns = list(records.campaign_rows(small_market))
    line_items = list(records.line_item_rows(small_market))
    known = {row["id"] for row in records.template_rows()}

    assert [row["id"] for row in ads] == list(range(1, 2_001))
    assert {row["line_item_id"] for row in ads} == {row["id"] for row in line_items}
    assert {row["campaign_id"] for row in line_items} == {row["id"] for row in campaigns}
    assert {row["advertiser_id"] for row in campaigns} == {row["id"] for row in advertisers}
    assert {row["template_id"] for row in ads} <= known
    domain = advertisers[small_market.ad_advertiser()[7]]["domain"]
    assert ads[7]["landing_url"].startswith(f"https://www.{domain}/")


def test_no_two_advertisers_share_a_name_or_a_domain(market):
    rows = list(records.advertiser_rows(market))

    assert len({row["name"] for row in rows}) == len(rows)
    assert len({row["domain"] for row in rows}) == len(rows)


def test_banners_leave_only_the_click_to_the_server():
    for markup in templates().values():
        assert markup.count("{click}") == 1
        assert "http" not in markup
        assert "<script" not in markup
