"""The living market: any day can be played, and what is clicked follows the known truth."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simulator import traffic as wire
from simulator.market.market import Market, Shown
from simulator.market.settings import DAY_S, MarketSettings
from simulator.targeting import fitting
from simulator.visits import Visits

SETTINGS = MarketSettings(ads=2_000, visits_per_day=40_000, days=6)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SETTINGS)


@pytest.fixture(scope="module")
def evening(market):
    """The visits of one hour."""
    return market.day(2).hour(20)


def columns(traffic):
    own = {name: getattr(traffic, name) for name in ("at_s", "bot", "number")}
    return own | {one.name: getattr(traffic.visit, one.name) for one in fields(Visits)}


def pairs_of(market, traffic):
    """Some random pairs of visits of people and ads, fitting or not."""
    rng = np.random.default_rng(7)
    person = np.flatnonzero(~traffic.bot)
    visit = rng.choice(person, 5_000)
    ad = rng.integers(0, len(market.catalogue.ads), len(visit))
    return visit, ad, rng.integers(0, len(market.world.placement), len(visit))


def test_equal_settings_give_equal_hours_whatever_was_played_before(market, evening):
    again = Market(SETTINGS).day(2).hour(20)

    for name, column in columns(again).items():
        assert_array_equal(column, columns(evening)[name])


def test_another_seed_is_another_market(market, evening):
    other = Market(MarketSettings(seed=2, ads=2_000, visits_per_day=40_000)).day(2).hour(20)

    assert not np.array_equal(other.visit.domain, evening.visit.domain)


def test_a_day_is_its_hours_in_the_order_of_time(market):
    day = market.day(1)
    at_s = np.concatenate([hour.at_s for hour in day.hours()])

    assert len(at_s) == len(day)
    assert (np.diff(at_s) >= 0).all()
    assert market.midnight_s(1) <= at_s[0] <= at_s[-1] < market.midnight_s(2)


def test_no_two_visits_have_the_same_number(market):
    hours = [hour for day in (0, 1) for hour in market.day(day).hours()]
    number = np.concatenate([hour.number for hour in hours])

    assert len(np.unique(number)) == len(number)


def test_new_ads_begin_every_midnight_and_as_many_end(market):
    live = np.array([market.live(day) for day in range(SETTINGS.days + 1)])
    begun = (live[1:] & ~live[:-1]).sum(axis=1)

    assert (np.abs(begun - 60) < 30).all()
    assert (np.abs(live.sum(axis=1) - 2_000) < 200).all()
    assert (live[:-1] & ~live[1:]).sum(axis=1).min() > 20


def test_nothing_begins_or_ends_between_midnights(market):
    items = market.catalogue.line_items

    for moment in (items.start_s, items.end_s):
        assert (moment % DAY_S == 0).all()


def test_the_fast_truth_is_the_model_as_it_is_written_down(market, evening):
    crowd, pairs = market.crowd(evening), pairs_of(market, evening)

    rate = market.truth(crowd, *pairs)
    log_odds = sum(market.truth_by_part(crowd, *pairs).values())

    assert_allclose(rate, np.clip(1 / (1 + np.exp(-log_odds)), 0.0002, 0.25), rtol=1e-5)


def test_the_truth_of_a_pair_does_not_depend_on_what_it_is_asked_with(market, evening):
    visit, ad, placement = pairs_of(market, evening)
    alone = market.crowd(evening.rows(visit[:1]))

    rate = market.truth(alone, np.zeros(1, int), ad[:1], placement[:1])

    assert_allclose(rate, market.truth(market.crowd(evening), visit, ad, placement)[:1])


def test_clicks_come_as_often_as_the_truth_says_in_every_cell(market, evening):
    """Of country, placement, deciles of the truth: within 4.5 standard deviations each."""
    crowd, (visit, ad, placement) = market.crowd(evening), pairs_of(market, evening)
    shown = Shown(np.tile(visit, 40), np.tile(ad, 40), np.tile(placement, 40))

    seen = market.respond(crowd, shown, np.random.default_rng(3))

    decile = np.argsort(np.argsort(seen.truth)) * 10 // len(seen.truth)
    for cell in (crowd.country[shown.visit], shown.placement, decile):
        expected = np.bincount(cell, seen.truth)
        spread = np.sqrt(np.bincount(cell, seen.truth * (1 - seen.truth)))
        assert (np.abs(np.bincount(cell, seen.click) - expected) <= 4.5 * spread + 1e-9).all()


def test_the_same_generator_brings_the_same_responses(market, evening):
    crowd, pairs = market.crowd(evening), Shown(*pairs_of(market, evening))

    first, again = (market.respond(crowd, pairs, np.random.default_rng(1)) for _ in range(2))

    for one in fields(first):
        assert_array_equal(getattr(first, one.name), getattr(again, one.name))


def test_clicks_and_conversions_come_late_some_very_late(market, evening):
    crowd, pairs = market.crowd(evening), pairs_of(market, evening)
    shown = Shown(*(np.tile(one, 60) for one in pairs))

    seen = market.respond(crowd, shown, np.random.default_rng(5))
    delay = seen.click_delay_s[seen.click]
    conversion = seen.conversion_delay_s[seen.conversion]

    assert 8 < np.median(delay) < 20
    assert 0.02 < (delay > 600).mean() < 0.06
    assert np.isinf(seen.click_delay_s[~seen.click]).all()
    assert (seen.click[seen.conversion]).all()
    assert 0.03 < seen.conversion.sum() / seen.click.sum() < 0.09
    assert conversion.min() > 60
    assert (conversion > DAY_S).mean() > 0.03


def test_fitting_finds_what_the_plain_definition_finds(market, evening):
    """Targeting by `simulator.targeting`, size, flight, https and refusals one by one."""
    world, ads, made = market.world, market.catalogue.ads, market.catalogue
    some = evening.rows(np.arange(0, len(evening), 40))
    pairs = market.fitting(some).pairs()
    live, category = market.live(2) & ads.secure, made.campaigns.category[made.ad_campaign()]
    asked = made.terms.line_item[made.terms.dimension == 12]
    elsewhere = np.zeros(len(made.terms.need), bool)

    for row in range(len(some)):
        fits = fitting(world, made.terms, some.visit, row)
        body = market.request(some, row)
        refused = [
            world.category.name.index(c) for c in body.get("block", {}).get("categories", [])
        ]
        for slot, placement in enumerate(some.visit.placement[row]):
            elsewhere[asked] = True
            own = made.terms.value == placement
            elsewhere[made.terms.line_item[(made.terms.dimension == 12) & own]] = False
            here = (fits & ~elsewhere)[ads.line_item] & live & ~np.isin(category, refused)
            if placement >= 0:
                here &= np.isin(ads.size, world.placement[placement].sizes)
            expected = np.flatnonzero(here) if placement >= 0 else np.empty(0, int)
            found = pairs.ad[(pairs.visit == row) & (pairs.slot == slot)]
            assert_array_equal(np.sort(found), expected)


def test_pairs_name_the_placement_of_their_slot(market, evening):
    pairs = market.fitting(evening.rows(slice(0, 50))).pairs()

    assert_array_equal(pairs.placement, evening.visit.placement[pairs.visit, pairs.slot])


def highest_sum(pairs, owner, value, row):
    """Of all ways to fill the slots of a page, each owner's best ad or nobody in each."""
    best_of = [{None: 0.0} for _ in range(3)]
    for one in np.flatnonzero(pairs.visit == row):
        of = best_of[pairs.slot[one]]
        of[owner[one]] = max(of.get(owner[one], 0.0), value[one])
    return max(
        sum(of[who] for of, who in zip(best_of, chosen, strict=True))
        for chosen in itertools.product(*best_of)
        if len(set(chosen) - {None}) == sum(who is not None for who in chosen)
    )


def test_the_best_ads_of_a_page_are_those_that_trying_all_finds(market, evening):
    """No advertiser twice on a page, none below the floor; the sum over its slots is highest."""
    some = evening.rows(np.flatnonzero(~evening.bot)[::50])
    crowd, fits = market.crowd(some), market.fitting(some)
    worth = replace(market.worth(), owner=market.catalogue.ad_advertiser() % 9)
    pairs = fits.pairs()
    rate = market.truth(crowd, pairs.visit, pairs.ad, pairs.placement)
    value = worth.per_view[pairs.ad] + worth.per_click[pairs.ad] * rate
    value[value < worth.floor[pairs.placement]] = 0

    best = market.best(crowd, fits, worth)

    for row in range(len(some)):
        most = highest_sum(pairs, worth.owner[pairs.ad], value, row)
        owner = worth.owner[best.ad[row][best.ad[row] >= 0]]
        assert_allclose(best.value[row].sum(), most, rtol=1e-6)
        assert len(set(owner)) == len(owner)


def test_the_best_ads_say_their_true_click_rate_and_what_they_pay(market, evening):
    some = evening.rows(slice(0, 200))
    crowd, worth = market.crowd(some), market.worth()

    best = market.best(crowd, market.fitting(some), worth)

    visit, slot = np.nonzero(best.ad >= 0)
    ad = best.ad[visit, slot]
    rate = market.truth(crowd, visit, ad, some.visit.placement[visit, slot])
    paid = worth.per_view[ad] + worth.per_click[ad] * rate
    assert_allclose(best.rate[visit, slot], rate, rtol=1e-6)
    assert_allclose(best.value[visit, slot], paid, rtol=1e-6)
    assert (best.value[best.ad < 0] == 0).all()


def test_line_items_that_cannot_pay_are_not_the_best(market, evening):
    some = evening.rows(slice(0, 200))
    crowd, fits = market.crowd(some), market.fitting(some)
    running = np.arange(len(market.catalogue.line_items.campaign)) % 2 == 0

    best = market.best(crowd, fits, market.worth(running))

    assert running[market.catalogue.ads.line_item[best.ad[best.ad >= 0]]].all()
    assert best.value.sum() < market.best(crowd, fits, market.worth()).value.sum()


def test_no_visit_has_nothing_that_fits(market, evening):
    nobody = evening.rows(slice(0, 0))

    assert len(market.fitting(nobody).pairs().ad) == 0
    assert len(market.crowd(nobody)) == 0
    assert market.best(market.crowd(nobody), market.fitting(nobody), market.worth()).ad.shape == (
        0,
        3,
    )


def test_a_request_says_what_its_visit_is_and_nothing_of_the_truth(market, evening):
    row = int(np.flatnonzero(evening.bot)[0])
    visit = evening.visit.rows(slice(row, row + 1))

    body = market.request(evening, row)
    read = wire.visit(market.world, body, int(visit.hour[0]), int(visit.weekday[0]))

    for one in fields(Visits):
        if one.name in {"segment", "keyword", "category", "key_value", "placement"}:
            assert set(getattr(read, one.name)[0]) - {-1} == set(getattr(visit, one.name)[0]) - {-1}
        else:
            assert getattr(read, one.name)[0] == getattr(visit, one.name)[0]
    assert "bot" not in str(body)


def test_settings_that_make_no_market_are_refused_all_together():
    with pytest.raises(ValueError, match=r"visits_per_day.*new_share"):
        Market(MarketSettings(visits_per_day=0, new_share=2.0))
