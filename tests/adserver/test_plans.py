"""Budgets and goals of the catalogue as plans, and what pacing leaves of the line items' bids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from catalogue_sample import NOW, fresh_place

from adserver.catalogue import codes
from adserver.editions import Editions
from adserver.meter import count_key, money_key
from adserver.offers import Reader
from adserver.pace import Published
from adserver.plans import DAY_S, Planner
from adserver.settings import Settings
from auction.books import UNLIMITED
from auction.columns import PPM, Level, account_of
from auction.pacing import Goal, Mode, Pacer, PacingSettings
from auction.traffic import Curve

DAY = int(NOW // DAY_S)


@pytest.fixture
def edition(tmp_path):
    place = fresh_place(tmp_path)
    return Editions(Settings(adserver_data=tmp_path, database_url=place.url, scorer="local")).open(
        NOW
    )


def plans_of(edition, mode=Mode.EVEN):
    found = Planner(mode).plans(edition, NOW)
    pacer = Pacer(PacingSettings(), Curve.flat())
    pacer.follow(found)
    assert pacer.check() == []
    return found


def with_items(edition, row, **values):
    """The edition with other values of one line item."""
    items = edition.overlay.items
    changed = {}
    for name, value in values.items():
        column = np.array(getattr(items, name))
        column[row] = value
        changed[name] = column
    terms = edition.overlay.terms
    edition.overlay.terms = replace(terms, items=replace(items, **changed))
    edition.overlay.limits = edition.overlay.terms.limits(terms.owners())
    return edition


def row_of(plans, key):
    (row,) = np.flatnonzero(plans.key == key)
    return {name: getattr(plans, name)[row] for name in plans.__slots__}


def test_every_daily_budget_of_a_campaign_is_spent_over_its_day(edition):
    found = plans_of(edition, Mode.FRONT_LOADED)

    limits = edition.overlay.limits
    for campaign in edition.snapshot.campaigns.campaign_id.tolist():
        (at,) = np.flatnonzero(limits.account == account_of(Level.CAMPAIGN, campaign))
        plan = row_of(found, money_key(Level.CAMPAIGN, campaign))
        assert plan["amount"] == limits.daily_micros[at]
        assert (plan["start_s"], plan["end_s"]) == (DAY * DAY_S, (DAY + 1) * DAY_S)
        assert (plan["period"], plan["mode"]) == (DAY, Mode.FRONT_LOADED)
        assert plan["unit"] >= 1


def test_a_lifetime_budget_is_spent_over_the_flight(edition):
    flight = {"start_s": NOW - 10, "end_s": NOW + 1000, "lifetime_budget_micros": 5_000_000}
    with_items(edition, 0, daily_budget_micros=UNLIMITED, pacing=Mode.FRONT_LOADED, **flight)

    item = int(edition.overlay.items.line_item_id[0])
    plan = row_of(plans_of(edition), money_key(Level.LINE_ITEM, item))

    assert (plan["start_s"], plan["end_s"], plan["period"]) == (NOW - 10, NOW + 1000, 0)
    assert plan["mode"] == Mode.FRONT_LOADED


def test_a_budget_without_an_end_has_no_plan(edition):
    endless = {"end_s": np.inf, "lifetime_budget_micros": 5_000_000}
    with_items(edition, 0, daily_budget_micros=UNLIMITED, **endless)

    item = int(edition.overlay.items.line_item_id[0])

    assert money_key(Level.LINE_ITEM, item) not in plans_of(edition).key


@pytest.mark.parametrize("goal", [Goal.IMPRESSIONS, Goal.VIEWABLE, Goal.CLICKS])
def test_a_counted_goal_is_met_over_the_flight(edition, goal):
    flight = {"start_s": NOW, "end_s": NOW + 1000}
    with_items(edition, 3, goal_kind=goal, goal_amount=70_000, **flight)

    item = int(edition.overlay.items.line_item_id[3])
    plan = row_of(plans_of(edition), count_key(item, goal))

    assert (plan["amount"], plan["unit"], plan["kind"]) == (70_000, 1.0, goal)


def test_plans_are_the_same_object_until_something_changes(edition):
    planner = Planner(Mode.EVEN)
    first = planner.plans(edition, NOW)

    assert planner.plans(edition, NOW + 1) is first
    assert planner.plans(edition, NOW + DAY_S) is not first


def test_a_line_item_offers_the_least_that_its_plans_allow(edition):
    with_items(edition, 0, goal_kind=codes.NONE, pacing=Mode.EVEN)
    items = edition.overlay.items
    item, campaign = int(items.line_item_id[0]), int(items.campaign[0])
    keys = [
        money_key(Level.CAMPAIGN, campaign),
        money_key(Level.LINE_ITEM, item),
        count_key(item, Goal.CLICKS),
    ]
    order = np.argsort(keys)
    says = np.array([[500_000, 400_000, 900_000], [7, 8, 9]])[:, order]

    offers = Reader().offers(edition, Published(np.array(keys)[order], *says))

    siblings = items.campaign == campaign
    assert offers.multiplier_ppm[0] == 400_000
    assert (offers.multiplier_ppm[siblings][1:] == 500_000).all()
    assert (offers.multiplier_ppm[~siblings] == PPM).all()
    assert offers.urgency_ppm[0] == 9
    assert not offers.urgency_ppm[1:].any()


def test_a_line_item_in_a_hurry_offers_its_whole_bid(edition):
    with_items(edition, 0, pacing=Mode.ASAP)
    campaign = int(edition.overlay.items.campaign[0])
    key = np.array([money_key(Level.CAMPAIGN, campaign)])

    offers = Reader().offers(edition, Published(key, np.array([5]), np.array([PPM])))

    assert offers.multiplier_ppm[0] == PPM
