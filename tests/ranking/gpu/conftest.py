"""The committed model and a small table of ads, which the tests of the GPU path share."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_pages import ADS, RELEASED, SMALL, VERSION, encoded

from ranking.bundle import Bundle
from ranking.features import AD_FIELDS
from ranking.gpu.network import Model
from ranking.gpu.scorer import GpuScorer
from ranking.table import AdTable


@pytest.fixture(scope="session")
def released_bundle() -> Bundle:
    return Bundle.load(RELEASED)


@pytest.fixture(scope="session")
def gpu_model() -> Model:
    return Model.load(RELEASED)


@pytest.fixture(scope="session")
def gpu_ads(released_bundle: Bundle) -> AdTable:
    return AdTable.build(released_bundle, encoded(np.random.default_rng(11), AD_FIELDS, ADS))


@pytest.fixture
def gpu(gpu_model: Model, gpu_ads: AdTable) -> GpuScorer:
    scorer = GpuScorer(gpu_model, SMALL)
    scorer.add(VERSION, gpu_ads)
    return scorer
