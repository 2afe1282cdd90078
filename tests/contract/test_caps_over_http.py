"""Frequency caps over HTTP: several workers, many people, requests that overtake each other."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter

import aiohttp
import numpy as np
import pytest
from live_server import LiveServer

from simulator.traffic import requests
from simulator.world import World

PEOPLE, ASKS, AT_ONCE, CAP = 150, 6, 24, 3
SETTINGS = {
    "SCORER": "local",
    "WORKERS": "4",
    "USER_CAPS": f'[{{"max": {CAP}, "window": "24h"}}]',
    "FAIRNESS_CAP": "1",
}


@pytest.fixture(scope="module")
def capped_server(tmp_path_factory):
    """Four workers, and a cap on all that one person is shown."""
    server = LiveServer(tmp_path_factory.mktemp("capped"), SETTINGS).start()
    yield server
    assert server.stop() == 0


def visits():
    """Everybody asks as often, in an order that mixes people."""
    rng = np.random.default_rng(3)
    bodies = requests(World(1), rng, PEOPLE * ASKS)
    for number, body in enumerate(bodies):
        body["user"]["key"] = f"visitor-{number % PEOPLE}"
        body["deadline_ms"] = 500
        body["placements"] = [one | {"floor_cpm": 0} for one in body["placements"]]
    return [bodies[at] for at in rng.permutation(len(bodies))]


async def see_everything(url, bodies):
    """Ask for each page and render all that comes; impressions by person, and the reasons of
    empty slots."""
    shown, reasons, waiting = Counter(), Counter(), iter(bodies)

    async def visitor(session):
        for body in waiting:
            async with session.post(f"{url}/v1/decision", json=body) as answer:
                found = await answer.json()
            reasons.update(one["reason"] for one in found["no_fill"].values())
            for ad in (ad for ads in found["decisions"].values() for ad in ads):
                async with session.get(ad["urls"]["impression"]) as seen:
                    shown[body["user"]["key"]] += seen.status == 204

    connector = aiohttp.TCPConnector(force_close=True)  # so that every worker gets its share
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(visitor(session) for _ in range(AT_ONCE)))
    return shown, reasons


def test_nobody_is_shown_more_or_less_than_the_cap_by_four_workers(capped_server):
    shown, reasons = asyncio.run(see_everything(capped_server.url, visits()))
    report = csv.DictReader(io.StringIO(capped_server.cli("report", "ctr", "--format", "csv")))

    assert set(shown.values()) == {CAP}
    assert len(shown) == PEOPLE
    assert reasons["FREQUENCY"] > PEOPLE
    assert sum(int(row["impressions"]) for row in report) == PEOPLE * CAP
