"""Two workers under requests without a pause while models come, go up and go: nobody notices."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import pytest
from live_server import LiveServer
from model_variants import exported, repository_at

from adserver.features.log import read
from adserver.releases.registry import Registry
from adserver.releases.states import State
from bench.released.scores import ABSOLUTE, RELATIVE, rates
from ranking.bundle import Bundle
from ranking.scorer import FALLBACK
from simulator.traffic import requests
from simulator.world import World

AT_ONCE, PEOPLE = 6, 600
ANYTHING = {"p99_ms": 101, "degraded": 0.9, "errors": 0.9, "ratio": 100, "correlation": 0.01}
"""Guardrails that no slow moment of a test's machine breaks."""
CALIBRATED, OTHER = 2, 3
"""Of these models: another calibration map on the same tables, and other tables."""


@dataclass
class Served:
    """One answer: when it was asked for, by whom, and what is said of it."""

    at: float
    user: str
    status: int
    decision: str = ""
    model: int = 0
    """0: nothing was sold."""


@dataclass
class Crowd:
    """People who ask for pages, one after the other, until they are told to stop."""

    url: str
    bodies: list[dict]
    answers: list[Served] = field(default_factory=list)
    enough: bool = False

    async def come(self) -> None:
        # a connection of its own for each request, so that every worker gets its share
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._ask(session, n) for n in range(AT_ONCE)))

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        while not self.enough:
            user = f"u{number % PEOPLE}"
            body = {**self.bodies[number % len(self.bodies)], "user": {"key": user}}
            number += AT_ONCE
            asked = time.monotonic()
            try:
                async with session.post(f"{self.url}/v1/decision", json=body) as answer:
                    said = await answer.json()
            except aiohttp.ClientError:
                self.answers.append(Served(asked, user, 0))
                continue
            ads = [ad for slot in said["decisions"].values() for ad in slot]
            models = {int(ad["model"]["version"]) for ad in ads}
            assert len(models) <= 1
            served = Served(asked, user, answer.status, said["decision_id"], max(models, default=0))
            self.answers.append(served)

    def since(self, moment: float) -> list[Served]:
        return [one for one in self.answers if one.at > moment]

    async def asks(self, count: int) -> list[Served]:
        """So many answers from now on."""
        began = time.monotonic()
        async with asyncio.timeout(240):
            while len(self.since(began)) < count:  # noqa: ASYNC110 - others ask
                await asyncio.sleep(0.1)
        return self.since(began)


@dataclass
class Release:
    """The registry of a server under requests."""

    server: LiveServer
    registry: Registry
    crowd: Crowd

    async def promote(self, version: int, to: State, **serving: int) -> None:
        self.registry.promote(version, to, int(time.time() * 1000), "a test", {})
        await self.until(**serving)
        if to is State.CANARY_10:
            await asyncio.sleep(3.0)  # a share that changed shows in no gauge

    async def until(self, **serving: int) -> None:
        """Every worker has these models in these arms, and has answered what it began before."""
        async with asyncio.timeout(300):
            while await self._arms() != {"canary": 0, "shadow": 0} | serving:  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.2)
        await asyncio.sleep(1.0)  # twice the deadline of what was begun before

    async def _arms(self) -> dict[str, int]:
        try:
            _, text = await asyncio.to_thread(self.server.get, "/metrics")
        except TimeoutError:  # two cores for two workers, those who ask, and this
            return {}
        lines = [line for line in text.decode().splitlines() if "adserver_model_version{" in line]
        return {
            line.split('arm="')[1].split('"')[0]: int(float(line.rpartition(" ")[2]))
            for line in lines
        }


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """The models CALIBRATED and OTHER."""
    folder = tmp_path_factory.mktemp("variants")
    return exported(folder / "rate", rate=1.3), exported(folder / "towers", shift=0.05)


@pytest.fixture(params=["local", pytest.param("triton", marks=pytest.mark.triton)])
def release(request, tmp_path, variants):
    registry = Registry(repository_at(tmp_path / "models"))
    for model in variants:
        registry.register(model, 0)
    settings = {
        "SCORER": request.param,
        "WORKERS": "2",
        "MODEL_REPOSITORY": str(registry.repository),
        "DEADLINE_MS": "500",
        "RELEASE_PROMOTION": "off",
        "RELEASE_LIMITS": json.dumps(ANYTHING),
    }
    server = LiveServer(tmp_path / "data", settings).start()
    bodies = requests(World(1), np.random.default_rng(1), 300)
    for body in bodies:
        body["page"]["page_view_id"] = None  # asked again, it is another page view
    yield Release(server, registry, Crowd(server.url, bodies))
    server.stop(signal.SIGKILL)


def models(answers: list[Served]) -> set[int]:
    return {one.model for one in answers} - {0}


def people(answers: list[Served]) -> dict[str, set[int]]:
    """By which models each of them was served."""
    found = defaultdict(set)
    for one in answers:
        if one.model:
            found[one.user].add(one.model)
    return found


async def story(release: Release) -> dict[str, list[Served]]:
    """One model's whole way up and back, then another's into canary and out."""
    crowd, told = release.crowd, {}
    visitors = asyncio.create_task(crowd.come())
    told["before"] = await crowd.asks(100)
    await release.promote(OTHER, State.SHADOW, production=1, shadow=OTHER)
    told["shadow"] = await crowd.asks(200)
    await release.promote(OTHER, State.CANARY_1, production=1, canary=OTHER)
    told["canary1"] = await crowd.asks(PEOPLE)
    await release.promote(OTHER, State.CANARY_10, production=1, canary=OTHER)
    told["canary10"] = await crowd.asks(PEOPLE)
    await release.promote(OTHER, State.PRODUCTION, production=OTHER)
    told["production"] = await crowd.asks(100)
    release.registry.roll_back(OTHER, 0, "a test", {})
    await release.until(production=1)
    told["back"] = await crowd.asks(100)
    await release.promote(CALIBRATED, State.CANARY_10, production=1, canary=CALIBRATED)
    told["recalibrated"] = await crowd.asks(PEOPLE // 3)
    release.registry.roll_back(CALIBRATED, 0, "a test", {})
    await release.until(production=1)
    told["at last"] = await crowd.asks(100)
    crowd.enough = True
    await visitors
    return told


def test_models_are_released_and_taken_back_under_requests(release):
    told = asyncio.run(story(release))
    metrics = release.server.get("/metrics")[1].decode()
    assert release.server.stop() == 0

    assert {one.status for one in release.crowd.answers} == {200}
    assert models(told["before"]) == models(told["shadow"]) == {1}
    assert models(told["canary1"]) == models(told["canary10"]) == {1, OTHER}
    assert models(told["production"]) == {OTHER}
    assert models(told["back"]) == models(told["at last"]) == {1}
    assert models(told["recalibrated"]) == {1, CALIBRATED}
    one_percent, ten_percent = people(told["canary1"]), people(told["canary10"])
    for found, share in ((one_percent, 0.01), (ten_percent, 0.1)):
        assert {len(arms) for arms in found.values()} == {1}  # everybody stays in an arm
        canaries, count = sum(arms == {OTHER} for arms in found.values()), len(found)
        assert abs(canaries - share * count) < 4.5 * np.sqrt(share * (1 - share) * count)
    first = {user for user, arms in one_percent.items() if arms == {OTHER}}
    asked_again = first & set(ten_percent)
    assert asked_again == {user for user in asked_again if ten_percent[user] == {OTHER}} != set()
    assert scored_by_shadow(metrics) > 0
    check_scores(release)


def scored_by_shadow(metrics: str) -> float:
    (line,) = (one for one in metrics.splitlines() if 'shadow_requests_total{what="scored"}' in one)
    return float(line.rpartition(" ")[2])


def check_scores(release: Release) -> None:
    """Every click rate is what the model that the decision names gives the logged features."""
    table = read(release.server.data / "features")
    full = table.filter(np.array(table["quality"].to_pylist()) < FALLBACK)
    assert len(full) > 0.9 * len(table) > 1_000
    named = {one.decision: one.model for one in release.crowd.answers}
    model, rate = full["model"].to_numpy(), full["pctr"].to_numpy()
    ids = [f"{number:016x}" for number in full["decision"].to_pylist()]
    assert all(named[one] == version for one, version in zip(ids, model, strict=True))
    assert set(model) == {1, CALIBRATED, OTHER}
    for version in (1, CALIBRATED, OTHER):
        own = np.flatnonzero(model == version)
        given = rates(Bundle.load(release.registry.folder(version)), full.take(own))
        assert rate[own] == pytest.approx(given, rel=RELATIVE, abs=ABSOLUTE)
    arms = set(zip(model.tolist(), full["arm"].to_pylist(), strict=True))
    both = {(version, arm) for version in (1, OTHER) for arm in ("production", "canary")}
    assert arms == both - {(1, "canary")} | {(CALIBRATED, "canary")}
