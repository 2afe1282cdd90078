import numpy as np

from simulator.targeting import DIMENSION, fitting
from simulator.traffic import decision, openrtb, requests, visit
from simulator.visits import Visits, visits
from simulator.world import World

WORLD = World(1)
BAGS = ("segment", "keyword", "category", "key_value", "placement")


def test_equal_seeds_give_equal_worlds_and_others_do_not():
    again, other = World(1), World(2)

    assert again.domain.name == WORLD.domain.name
    assert np.array_equal(again.keyword.topic, WORLD.keyword.topic)
    assert not np.array_equal(other.keyword.topic, WORLD.keyword.topic)


def test_no_vocabulary_has_a_value_twice():
    for name in ("country", "region", "keyword", "segment", "domain", "category", "key_value"):
        values = getattr(WORLD, name).name

        assert len(set(values)) == len(values), name


def test_topics_are_directions():
    for name in ("category", "keyword", "segment", "domain"):
        topic = getattr(WORLD, name).topic

        assert np.allclose(np.linalg.norm(topic, axis=1), 1.0, atol=1e-5), name
        assert topic.min() >= 0, name


def test_traffic_is_the_same_for_the_same_seed():
    first = requests(WORLD, np.random.default_rng(3), 50)
    again = requests(WORLD, np.random.default_rng(3), 50)
    other = requests(WORLD, np.random.default_rng(4), 50)

    assert first == again
    assert first != other


def test_a_returning_user_has_the_same_place_device_and_segments():
    sample = visits(WORLD, np.random.default_rng(5), 20_000)
    user, first, times = np.unique(sample.user, return_index=True, return_counts=True)
    regular = user[np.argmax(times)]
    rows = np.flatnonzero(sample.user == regular)

    assert len(rows) > 10
    for name in ("country", "region", "device", "os", "browser", "language", "segment"):
        column = getattr(sample, name)[rows]
        assert (column == column[0]).all(), name
    assert len(first) < len(sample)


def test_no_bag_holds_a_value_twice():
    sample = visits(WORLD, np.random.default_rng(6), 2_000)

    for name in BAGS:
        for row in getattr(sample, name).tolist():
            held = [value for value in row if value >= 0]
            assert len(set(held)) == len(held), name


def test_every_page_has_one_to_three_placements_that_its_device_shows():
    sample = visits(WORLD, np.random.default_rng(7), 2_000)

    for device, row in zip(sample.device.tolist(), sample.placement.tolist(), strict=True):
        shown = [WORLD.placement[p] for p in row if p >= 0]
        assert 1 <= len(shown) <= 3
        assert all(device in one.devices for one in shown)


def test_a_request_can_be_read_back_as_the_visit_it_came_from():
    sample = visits(WORLD, np.random.default_rng(8), 200)

    for i in range(len(sample)):
        body = decision(WORLD, sample, i, "k", "p")
        back = visit(WORLD, body, int(sample.hour[i]), int(sample.weekday[i]))
        for name in Visits.__slots__:
            there, here = getattr(sample, name)[i], getattr(back, name)[0]
            assert sorted(np.atleast_1d(there)) == sorted(np.atleast_1d(here)), name


def test_the_two_dialects_say_the_same():
    for body in requests(WORLD, np.random.default_rng(9), 100):
        twin = openrtb(body)

        assert twin["id"] == body["id"]
        assert [imp["tagid"] for imp in twin["imp"]] == [p["zone_id"] for p in body["placements"]]
        assert [imp["bidfloor"] for imp in twin["imp"]] == [
            p["floor_cpm"] for p in body["placements"]
        ]
        assert twin["device"]["geo"] == body["device"]["geo"]
        assert twin["site"]["cat"] == body["page"]["categories"]
        assert [s["id"] for s in twin["user"]["data"][0]["segment"]] == body["user"]["segments"]


def test_a_visit_fits_a_line_item_that_asks_for_nothing_but_what_it_is(small_market):
    sample = visits(WORLD, np.random.default_rng(10), 40)
    terms = small_market.terms
    open_to_all = terms.need == 0

    for i in range(len(sample)):
        fits = fitting(WORLD, terms, sample, i)
        country = terms.need & (1 << DIMENSION["country"]) > 0
        asked = np.zeros(len(fits), bool)
        own = (terms.dimension == DIMENSION["country"]) & (terms.value == sample.country[i])
        asked[terms.line_item[own & ~terms.exclude]] = True
        refused = np.zeros(len(fits), bool)
        refused[terms.line_item[terms.exclude]] = True
        assert not (fits & country & ~asked).any()
        assert fits[open_to_all & ~refused].all()
