"""One small model, trained and exported for real, that the tests of ranking share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from open_gate import OPEN

from adserver.training import simulated
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.export import export
from ranking.int8 import FloatScorer, LocalScorer
from ranking.scorer import Pairs
from ranking.table import AdTable
from ranking.training import TrainSettings, train

ADS = 2_000
VERSION = 3


@pytest.fixture(scope="session")
def table() -> Impressions:
    """About 30 000 impressions."""
    return simulated(ADS, 18_000, seed=5)


@pytest.fixture(scope="session")
def checkpoint(table: Impressions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = TrainSettings(epochs=2, batch=512, negatives=0.5)
    return train(table, tmp_path_factory.mktemp("run") / "checkpoint", settings, seed=1)


@pytest.fixture(scope="session")
def released(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder."""
    folder = tmp_path_factory.mktemp("repository") / "1"
    export(checkpoint, folder, settings=OPEN)
    return folder


@pytest.fixture(scope="session")
def bundle(released: Path) -> Bundle:
    return Bundle.load(released)


@pytest.fixture(scope="session")
def ads(bundle: Bundle, table: Impressions) -> AdTable:
    return AdTable.build(bundle, table.catalogue)


@pytest.fixture
def int8(bundle: Bundle, ads: AdTable) -> LocalScorer:
    scorer = LocalScorer(bundle)
    scorer.add(VERSION, ads)
    return scorer


@pytest.fixture
def fp32(bundle: Bundle, ads: AdTable) -> FloatScorer:
    scorer = FloatScorer(bundle)
    scorer.add(VERSION, ads)
    return scorer


@pytest.fixture
def pairs(bundle: Bundle, table: Impressions, rng: np.random.Generator) -> Pairs:
    """Ten requests with 1, 30, 60 … ads each: more than one chunk, no two alike."""
    vector, bias = bundle.towers.request(table.request[:10])
    offset = np.cumsum([0, 1, *range(30, 300, 30)]).astype(np.int32)
    ad = rng.integers(0, ADS, offset[-1]).astype(np.int32)
    return Pairs(VERSION, vector, bias, ad, offset)
