"""Explanations of real decisions, in process: figures that add up, prices that would have won."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from test_pipeline import System

from adserver.auctions.again import again
from adserver.auctions.find import find
from adserver.auctions.price_to_win import NO_BID_WINS, prices_on_page
from adserver.errors import BadRequest, NotFound, Overloaded
from adserver.why import MOST_LISTED, Inquiries
from adserver.wire import decision as wire_decision
from auction.columns import Rejection
from simulator.traffic import requests
from simulator.world import World


@pytest.fixture(scope="module")
def asked():
    bodies = requests(World(1), np.random.default_rng(2), 60)
    return [wire_decision.parse(json.dumps(body).encode()) for body in bodies]


class Place:
    """A system with some decisions made, and who answers about them."""

    def __init__(self, folder, clock, asked) -> None:
        self.system = System(folder, clock)
        self.decisions = []
        for page in asked:
            self.decide(page)
        self.inquiries = Inquiries.of(
            self.system.settings,
            self.system.pipeline.prices.settings,
            lambda: self.system.pipeline.edition,
            lambda: self.system.wall + 10,
        )

    def explain(self, decision, offset="", limit=""):
        return asyncio.run(self.inquiries.explain(decision, offset, limit))

    def why(self, ad, window=""):
        return asyncio.run(self.inquiries.why(str(ad), window))

    @property
    def sold(self):
        """Some sale that had a price to be explained."""
        return next(d for d in self.decisions if any(o.sold for o in d.outcomes))

    def decide(self, page):
        (decision,) = self.system.decide([page])
        self.decisions.append(decision)
        return decision

    def page(self, decision):
        return find(self.system.settings.auctions, int(decision.id, 16))


@pytest.fixture(scope="module")
def place(tmp_path_factory, asked):
    place = Place(tmp_path_factory.mktemp("why"), lambda: 1000.0, asked)
    yield place
    place.system.close()


def test_an_explanation_tells_the_sale_of_each_slot(place):
    for decision in place.decisions:
        told = place.explain(decision.id, limit="1")

        assert [slot["outcome"] for slot in told["slots"]] == [
            "WON" if o.sold else o.reason.name for o in decision.outcomes
        ]
        for slot, outcome in zip(told["slots"], decision.outcomes, strict=True):
            if outcome.sold:
                assert slot["winner"]["ad"] == outcome.sold.creative.ad_id
                assert slot["price"]["charge_micros"] == outcome.sold.charge_micros
                assert slot["price"]["clear_cpm_micros"] == outcome.sold.clear_micros


def test_every_ad_of_the_catalogue_is_in_the_explanation_under_one_reason(place):
    for decision in place.decisions[:20]:
        told = place.explain(decision.id, limit="1")

        by_code = told["candidates"]["by_code"]
        assert sum(by_code.values()) == told["candidates"]["total"]
        everybody = sum(by_code.values()) + sum(told["never_candidates"].values())
        assert everybody == len(place.system.edition.snapshot.ads)


def test_candidates_come_page_by_page_winners_first_each_once(place):
    total = place.explain(place.sold.id)["candidates"]["total"]
    listed = [
        candidate
        for offset in range(0, total, 7)
        for candidate in place.explain(place.sold.id, str(offset), "7")["candidates"]["listed"]
    ]

    codes = [candidate["code"] for candidate in listed]
    assert len({candidate["ad"] for candidate in listed}) == len(listed) == total
    assert codes == sorted(codes, key=lambda code: code != "WON")


def test_the_price_to_win_wins_and_a_step_less_does_not(place):
    tried = 0
    for decision in place.decisions[:12]:
        page = place.page(decision)
        rows = {int(ad): row for row, ad in enumerate(page.notes.ad_id)}
        for told in place.explain(decision.id, limit="5")["candidates"]["listed"]:
            if told["price_to_win"] is None:
                continue
            price, row = told["price_to_win"]["bid_micros"], rows[told["ad"]]
            step = 1 if told["per"] == "click" else 1000
            assert wins(place, page, row, price)
            assert not wins(place, page, row, price - step)
            tried += 1
    assert tried > 20


def wins(place, page, row, bid):
    bids = page.bids.bid_micros.copy()
    bids[row] = bid
    tried = replace(page, bids=replace(page.bids, bid_micros=bids))
    return again(tried, place.system.pipeline.prices.settings).rejected[row] == Rejection.WON


def test_a_winner_would_have_won_with_its_price_to_win_which_is_at_most_its_bid(place):
    winners = [
        told
        for decision in place.decisions[:20]
        for told in place.explain(decision.id, limit="3")["candidates"]["listed"]
        if told["code"] == "WON"
    ]

    assert winners
    for told in winners:
        assert told["price_to_win"]["bid_micros"] <= told["bid_micros"]
        assert told["price_to_win"]["more_micros"] == 0


def test_what_no_bid_would_win_has_no_price_to_win(place):
    """A row that was refused before the auction is not for sale at any price."""
    decision = place.sold
    page = place.page(decision)
    refused = page.bids.rejected.copy()
    refused[:] = Rejection.FREQUENCY
    page = replace(page, bids=replace(page.bids, rejected=refused))

    prices = prices_on_page(page, np.arange(3), place.system.pipeline.prices.settings)

    assert prices.tolist() == [NO_BID_WINS] * 3


def test_the_price_says_how_it_came_about(place):
    hows = set()
    for decision in place.decisions:
        for slot in place.explain(decision.id, limit="1")["slots"]:
            if "price" not in slot:
                continue
            price, winner = slot["price"], slot["winner"]
            hows.add(price["set_by"])
            assert price["means"]
            if price["set_by"] == "OWN_BID":
                bid = winner["bid_micros"]
                assert price["charge_micros"] == bid // (1 if winner["per"] == "click" else 1000)
            if price["set_by"] == "FLOOR":
                assert price["clear_cpm_micros"] >= price["floor_micros"] - 1000
    assert {"NEXT_SCORE"} <= hows


def test_a_first_price_request_is_explained_as_one(place, asked):
    page = replace(asked[0], first_price=True)
    decision = place.decide(page)

    slots = place.explain(decision.id)["slots"]

    assert {slot["price"]["set_by"] for slot in slots if "price" in slot} == {"FIRST_PRICE"}


def test_nothing_of_the_user_is_told(place, asked):
    page = replace(asked[0], user="somebody-secret", page_view="view-secret")
    decision = place.decide(page)

    assert "secret" not in json.dumps(place.explain(decision.id))


def test_a_decision_of_an_older_snapshot_is_explained_without_the_catalogue(place):
    inquiries = place.inquiries
    snapshot = replace(place.system.edition.snapshot)
    manifest = type("Manifest", (), {"version": snapshot.version + 1})()
    newer = replace(place.system.edition, snapshot=replace(snapshot, manifest=manifest))
    place.inquiries = replace(inquiries, edition=lambda: newer)
    try:
        told = place.explain(place.sold.id)
    finally:
        place.inquiries = inquiries

    assert told["never_candidates"] is None
    assert told["candidates"]["listed"]


def test_unknown_decisions_and_ads_are_not_found_with_a_reason(place):
    with pytest.raises(NotFound, match="no worker 255"):
        place.explain("ff" * 8)
    with pytest.raises(NotFound, match="there is no ad 999999999"):
        place.why(999999999)


@pytest.mark.parametrize(
    "hostile", ["", "1", "G" * 16, "0" * 17, "../../etc", "0x00000000000000", "é" * 16]
)
def test_a_malformed_decision_id_is_the_callers_mistake(place, hostile):
    with pytest.raises(BadRequest, match="id: "):
        place.explain(hostile)


@pytest.mark.parametrize(
    ("offset", "limit", "named"),
    [
        *((hostile, "", "offset") for hostile in ("-1", "x", "10001", "1e3", "9" * 30)),
        *(("", hostile, "limit") for hostile in ("-1", str(MOST_LISTED + 1), "9" * 30, "٣")),
    ],
)
def test_hostile_bounds_are_named(place, offset, limit, named):
    with pytest.raises(BadRequest, match=named):
        place.explain(place.sold.id, offset, limit)


@pytest.mark.parametrize("hostile", ["", "x", "-1", "1.5", "1" * 19, "١"])
def test_a_malformed_ad_id_is_the_callers_mistake(place, hostile):
    with pytest.raises(BadRequest, match="id: "):
        place.why(hostile)


@pytest.mark.parametrize(
    "hostile", ["0s", "15", "m", "15 m", "-5m", "25h", "999999h", "1d", "15mm"]
)
def test_a_malformed_window_is_the_callers_mistake(place, hostile):
    with pytest.raises(BadRequest, match="window"):
        place.why(1, hostile)


def test_the_funnel_of_every_ad_sums_to_all_decisions_exactly(place):
    ads = place.system.edition.snapshot.ads.ad_id
    for ad in ads[:: len(ads) // 40].tolist():
        told = place.why(ad)

        assert sum(part["decisions"] for part in told["funnel"]) == told["decisions"] > 0
        assert told["covers_s"] == 900


def test_the_funnel_counts_what_the_auctions_said(place):
    page = place.page(place.sold)
    won = int(page.notes.ad_id[page.slate.winner[page.slate.winner >= 0][0]])
    expected = {}
    for decision in place.decisions:
        one = place.page(decision)
        for row in np.flatnonzero(one.notes.ad_id == won):
            name = Rejection(int(one.slate.rejected[row])).name
            expected[name] = expected.get(name, 0) + 1

    told = place.why(won)

    funnel = {part["reason"]: part["decisions"] for part in told["funnel"]}
    assert expected["WON"] >= 1
    assert told["candidate_in"] == sum(expected.values())
    assert all(funnel[name] == count for name, count in expected.items())
    assert told["win_rate"] == round(expected["WON"] / told["candidate_in"], 6)


def test_the_price_to_win_of_an_ad_is_between_its_quantiles(place):
    loser = most_often_outbid(place)

    told = place.why(loser)["price_to_win"]

    assert told["lost_looked_at"] > 0
    assert told["bid_micros"] < told["p50_micros"] <= told["p90_micros"]


def most_often_outbid(place):
    ids = []
    for decision in place.decisions:
        page = place.page(decision)
        ids += page.notes.ad_id[page.slate.rejected == Rejection.OUTBID].tolist()
    return max(set(ids), key=ids.count)


def test_a_paused_ad_learns_that_it_is_paused(place):
    edition = place.system.edition
    ads = edition.snapshot.ads
    shown = most_often_outbid(place)
    row = int(np.flatnonzero(ads.ad_id == shown)[0])
    live = edition.overlay.live
    paused = live.ad.copy()
    paused[row] = 0
    edition.overlay.live = replace(live, ad=paused)
    try:
        told = place.why(shown)
    finally:
        edition.overlay.live = live

    names = {part["reason"] for part in told["funnel"]}
    assert "SIMILARITY" not in names
    assert told["sampled"]["looked_at"] > 0


def test_a_window_without_decisions_has_an_empty_funnel(place):
    told = place.why(int(place.system.edition.snapshot.ads.ad_id[0]), "1s")

    assert told["decisions"] == 0
    assert told["funnel"] == []
    assert told["win_rate"] is None
    assert told["top_obstacle"] is None


def test_more_questions_than_can_wait_are_refused(place):
    async def crowd():
        asks = [place.inquiries.explain(place.sold.id) for _ in range(10)]
        return await asyncio.gather(*asks, return_exceptions=True)

    answers = asyncio.run(crowd())

    assert sum(isinstance(answer, dict) for answer in answers) == 5
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 5


def test_what_the_ring_has_lost_is_known_from_the_sample(tmp_path, asked):
    """With every decision sampled the two together know all of them, each once."""
    system = System(tmp_path, lambda: 1000.0, auction_ring_mib=1, auction_sample_one_in=1)
    for page in asked * 3:
        system.wall += 0.01
        system.decide([replace(page, page_view=str(system.wall))])
    system.recorder.close()
    inquiries = Inquiries.of(
        system.settings,
        system.pipeline.prices.settings,
        lambda: system.edition,
        lambda: system.wall,
    )
    ads = system.edition.snapshot.ads.ad_id

    for ad in ads[:: len(ads) // 7].tolist():
        told = asyncio.run(inquiries.why(str(ad)))

        assert told["decisions"] == 3 * len(asked)
        assert 0 < told["estimated_from_the_sample"] < 3 * len(asked)
        assert sum(part["decisions"] for part in told["funnel"]) == told["decisions"]
    system.close()


def test_the_funnel_of_ring_and_sample_counts_each_candidacy_once(tmp_path, asked):
    system = System(tmp_path, lambda: 1000.0, auction_ring_mib=1, auction_sample_one_in=1)
    came = {}
    for page in asked * 3:
        system.wall += 0.01
        (decision,) = system.decide([replace(page, page_view=str(system.wall))])
        for ad in find(system.settings.auctions, int(decision.id, 16)).notes.ad_id.tolist():
            came[ad] = came.get(ad, 0) + 1
    system.recorder.close()
    inquiries = Inquiries.of(
        system.settings,
        system.pipeline.prices.settings,
        lambda: system.edition,
        lambda: system.wall,
    )

    for ad in sorted(came, key=came.get)[-5:]:
        assert asyncio.run(inquiries.why(str(ad)))["candidate_in"] == came[ad]
    system.close()
