"""Requests of the simulated marketplace as ready bytes, made before the first one is sent.

Users return as the simulator's do: few come often, most come once. Knows no sockets.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from simulator import traffic
from simulator.world import World

DECISION, AUCTION, IMPRESSION, VIEWABLE, CLICK = range(5)
ROUTES = ("/v1/decision", "/openrtb2/auction", "/e/impression", "/e/viewable", "/e/click")
_PAGE_VIEW = b'"page_view_id":"'
AUCTION_SHARE = 0.2
"""How many of the ad requests are OpenRTB."""
WORLD_SEED = 1
"""The world that the sample catalogue and the committed model belong to."""


class Body(NamedTuple):
    """One ad request before it has an address."""

    route: int
    json: bytes
    slots: int
    """Ads that it asks for."""


class Shot(NamedTuple):
    """One HTTP request, ready to be written to a socket."""

    route: int
    raw: bytes
    slots: int


@lru_cache(maxsize=4)
def bodies(seed: int, count: int, deadline_ms: int = 0) -> tuple[Body, ...]:
    """`count` ad requests, equal for equal arguments on any machine; about 60 µs each.

    With a deadline, each names it; else the server's own holds.
    """
    rng = np.random.default_rng([seed, 1])
    asked = traffic.requests(_world(), rng, count)
    openrtb = rng.random(count) < AUCTION_SHARE
    return tuple(
        _auction(one, deadline_ms) if auction else _decision(one, deadline_ms)
        for one, auction in zip(asked, openrtb.tolist(), strict=True)
    )


@lru_cache(maxsize=4)
def shots(seed: int, count: int, host: str, deadline_ms: int = 0) -> tuple[Shot, ...]:
    """The same requests with their HTTP heads."""
    return tuple(
        Shot(body.route, _post(ROUTES[body.route], host, body.json), body.slots)
        for body in bodies(seed, count, deadline_ms)
    )


def viewed_anew(shot: Shot, number: int) -> Shot:
    """The same request from page view `number`: a server remembers what stands on a page, so one
    that is asked for again and again would fill up."""
    at = shot.raw.find(_PAGE_VIEW) + len(_PAGE_VIEW)
    renewed = b"%08x" % (number & 0xFFFFFFFF)
    return shot._replace(raw=shot.raw[:at] + renewed + shot.raw[at + len(renewed) :])


def get(route: int, path: str, host: str) -> Shot:
    """A GET, as a browser sends one for an event."""
    return Shot(route, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 0)


def _decision(asked: dict[str, Any], deadline_ms: int) -> Body:
    deadline = {"deadline_ms": deadline_ms} if deadline_ms else {}
    return Body(DECISION, orjson.dumps(asked | deadline), len(asked["placements"]))


def _auction(asked: dict[str, Any], deadline_ms: int) -> Body:
    deadline = {"tmax": deadline_ms} if deadline_ms else {}
    return Body(AUCTION, orjson.dumps(traffic.openrtb(asked) | deadline), len(asked["placements"]))


def _post(path: str, host: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@lru_cache(maxsize=1)
def _world() -> World:
    return World(WORLD_SEED)
