"""Versions of the click model come to the real Triton and go, while others are being scored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from conftest import ADS, some_ads
from model_variants import exported, repository_at
from numpy.testing import assert_array_equal

from adserver import inference_server
from adserver.inference_server import TritonProcess
from adserver.model_loading import ModelLoading, configured
from adserver.releases.registry import Registry
from adserver.releases.states import State
from ranking.bundle import Bundle
from ranking.int8 import LocalScorers
from ranking.scorer import Pairs, RankerError
from ranking.table import AdTable
from ranking.triton import TritonScorer, is_ready, load

pytestmark = pytest.mark.triton
WIDTH, PLENTY_S = 64, 5.0
RATE, OTHER = 2, 3
"""Another calibration on the same tables, and other tables."""


@dataclass
class Place:
    """A server that is kept to its registry, and the same models in this process."""

    process: TritonProcess
    registry: Registry
    local: LocalScorers
    scorer: TritonScorer | None = None
    failures: list[str] = field(default_factory=list)
    loadings: list[str] = field(default_factory=list)
    """Why each did not succeed; empty: it did."""
    scored: int = 0

    def pairs(self, model: int, requests: int = 8, ads: int = 50) -> Pairs:
        rng = np.random.default_rng(model)
        width = self.local.models[model].bundle.first.request.shape[0]
        return Pairs(
            1,
            rng.normal(size=(requests, width)).astype(np.float32),
            rng.normal(size=requests).astype(np.float32),
            rng.integers(0, ADS, requests * ads).astype(np.int32),
            np.arange(0, requests * ads + 1, ads, dtype=np.int32),
            model,
        )

    async def keep_scoring(self, model: int) -> None:
        pairs, expected = self.pairs(model), self.local.score(self.pairs(model))
        while True:
            try:
                assert_array_equal(await self.scorer.score(pairs, PLENTY_S), expected)
                self.scored += 1
            except RankerError as error:
                self.failures.append(str(error))
            await asyncio.sleep(0.01)

    async def has(self, model: int) -> bool:
        try:
            await self.scorer.score(self.pairs(model), PLENTY_S)
        except RankerError:
            return False
        return True

    async def until(self, model: int, there: bool = True) -> None:
        async with asyncio.timeout(60):
            while await self.has(model) is not there:  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.1)

    async def reload(self, versions: int) -> str:
        self.loadings.append(await self.process.reload(versions))
        return self.loadings[-1]

    @contextlib.asynccontextmanager
    async def under_requests(self) -> AsyncIterator[None]:
        """Started, supervised, kept to the registry, and asked for production's scores."""
        await self.process.start()
        self.scorer = TritonScorer(self.process.grpc_url, WIDTH)
        loading = ModelLoading(self.registry.repository, self.reload, 0.1, 0.5)
        jobs = (self.process.supervise(), loading.keep(), self.keep_scoring(1))
        tasks = [asyncio.create_task(job) for job in jobs]
        await asyncio.sleep(0.5)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await self.scorer.close()
            await self.process.stop()
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


@pytest.fixture
def place(triton_installation, tmp_path):
    registry = Registry(repository_at(tmp_path / "models"))
    registry.register(exported(tmp_path / "rate", rate=1.3), 0)
    registry.register(exported(tmp_path / "towers", shift=0.05), 0)
    local, snapshot, ads = LocalScorers(), tmp_path / "snapshots" / "1", some_ads(1)
    for version in (1, RATE, OTHER):
        bundle = Bundle.load(registry.folder(version))
        table = AdTable.build(bundle, ads)
        if version != RATE:
            beside = snapshot / "models" / bundle.tables_sha256[:16]
            table.save((snapshot if version == 1 else beside) / "ranker")
        local.add(bundle, 1, table)
    process = TritonProcess(
        *(triton_installation, registry.repository, snapshot.parent, tmp_path / "log", is_ready),
        load=load,
    )
    return Place(process, registry, local)


def promote(place, version, to):
    place.registry.promote(version, to, 0, "", {})


def test_versions_come_and_go_without_one_failed_score(place):
    async def use():
        async with place.under_requests():
            server = place.process.pid
            assert not await place.has(OTHER)
            promote(place, OTHER, State.SHADOW)
            await place.until(OTHER)
            found = await place.scorer.score(place.pairs(OTHER), PLENTY_S)
            assert_array_equal(found, place.local.score(place.pairs(OTHER)))
            promote(place, OTHER, State.PRODUCTION)
            await asyncio.sleep(2.0)  # the version that a rollback needs stays
            place.registry.roll_back(OTHER, 0, "", {})
            promote(place, RATE, State.CANARY_1)
            await place.until(RATE)
            place.registry.roll_back(RATE, 0, "", {})
            await place.until(RATE, there=False)
            await asyncio.sleep(2.0)
            assert place.process.pid == server  # nobody took a version's end for a failure

    asyncio.run(use())

    assert place.failures == []
    assert place.scored > 50
    assert configured(place.registry.repository) == {1, OTHER}


def test_a_version_that_cannot_be_loaded_costs_the_others_nothing(place, monkeypatch):
    monkeypatch.setattr(inference_server, "SETTLED_WITHIN_S", 4.0)  # it never settles
    damaged = place.registry.folder(RATE) / "calibration.npz"
    whole = damaged.read_bytes()

    async def use():
        async with place.under_requests():
            damaged.write_bytes(whole[:-1])
            promote(place, RATE, State.SHADOW)
            while not place.loadings:  # noqa: ASYNC110 - another process is at work
                await asyncio.sleep(0.1)
            assert not await place.has(RATE)
            place.registry.roll_back(RATE, 0, "", {})
            damaged.write_bytes(whole)
            promote(place, OTHER, State.SHADOW)
            await place.until(OTHER)

    asyncio.run(use())

    assert place.failures == []


def test_a_call_names_its_model_and_is_refused_where_there_is_none(place):
    async def use():
        async with place.under_requests():
            with pytest.raises(RankerError, match="9"):
                await place.scorer.score(replace(place.pairs(1), model=9), PLENTY_S)

    asyncio.run(use())

    assert place.failures == []
