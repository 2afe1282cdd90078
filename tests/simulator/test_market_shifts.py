"""Each abrupt shift changes what it says from its hour on, and nothing before."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simulator.market.market import Market
from simulator.market.settings import MarketSettings, Shift, ShiftKind
from simulator.visits import Visits

QUIET = MarketSettings(ads=1_000, visits_per_day=30_000, days=3)
DAY, HOUR = 1, 12


def with_shift(kind, size, of="") -> Market:
    return Market(replace(QUIET, shifts=(Shift(DAY, HOUR, kind, size, of),)))


@pytest.fixture(scope="module")
def quiet() -> Market:
    return Market(QUIET)


def rates(market, traffic):
    """The same random pairs each time."""
    rng = np.random.default_rng(2)
    visit = rng.choice(np.flatnonzero(~traffic.bot), 20_000)
    ad = rng.integers(0, len(market.catalogue.ads), len(visit))
    return visit, market.truth(market.crowd(traffic), visit, ad, visit % 40)


@pytest.mark.parametrize(
    ("kind", "size", "of"),
    [
        (ShiftKind.CLICKS_FALL, 0.6, "phone"),
        (ShiftKind.INTERESTS_SWAP, 1.0, ""),
        (ShiftKind.DOMAIN_FLOODS, 0.3, ""),
        (ShiftKind.SEGMENTS_VANISH, 1.0, ""),
    ],
)
def test_nothing_changes_before_the_hour_of_a_shift(quiet, kind, size, of):
    shifted = with_shift(kind, size, of)
    before, same = quiet.day(DAY).hour(HOUR - 1), shifted.day(DAY).hour(HOUR - 1)

    for one in fields(Visits):
        assert_array_equal(getattr(same.visit, one.name), getattr(before.visit, one.name))
    assert_array_equal(rates(shifted, same)[1], rates(quiet, before)[1])


@pytest.mark.parametrize("of", ["phone", "USA"])
def test_clicks_fall_where_it_says_and_nowhere_else(quiet, of):
    shifted = with_shift(ShiftKind.CLICKS_FALL, 0.6, of)
    traffic = quiet.day(DAY).hour(HOUR)
    visit, before = rates(quiet, traffic)
    world, sample = quiet.world, traffic.visit
    named = np.array(world.device.name)[sample.device] == of
    named |= np.array(world.country.name)[sample.country] == of

    after = rates(shifted, shifted.day(DAY).hour(HOUR))[1]

    hit = named[visit]
    assert after[hit].mean() / before[hit].mean() == pytest.approx(0.4, abs=0.03)
    assert_array_equal(after[~hit], before[~hit])


def test_interests_swap_at_once_and_segments_follow_late(quiet):
    shifted = with_shift(ShiftKind.INTERESTS_SWAP, 1.0)
    hour, later = shifted.day(DAY).hour(HOUR), shifted.day(DAY + 4).hour(HOUR)
    usual, usual_later = quiet.day(DAY).hour(HOUR), quiet.day(DAY + 4).hour(HOUR)

    assert_array_equal(hour.visit.segment, usual.visit.segment)
    assert (later.visit.segment != usual_later.visit.segment).any(axis=1).mean() > 0.5
    assert (hour.visit.domain != usual.visit.domain).mean() > 0.2
    moved = shifted.crowd(usual).pull - quiet.crowd(usual).pull
    assert (np.abs(moved).max(axis=1) > 0.5).mean() > 0.9


def test_a_share_of_users_swaps_if_only_a_share_is_asked_for(quiet):
    traffic = quiet.day(DAY).hour(HOUR)
    moved = (
        with_shift(ShiftKind.INTERESTS_SWAP, 0.3).crowd(traffic).pull - quiet.crowd(traffic).pull
    )

    assert 0.2 < (np.abs(moved).max(axis=1) > 0.5).mean() < 0.4


def test_a_new_domain_takes_its_share_on_top_of_the_usual_visits(quiet):
    name = quiet.world.domain.name[-3]
    shifted = with_shift(ShiftKind.DOMAIN_FLOODS, 0.25, name)
    usual, flooded = quiet.day(DAY).hour(HOUR), shifted.day(DAY).hour(HOUR)
    new = flooded.visit.domain == len(quiet.world.domain) - 3

    assert new.mean() == pytest.approx(0.25, abs=0.01)
    assert_array_equal(flooded.rows(~new).number, usual.number)
    assert_array_equal(flooded.rows(~new).visit.user, usual.visit.user)
    assert (np.diff(flooded.at_s) >= 0).all()
    assert len(np.unique(flooded.number)) == len(flooded)
    assert len(shifted.day(DAY + 1)) == sum(len(hour) for hour in shifted.day(DAY + 1).hours())


def test_no_usual_visit_is_to_a_domain_that_may_flood(quiet):
    domain = np.concatenate([hour.visit.domain for hour in quiet.day(0).hours()])

    assert domain.max() < len(quiet.world.domain) - 40


def test_ads_are_clicked_a_third_as_often_on_a_flooding_domain(quiet):
    traffic = quiet.day(DAY).hour(HOUR)
    usual = rates(quiet, traffic)[1]
    domain = np.full_like(traffic.visit.domain, len(quiet.world.domain) - 1)
    there = replace(traffic, visit=replace(traffic.visit, domain=domain))

    assert rates(quiet, there)[1].mean() / usual.mean() == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_segments_of_a_broken_provider_vanish_and_clicks_stay(quiet, size):
    shifted = with_shift(ShiftKind.SEGMENTS_VANISH, size)
    usual, broken = quiet.day(DAY).hour(HOUR), shifted.day(DAY).hour(HOUR)

    left = (broken.visit.segment >= 0).sum() / (usual.visit.segment >= 0).sum()

    assert left == pytest.approx(1 - size, abs=0.15)
    assert_allclose(rates(shifted, broken)[1], rates(quiet, usual)[1])


def test_shifts_that_name_what_is_not_there_are_refused_all_together():
    shifts = (
        Shift(0, 24, ShiftKind.SEGMENTS_VANISH, 0.5),
        Shift(0, 1, ShiftKind.CLICKS_FALL, 0.5, "toaster"),
        Shift(0, 1, ShiftKind.DOMAIN_FLOODS, 1.0, "nowhere.example"),
    )

    with pytest.raises(ValueError, match=r"hour 24.*size 1\.0.*toaster.*nowhere"):
        Market(replace(QUIET, shifts=shifts))
