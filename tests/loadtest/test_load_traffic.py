"""The requests are made beforehand, the same for a seed."""

from __future__ import annotations

from collections import Counter

import orjson

from loadtest.traffic import AUCTION, DECISION, bodies, shots, viewed_anew

COUNT = 2_000


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    first = bodies(5, COUNT)
    bodies.cache_clear()

    assert bodies(5, COUNT) == first
    assert bodies(6, COUNT) != first


def test_a_fifth_of_the_requests_are_openrtb():
    routes = Counter(body.route for body in bodies(5, COUNT))

    assert set(routes) == {DECISION, AUCTION}
    assert 0.17 < routes[AUCTION] / COUNT < 0.23


def test_slots_are_counted_as_the_body_lists_them():
    for body in bodies(5, COUNT)[:50]:
        parsed = orjson.loads(body.json)
        assert body.slots == len(parsed["imp" if body.route == AUCTION else "placements"])


def test_few_users_come_often():
    visits = Counter(
        orjson.loads(body.json)["user"]["key"]
        for body in bodies(5, COUNT)
        if body.route == DECISION
    )

    assert visits.most_common(1)[0][1] >= 5
    assert len(visits) > COUNT / 2


def test_a_request_is_complete_http():
    for shot, body in zip(shots(5, COUNT, "x:1")[:20], bodies(5, COUNT), strict=False):
        head, _, sent = shot.raw.partition(b"\r\n\r\n")
        assert sent == body.json
        assert f"Content-Length: {len(sent)}".encode() in head
        assert b"Host: x:1" in head


def test_a_request_that_is_sent_again_is_of_a_page_view_of_its_own():
    first = shots(1, 40, "ads.example:80")

    for number, shot in enumerate(first):
        again = viewed_anew(shot, number)
        head, _, body = again.raw.partition(b"\r\n\r\n")
        sent, asked = orjson.loads(body), orjson.loads(shot.raw.partition(b"\r\n\r\n")[2])
        views = [one.get("page", one.get("ext"))["page_view_id"] for one in (sent, asked)]

        assert views[0] == f"{number:08x}{views[1][8:]}"
        assert len(again.raw) == len(shot.raw)
        assert head == shot.raw.partition(b"\r\n\r\n")[0]
