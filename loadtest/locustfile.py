"""People who read pages: a page view asks for ads, shows them, and sometimes leads to a click.

    locust -f loadtest/locustfile.py --headless -u 32 -r 16 -t 60s --host http://127.0.0.1:8080

The think time between pages is log-normal. A decision that took the server over 50 ms is a failure
of that name even if it came; so is every 5xx.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from itertools import count
from typing import Any

import gevent
import orjson
from locust import FastHttpUser, task

from loadtest.answers import Ad, ads_in
from loadtest.target import target_of
from loadtest.traffic import AUCTION, DECISION, ROUTES, Body, bodies

SEED = 1
DISTINCT = 4_000
THINK_MEDIAN_S, THINK_SPREAD, THINK_MOST_S = 2.0, 0.8, 20.0
VIEWABLE_SHARE = 0.6
"""How many of the ads stay in sight long enough to count as viewable."""
OPENRTB_PCTR = 0.01
"""Where the dialect hides its click rate."""
SLOW_MS = 50.0
JSON = {"Content-Type": "application/json"}
_people = count()


class TooSlow(Exception):
    """The server says that it took longer than a page may wait."""


class ServerError(Exception):
    """An answer of 500 or above."""


class Reader(FastHttpUser):  # type: ignore[misc]  # locust ships no types
    """One person with habits of their own, the same in every run."""

    network_timeout = connection_timeout = 5.0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        target_of(self.host)  # only this machine
        self.chance = random.Random(SEED * 1_000_003 + next(_people))

    def wait_time(self) -> float:
        return min(THINK_MOST_S, self.chance.lognormvariate(math.log(THINK_MEDIAN_S), THINK_SPREAD))

    @task(4)  # type: ignore[untyped-decorator]
    def page_with_a_tag(self) -> None:
        """The publisher's own tag asks."""
        self._read_page(DECISION)

    @task(1)  # type: ignore[untyped-decorator]
    def page_with_header_bidding(self) -> None:
        """A header-bidding adapter asks."""
        self._read_page(AUCTION)

    def _read_page(self, route: int) -> None:
        body = self.chance.choice(_pages(route))
        for ad in self._ask(body):
            self._event("/e/impression", ad.impression)
            if ad.viewable and self.chance.random() < VIEWABLE_SHARE:
                self._event("/e/viewable", ad.viewable)
            if ad.click and self.chance.random() < (ad.pctr or OPENRTB_PCTR):
                self._event("/e/click", ad.click)

    def _ask(self, body: Body) -> list[Ad]:
        name = ROUTES[body.route]
        with self.client.post(name, data=body.json, headers=JSON, catch_response=True) as answer:
            if not _passes(answer):
                return []
            return ads_in(answer.content, 0, body.route)

    def _event(self, name: str, path: str) -> None:
        kind = {"name": name, "allow_redirects": False, "catch_response": True}
        with self.client.get(path, **kind) as answer:
            _passes(answer)


def _passes(answer: Any) -> bool:
    """Judge an answer; whether it is worth reading."""
    if answer.status_code >= 500 or answer.status_code == 0:
        answer.failure(ServerError(f"status {answer.status_code}"))
        return False
    if _took_ms(answer) > SLOW_MS:
        answer.failure(TooSlow(f"over {SLOW_MS:g} ms in the server"))
        return False
    if answer.status_code < 400:
        answer.success()  # a click's redirect is what was asked for
    return bool(answer.status_code == 200)


def _took_ms(answer: Any) -> float:
    """`took_ms` of a decision; what the header says where the body does not."""
    if answer.status_code != 200:
        return 0.0
    parsed = orjson.loads(answer.content)
    if "took_ms" in parsed:
        return float(parsed["took_ms"])
    _, _, total = answer.headers.get("Server-Timing", "").partition("total;dur=")
    return float(total) if total else 0.0


@lru_cache(maxsize=2)
def _pages(route: int) -> list[Body]:
    return [one for one in bodies(SEED, DISTINCT) if one.route == route]


_pages(DECISION)  # before anybody reads, because it takes seconds
gevent.get_hub().loop.update_now()  # else locust's time limit would begin before those seconds
