"""The GPU beside the CPU path: who answers, and that nobody waits or goes without."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from ranking import accelerated
from ranking.accelerated import Accelerated, NoGpu, device_for, scorer_of, usable
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs, Refused
from ranking.table import AdTable

VERSION = 3


@dataclass
class FakeGpu:
    """Answers -1 for every pair of what it was given, until it breaks."""

    versions: list[int] = field(default_factory=list)
    broken: bool = False

    def add(self, version: int, table: AdTable) -> None:
        self._work()
        self.versions.append(version)

    def score(self, pairs: Pairs) -> np.ndarray:
        self._work()
        return np.full(len(pairs.ad), -1.0, np.float32)

    def _work(self) -> None:
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@dataclass
class Later:
    """Work put off until the test says."""

    work: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def run(self) -> None:
        while self.work:
            self.work.pop(0)()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def both(bundle, ads: AdTable, later: Later, told: list[str]) -> Accelerated:
    scorer = Accelerated(LocalScorer(bundle), FakeGpu(), later, told.append)
    scorer.add(VERSION, ads)
    return scorer


def test_a_snapshot_is_scored_on_the_cpu_until_it_lies_on_the_gpu(
    both: Accelerated, int8: LocalScorer, pairs: Pairs, later: Later
):
    before = both.score(pairs)
    later.run()

    assert_array_equal(before, int8.score(pairs))
    assert (both.score(pairs) == -1).all()


def test_a_swap_leaves_the_old_snapshot_where_it_is(
    both: Accelerated, ads: AdTable, int8: LocalScorer, pairs: Pairs, later: Later
):
    later.run()

    both.add(VERSION + 1, ads)

    assert (both.score(pairs) == -1).all()
    assert_array_equal(both.score(replace(pairs, version=VERSION + 1)), int8.score(pairs))


def test_a_gpu_that_fails_costs_no_request(
    both: Accelerated, int8: LocalScorer, pairs: Pairs, later: Later, told: list[str]
):
    later.run()
    both.gpu.broken = True

    assert_array_equal(both.score(pairs), int8.score(pairs))
    assert both.gpu is None
    assert len(told) == 1
    assert "illegal memory access" in told[0]


def test_a_gpu_that_cannot_take_a_table_is_given_up(
    both: Accelerated, int8: LocalScorer, pairs: Pairs, later: Later, told: list[str]
):
    both.gpu.broken = True

    later.run()

    assert both.gpu is None
    assert len(told) == 1
    assert_array_equal(both.score(pairs), int8.score(pairs))


class Gone(FakeGpu):
    """Has just let go of what it said it had."""

    def score(self, pairs: Pairs) -> np.ndarray:
        raise Refused("snapshot 3 is not loaded")


class Cpu:
    """Answers 1 for every pair."""

    def score(self, pairs: Pairs) -> np.ndarray:
        return np.ones(len(pairs.ad), np.float32)


def test_a_snapshot_that_goes_between_two_looks_costs_neither_request_nor_gpu(told):
    scorer = Accelerated(Cpu(), Gone([VERSION]), tell=told.append)
    none = np.zeros((1, 4), np.float32)
    one = Pairs(VERSION, none, none[:, 0], np.zeros(2, np.int32), np.array([0, 2], np.int32))

    assert_array_equal(scorer.score(one), [1, 1])
    assert scorer.gpu is not None
    assert not told


def test_unknown_snapshots_are_refused_as_on_the_cpu(both: Accelerated, pairs: Pairs):
    with pytest.raises(Refused, match="snapshot 9 is not loaded"):
        both.score(replace(pairs, version=9))


def test_the_device_is_chosen_by_one_word(bundle, monkeypatch):
    monkeypatch.setattr(accelerated, "usable", lambda number: "no CUDA device is found")

    assert isinstance(scorer_of(bundle, {"device": "cpu"}), LocalScorer)
    assert isinstance(scorer_of(bundle, {}), LocalScorer)
    with pytest.raises(NoGpu, match="no CUDA device"):
        scorer_of(bundle, {"device": "gpu"})
    with pytest.raises(ValueError, match="must be one of auto, cpu, gpu"):
        scorer_of(bundle, {"device": "tpu"})


def test_an_instance_that_triton_has_put_on_a_device_uses_that_one(monkeypatch):
    monkeypatch.setattr(accelerated, "usable", lambda number: torch.device("cuda", number))

    assert device_for({}, 3) == torch.device("cuda", 3)
    assert device_for({"device": "gpu"}) == torch.device("cuda", 0)
    assert device_for({"device": "cpu"}, 3) is None


@pytest.mark.parametrize(("hidden", "seen"), [("all", None), ("1", "1"), ("", "")])
def test_devices_hidden_from_the_server_are_shown_to_its_worker(monkeypatch, hidden, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("ADSERVER_GPUS", hidden)

    reason = usable(0)

    assert isinstance(reason, str)  # the tests' kernels are interpreted, whatever the machine has
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
