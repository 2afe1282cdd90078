"""Real servers for the contract tests, each started once."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from live_server import LiveServer
from stillness import once_still

from adserver.inference_server import TritonProcess
from adserver.triton_wheel import Installation, install
from ranking.bundle import Bundle
from ranking.features import AD_FIELDS, first_rows, width
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs
from ranking.table import AdTable
from ranking.triton import is_ready

ROOT = Path(__file__).parent.parent.parent
ADS = 2_000
VERSIONS = (1, 2)
"""Snapshots on the disk; they hold different ads."""


@dataclass(frozen=True)
class Counts:
    """Triton's own count of what it did for the model."""

    calls: int
    """Calls answered with scores."""
    refused: int
    rows: int
    """Ad requests scored."""
    batches: int
    """How often the model ran."""

    def __sub__(self, before: Counts) -> Counts:
        return Counts(
            self.calls - before.calls,
            self.refused - before.refused,
            self.rows - before.rows,
            self.batches - before.batches,
        )


@dataclass
class Triton:
    """A running server, the snapshots it reads, and the same model in this process."""

    process: TritonProcess
    local: LocalScorer
    start_s: float
    """How long its start took."""

    @property
    def patience_s(self) -> float:
        """Until a killed one answers again: ten seconds, or a few starts on a slow machine."""
        return max(10.0, 3 * self.start_s)

    @property
    def url(self) -> str:
        return self.process.grpc_url

    def counts(self) -> Counts:
        """Once they are still: Triton answers a call before it counts it."""
        return once_still(self._counts)

    def _counts(self) -> Counts:
        with urllib.request.urlopen(self.process.metrics_url) as answer:
            text = answer.read().decode()
        found = re.findall(r'^(\w+)\{model="ctr_ranker".*\} (\d+)$', text, re.MULTILINE)
        total = dict.fromkeys(name for name, _ in found) | {}
        for name, value in found:
            total[name] = (total[name] or 0) + int(value)
        names = ("request_success", "request_failure", "count", "exec_count")
        return Counts(*(total[f"nv_inference_{name}"] or 0 for name in names))

    def pairs(self, seed: int, requests: int = 8, ads: int = 50, version: int = 1) -> Pairs:
        """As many ads for each request."""
        rng = np.random.default_rng(seed)
        dim = self.local.bundle.first.request.shape[0]
        return Pairs(
            version=version,
            vector=rng.normal(size=(requests, dim)).astype(np.float32),
            bias=rng.normal(size=requests).astype(np.float32),
            ad=rng.integers(0, ADS, requests * ads).astype(np.int32),
            offset=np.arange(0, requests * ads + 1, ads, dtype=np.int32),
        )


def some_ads(seed: int) -> np.ndarray:
    """Encoded ads with every field known, at random."""
    rng = np.random.default_rng(seed)
    begin = first_rows(AD_FIELDS)
    columns = [
        begin[field.name] + rng.integers(0, field.rows, (ADS, field.width)) for field in AD_FIELDS
    ]
    ids = np.concatenate(columns, axis=1).astype(np.int32)
    assert ids.shape[1] == width(AD_FIELDS)
    return ids


@pytest.fixture(scope="session")
def model_repository() -> Path:
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def bundle(model_repository: Path) -> Bundle:
    return Bundle.load(model_repository / "ctr_ranker" / "1")


@pytest.fixture(scope="session")
def triton_installation() -> Installation:
    return install(ROOT / ".triton")


@pytest.fixture(scope="session")
def ranker_snapshots(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of snapshots that hold nothing but the ranker's table."""
    folder = tmp_path_factory.mktemp("snapshots")
    for version in VERSIONS:
        AdTable.build(bundle, some_ads(version)).save(folder / str(version) / "ranker")
    return folder


@pytest.fixture
def new_triton(
    triton_installation: Installation,
    model_repository: Path,
    ranker_snapshots: Path,
    tmp_path: Path,
) -> TritonProcess:
    """Not yet started; who starts it stops it."""
    return TritonProcess(
        triton_installation, model_repository, ranker_snapshots, tmp_path / "triton.log", is_ready
    )


@pytest.fixture(scope="session")
def triton(
    triton_installation: Installation,
    model_repository: Path,
    bundle: Bundle,
    ranker_snapshots: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Triton]:
    """The real server with the committed model, for all tests that leave it running."""
    local = LocalScorer(bundle)
    for version in VERSIONS:
        local.add(version, AdTable.load(ranker_snapshots / str(version) / "ranker"))
    process = TritonProcess(
        triton_installation,
        model_repository,
        ranker_snapshots,
        tmp_path_factory.mktemp("triton") / "triton.log",
        is_ready,
    )
    began = time.monotonic()
    asyncio.run(process.start())
    yield Triton(process, local, time.monotonic() - began)
    asyncio.run(process.stop())


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The whole system with Triton on a catalogue of two thousand ads."""
    server = LiveServer(tmp_path_factory.mktemp("live")).start()
    yield server
    assert server.stop() == 0
