"""The whole server with SELECTOR=gpu: Triton's selector finds ads; where it is gone, the worker."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import count

import numpy as np
import psutil
import pytest
from live_server import LiveServer

from simulator.traffic import requests
from simulator.world import World

pytestmark = pytest.mark.triton
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path_factory.mktemp("selector"), {"SELECTOR": "gpu"}).start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def page() -> dict:
    return next(iter(requests(World(1), np.random.default_rng(5), 1)))


def ask(server: LiveServer, page: dict) -> list[dict]:
    """Ads sold; there is time enough for plain torch on a busy machine."""
    page["page"]["page_view_id"] = None
    status, answer = server.post("/v1/decision", {**page, "deadline_ms": 500})
    assert status == 200
    return [ad for ads in answer["decisions"].values() for ad in ads]


def found_by(server: LiveServer, who: str) -> float:
    text = server.get("/metrics")[1].decode()
    found = re.search(rf'^adserver_selections_total\{{by="{who}"\}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def asked_until(server: LiveServer, page: dict, who: str) -> list[dict]:
    """The answer whose candidates came from there."""
    before, until = found_by(server, who), time.monotonic() + WITHIN_S
    for _ in count():
        sold = ask(server, page)
        if found_by(server, who) > before:
            return sold
        assert time.monotonic() < until, server.output[-2000:]
        time.sleep(0.1)  # other processes have to get there
    raise AssertionError


NEW = {
    "name": "new",
    "pricing": "cpm",
    "bid_micros": 400_000_000,
    "tier": 1,
    "share": 10**9,
    "targeting": {"key_value": {"include": ["wave=new"]}},
    "ads": [
        {
            "title": "New tea",
            "width": 300,
            "height": 250,
            "category": "IAB8",
            "landing_url": "https://tea.example/",
            "markup": '<a href="{click}">tea</a>',
        }
    ],
}


def test_new_ads_are_shown_and_it_is_the_selector_who_finds_them(server, page):
    asked_until(server, page, "selector")
    campaign = {"name": "new", "daily_budget_micros": 10**12, "line_items": [NEW]}
    owner = {"name": "New", "domain": "new.example", "campaigns": [campaign]}
    file = server.data / "new.json"
    file.write_text(json.dumps({"advertisers": [owner]}))
    slot = {"id": "s", "zone_id": "z1", "sizes": [[300, 250]], "kv": {"wave": "new"}}
    wants = {**page, "placements": [slot]}

    said = server.cli("catalog", "add", str(file))

    ad = re.search(r"^ad: (\d+)$", said, re.MULTILINE)[1]
    until = time.monotonic() + WITHIN_S
    while ad not in [one["ad_id"] for one in asked_until(server, wants, "selector")]:
        assert time.monotonic() < until, server.output[-2000:]


def test_the_selector_finds_and_while_it_is_gone_the_worker_does(server, page):
    assert asked_until(server, page, "selector")

    triton = server.triton()
    triton.kill()
    psutil.wait_procs([triton], timeout=5)
    assert all(ask(server, page) for _ in range(10))

    assert asked_until(server, page, "selector")  # started again, and told everything anew
