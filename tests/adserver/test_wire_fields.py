"""Bounds that every request keeps, and money that is exact."""

import json
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from valid_bodies import DECISION, OPENRTB

from adserver.errors import BadRequest
from adserver.request import AdRequest, Dialect
from adserver.wire import decision, openrtb
from adserver.wire.fields import MOST_CPM, micros

MICROS = st.integers(0, MOST_CPM * 1_000_000)


def floor_of(written):
    body = '{"id":"r","placements":[{"id":"a","zone_id":"z","floor_cpm":' + written + "}]}"
    return decision.parse(body.encode()).slots[0].floor_micros


@given(MICROS)
def test_a_floor_of_up_to_six_decimals_is_exact(exact):
    written = format(Decimal(exact) / 1_000_000, "f")

    assert floor_of(written) == exact


@given(st.decimals(0, MOST_CPM, places=9))
def test_a_longer_floor_goes_to_the_nearest_micro(written):
    assert abs(floor_of(format(written, "f")) - written * 1_000_000) <= Decimal("0.5001")


def test_a_sum_of_floats_is_the_price_that_was_meant():
    assert micros(0.1 + 0.2) == 300_000
    assert micros(1.1 * 1.1) == 1_210_000
    assert micros(None) == micros(0.0) == micros(-0.0) == 0


def within_bounds(request: AdRequest) -> bool:
    ids = [request.id, request.user, request.page_view, request.publisher]
    lists = [request.categories, request.keywords, request.segments, request.key_values]
    return all(
        [
            0 <= len(request.slots) <= 20,
            all(0 < len(slot.id) <= 128 and len(slot.placement) <= 128 for slot in request.slots),
            all(0 <= slot.floor_micros <= MOST_CPM * 1_000_000 for slot in request.slots),
            all(len(slot.sizes) <= 64 for slot in request.slots),
            all(0 < side <= 10_000 for s in request.slots for size in s.sizes for side in size),
            all(1 <= a <= 32 for slot in request.slots for a in slot.blocked_attributes),
            all(len(id_) <= 512 for id_ in ids),
            all(len(one) <= 256 for one in lists),
            all(len(one) == len(set(one)) for one in lists),
            len(request.country) in {0, 3},
            len(request.domain) <= 253,
            request.device in {"", "desktop", "phone", "tablet", "tv", "other"},
            request.deadline_ms is None or 10 <= request.deadline_ms <= 500,
            len(request.slots) + len(request.unserved) > 0,
        ]
    )


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 700),
    st.floats(0, 1e6),
    st.text(max_size=300),
    st.lists(st.sampled_from(["a", "A ", "IAB1", "", "www.x.example"]), max_size=300),
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900)).map(list), max_size=70),
)


@st.composite
def respelt(draw, whole):
    """A body with a few of its values replaced by others, anywhere."""
    body = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 4))):
        place, key = body, draw(st.sampled_from(sorted(body)))
        while isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            key = draw(st.sampled_from(keys))
        place[key] = draw(LEAVES)
    return json.dumps(body).encode()


@settings(max_examples=400, deadline=None)
@given(respelt(DECISION))
def test_every_decision_request_keeps_the_bounds(body):
    try:
        request = decision.parse(body)
    except BadRequest:
        return
    assert within_bounds(request)


@settings(max_examples=400, deadline=None)
@given(respelt(OPENRTB), st.sampled_from([Dialect.AUCTION, Dialect.BID]))
def test_every_openrtb_request_keeps_the_bounds(body, dialect):
    try:
        request = openrtb.parse(body, dialect)
    except BadRequest:
        return
    assert within_bounds(request)
